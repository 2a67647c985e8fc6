/**
 * Admission of frames to the cloud, as one router decides it: budget, price, latency and health of the target, arm by arm. In
 * memory only: a new instance starts without evidence, which refuses nothing (latency.ts L2).
 *
 * Every frame of the fleet is counted once by the budget: kept ones by `kept`, sent ones by `decide`. They come in batches, so
 * the bucket gets the time from `FrameRate`. A call is remembered until its result comes, late or not, or until it is given up
 * after `lostAfterMs`, so a slow answer is measured and not cut off at the frame's deadline; at most `callsMax` are (G9).
 * Budget, price and sample are shared fairly by device (shares.ts).
 *
 * F2. When the target is found unhealthy or healthy again, its earlier latencies are forgotten; otherwise they would refuse the
 *     very calls that probe it.
 * F4. Arms share the budget in proportion to their weights: every frame of the fleet earns each of them its part, so no arm
 *     spends another's. Price, latency and health are each arm's own, as each may have a backend of its own. Frames of an
 *     arm that is not configured are the first one's.
 * F5. FALLBACK frames are paid from a budget of their own, which their devices share by max-min fairness (fallback-budget.ts), each at a
 *     bounded rate: a site whose devices are hot takes nothing from the others and raises nobody's price, and who asks for
 *     more than an equal part takes nothing from who asks for less. A device that has no answer of its own (`hasAnswer`) pays in the same
 *     way; beyond its part there it gets idle tokens of the fleet's budget, within its rate, as who is over a share does (shares.ts). */
import type { CloudOutcome, EscalationReason } from "@tributary/contracts";
import { invariant, Oldest } from "@tributary/kernel";
import { type Arm, noExperiment, sharesOf } from "../arms.ts";
import { type AdmissionBudgetSettings, ALONE, admissionBudgetDefaults, type RouterDecision } from "../router.ts";
import { ArmAdmission } from "./arm-admission.ts";
import { type CloudHealthSettings, cloudHealthDefaults } from "./cloud-health.ts";
import { FallbackRates, type FallbackSettings, fallbackDefaults } from "./fallback-rates.ts";
import { FrameRate } from "./frame-rate.ts";
import { DeviceShares, type DrawRoom, type ShareSettings, shareDefaults } from "./shares.ts";

export type AdmissionSettings = {
  readonly budget: AdmissionBudgetSettings;
  readonly health: CloudHealthSettings;
  readonly latencyHalfLifeMs: number;
  readonly lostAfterMs: number;
  readonly callsMax: number;
  readonly arms: readonly Arm[];
  readonly shares: ShareSettings;
  /** Of degraded devices (F5). */
  readonly fallback: FallbackSettings;
};

export const admissionDefaults: AdmissionSettings = {
  budget: admissionBudgetDefaults,
  health: cloudHealthDefaults,
  latencyHalfLifeMs: 10_000,
  lostAfterMs: 5_000,
  callsMax: 100_000,
  arms: noExperiment.arms,
  shares: shareDefaults,
  fallback: fallbackDefaults,
};

export type AdmissionRequest = {
  readonly deviceId: string;
  readonly arm: string;
  readonly reason: EscalationReason;
  /** The device has a label of its own. */
  readonly hasAnswer: boolean;
  readonly score: number;
  readonly sampleDrawn: boolean;
  /** Whether the draw is the one that the device's key gives. */
  readonly isDrawVerified: boolean;
  readonly remainingMs: number;
  /** It has its answer: only a draw still sends it. */
  readonly isSettled: boolean;
};

/** Why a device got less than it asked for: it is over its fair share of this. */
export type Unfair = "budget" | "priority" | "draws" | "draws-unverified" | "fallback" | "fallback-share";

export type AdmissionDecision = Pick<RouterDecision, "send" | "settledBy"> & {
  readonly facts: RouterDecision["facts"] | null;
  /** Whether it counts as drawn: not every claim does. */
  readonly sampleDrawn: boolean;
  readonly unfair: readonly Unfair[];
};

type Call = { readonly at: number; readonly arm: ArmAdmission };

export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #arms: ReadonlyMap<string, ArmAdmission>;
  readonly #first: ArmAdmission;
  /** Open calls, oldest first. */
  readonly #calls = new Map<string, Call>();
  readonly #oldestCalls = new Oldest(this.#calls);
  readonly #rate = new FrameRate();
  readonly #shares: DeviceShares;
  readonly #rates: FallbackRates;

  constructor(settings: AdmissionSettings = admissionDefaults) {
    this.#settings = settings;
    this.#shares = new DeviceShares(settings.shares, settings.budget);
    const arms = sharesOf(settings.arms).map(({ name, share }) => {
      const budget = { ...settings.budget, share: settings.budget.share * share };
      const fallbackBudget = {
        share: settings.fallback.fleetShareMax * share,
        burstMs: settings.budget.burstMs,
        devicesMax: settings.shares.devicesMax,
      };
      return [name, new ArmAdmission({ ...settings, budget, fallbackBudget })] as const;
    });
    invariant(arms[0] !== undefined, "there is at least one arm");
    this.#arms = new Map(arms);
    this.#first = arms[0][1];
    this.#rates = new FallbackRates(settings.fallback, settings.shares.devicesMax);
  }

  get arms(): readonly string[] {
    return [...this.#arms.keys()];
  }

  lambda(arm?: string): number {
    return this.#arm(arm).lambda;
  }

  /** Devices whose shares are remembered. */
  get devicesKnown(): number {
    return this.#shares.devices;
  }

  get callsOpen(): number {
    return this.#calls.size;
  }

  cloudHealthy(arm?: string): boolean {
    return this.#arm(arm).healthy;
  }

  latencyMs(quantile: number, now: number, arm?: string): number | null {
    return this.#arm(arm).latencyMs(quantile, now);
  }

  decide(frame: AdmissionRequest, now: number): AdmissionDecision {
    const { deviceId } = frame;
    const mine = this.#arm(frame.arm);
    const frameTimeMs = this.#earn(deviceId, now, mine);
    const room: DrawRoom = frame.sampleDrawn ? this.#shares.draw(deviceId, frame.isDrawVerified) : "none";
    const unfair: Unfair[] = [];
    if (frame.sampleDrawn && room === "none") unfair.push(frame.isDrawVerified ? "draws" : "draws-unverified");
    const sampleDrawn = room !== "none";
    if (frame.isSettled && !sampleDrawn) return { send: null, settledBy: null, facts: null, sampleDrawn, unfair };
    const paying = this.#payingOf(frame, sampleDrawn, mine, now);
    if (paying.why !== null) unfair.push(paying.why);
    if (paying.by === "nobody") {
      if (frameTimeMs !== null) mine.kept(frameTimeMs, false);
      return { send: null, settledBy: "FLEET_BUDGET", facts: null, sampleDrawn, unfair };
    }
    const isFallback = paying.by === "fallback";
    const own = this.#shares.standing(deviceId);
    const standing = isFallback ? ALONE : paying.by === "idle" ? { ...own, isOver: true, countsForPrice: false } : own;
    const score = Math.max(-1, Math.min(1, frame.score)); // what a score can be
    const payer = isFallback ? deviceId : null;
    const weighed = { ...frame, score, sampleDrawn, drawIdle: room === "idle", standing, payer };
    const { send, settledBy, facts, wanted } = mine.decide(weighed, now, frameTimeMs);
    const isPaidByShare = !isFallback && room !== "free";
    this.#shares.decided(deviceId, paying.by === "share" ? wanted : 0, send !== null && isPaidByShare);
    if (isFallback && settledBy === "FLEET_BUDGET") unfair.push("fallback-share");
    if (paying.by !== "share") return { send, settledBy, facts, sampleDrawn, unfair };
    const isOutbid = (settledBy === "FLEET_BUDGET" && wanted === 1) || settledBy === "DEADLINE_UNREACHABLE";
    if (isOutbid && standing.isOver) unfair.push("budget");
    const isUrgent = frame.reason === "PRIORITY" || frame.reason === "FALLBACK";
    if (isUrgent && send !== null && standing.isOver) unfair.push("priority"); // on the normal lane
    return { send, settledBy, facts, sampleDrawn, unfair };
  }

  /** A frame that its device answered itself. */
  kept(deviceId: string, now: number): void {
    this.#earn(deviceId, now);
    this.#shares.decided(deviceId, 0, false);
  }

  called(call: string, arm: string, now: number): void {
    this.#calls.delete(call);
    this.#calls.set(call, { at: now, arm: this.#arm(arm) });
    this.#oldestCalls.trim(this.#settings.callsMax);
  }

  /** Learns from any result, whether or not a frame still waits for it. Returns the latency when the call was ours. */
  returned(call: string, result: { readonly arm: string; readonly outcome: CloudOutcome }, now: number): number | null {
    const made = this.#calls.get(call);
    this.#calls.delete(call);
    const arm = made?.arm ?? this.#arm(result.arm);
    const latencyMs = made === undefined ? null : Math.max(0, now - made.at);
    switch (result.outcome) {
      case "ANSWERED":
      case "REFUSED": // the frame's fault, not the target's
        arm.answered(now);
        if (latencyMs !== null) arm.took(latencyMs, now);
        break;
      case "EXPIRED":
        if (latencyMs !== null) arm.took(latencyMs, now); // at least so late
        break;
      case "FAILED":
      case "OVERLOADED":
      case "UNKNOWN":
        arm.failed(now);
        break;
    }
    return latencyMs;
  }

  /** Gives up calls that never came back. Returns how many. */
  tick(now: number): number {
    let lost = 0;
    for (const [call, { at, arm }] of this.#calls) {
      if (at + this.#settings.lostAfterMs > now) break;
      this.#calls.delete(call);
      lost++;
      if (!arm.healthy) continue;
      arm.took(Number.POSITIVE_INFINITY, now);
      arm.failed(now);
    }
    return lost;
  }

  /** From what a frame is paid, and of which share of FALLBACK its device is over (F5). */
  #payingOf(
    { deviceId, reason, hasAnswer }: AdmissionRequest,
    sampleDrawn: boolean,
    arm: ArmAdmission,
    now: number,
  ): { readonly by: "share" | "fallback" | "idle" | "nobody"; readonly why: Unfair | null } {
    if (reason !== "FALLBACK" || sampleDrawn) return { by: "share", why: null };
    if (!this.#rates.take(deviceId, now)) return { by: "nobody", why: "fallback" };
    if (hasAnswer || arm.hasFallbackToken(deviceId, now)) return { by: "fallback", why: null };
    return { by: "idle", why: "fallback-share" };
  }

  #arm(name: string | undefined): ArmAdmission {
    return (name === undefined ? undefined : this.#arms.get(name)) ?? this.#first;
  }

  /** What a frame brings every arm that does not decide it. Null: it does not count. */
  #earn(deviceId: string, now: number, decides?: ArmAdmission): number | null {
    if (!this.#shares.frame(deviceId, now, this.#rate.intervalMs)) return null;
    const { timeMs, intervalMs } = this.#rate.next(now);
    const { countsForPrice } = this.#shares.standing(deviceId);
    for (const arm of this.#arms.values()) {
      arm.resize(intervalMs);
      if (arm !== decides) arm.kept(timeMs, countsForPrice);
    }
    return timeMs;
  }
}
