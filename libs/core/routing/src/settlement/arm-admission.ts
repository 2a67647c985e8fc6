/** The admission state of one arm: its share of the fleet's budget, and the latency and health observed on it. */
import { type Bucket, bucketDepth } from "../bucket.ts";
import { LatencySketch } from "../latency.ts";
import {
  type AdmissionBudget,
  type AdmissionBudgetSettings,
  admissionBudgetInit,
  admissionBudgetKept,
  decideInRouter,
  type RouterDecision,
  type RouterFrame,
  type Standing,
} from "../router.ts";
import { CloudHealth, type CloudHealthSettings } from "./cloud-health.ts";
import { FallbackBudget, type FallbackBudgetSettings } from "./fallback-budget.ts";

export type ArmSettings = {
  /** With the arm's part of the fleet's share. */
  readonly budget: AdmissionBudgetSettings;
  /** The same, for FALLBACK frames (admission.ts F5). */
  readonly fallbackBudget: FallbackBudgetSettings;
  readonly health: CloudHealthSettings;
  readonly latencyHalfLifeMs: number;
};

export type WeighedFrame = Pick<RouterFrame, "reason" | "score" | "sampleDrawn" | "drawIdle" | "remainingMs"> & {
  readonly standing: Standing;
  /** Paid from this device's account of the FALLBACK budget; null: from the fleet's budget. */
  readonly payer: string | null;
};

function resized(budget: AdmissionBudget, intervalMs: number, settings: AdmissionBudgetSettings): AdmissionBudget {
  const { bucket } = budget;
  const after: Bucket = { ...bucket, intervalMs };
  const tokens = (bucket.tokens * bucketDepth(after, settings)) / bucketDepth(bucket, settings);
  return { ...budget, bucket: { ...after, tokens } };
}

export class ArmAdmission {
  readonly #settings: ArmSettings;
  readonly #health: CloudHealth;
  #latency: LatencySketch;
  #budget: AdmissionBudget;
  readonly #fallback: FallbackBudget;

  constructor(settings: ArmSettings) {
    this.#settings = settings;
    this.#health = new CloudHealth(settings.health);
    this.#latency = this.#noLatencies();
    this.#budget = admissionBudgetInit(settings.budget);
    this.#fallback = new FallbackBudget(settings.fallbackBudget);
  }

  get lambda(): number {
    return this.#budget.lambda;
  }

  get healthy(): boolean {
    return !this.#health.open;
  }

  latencyMs(quantile: number, now: number): number | null {
    return this.#latency.quantile(quantile, now);
  }

  /** Whether the device has a token for a FALLBACK frame. */
  hasFallbackToken(deviceId: string, now: number): boolean {
    return this.#fallback.tokensOf(deviceId, now) >= 1;
  }

  /** No `frameTimeMs`: the frame earns nothing. */
  decide(frame: WeighedFrame, now: number, frameTimeMs: number | null): RouterDecision {
    const { payer } = frame;
    if (payer !== null) {
      if (frameTimeMs !== null) this.#kept(frameTimeMs, frame.standing.countsForPrice);
      return this.#decideFallback(frame, payer, now);
    }
    const decision = decideInRouter({
      ...this.#weighed(frame, now),
      budget: this.#budget,
      settings: this.#settings.budget,
      nowMs: frameTimeMs,
    });
    this.#budget = decision.budget;
    if (frameTimeMs !== null) this.#fallback.earn(); // It is a frame of the fleet for the other budget as well.
    return decision;
  }

  /** A frame of the fleet that this arm does not send. */
  kept(frameTimeMs: number, countsForPrice: boolean): void {
    this.#fallback.earn();
    this.#kept(frameTimeMs, countsForPrice);
  }

  /** The device's tokens are all that the decision sees of the budget. */
  #decideFallback(frame: WeighedFrame, payer: string, now: number): RouterDecision {
    const tokens = this.#fallback.tokensOf(payer, now);
    const { bucket } = this.#budget;
    const decision = decideInRouter({
      ...this.#weighed(frame, now),
      budget: { lambda: 0, bucket: { ...bucket, tokens } },
      settings: { ...this.#settings.budget, reserve: 0 },
      nowMs: null,
    });
    if (decision.send !== null) this.#fallback.take(payer);
    return decision;
  }

  #weighed(frame: WeighedFrame, now: number) {
    // While answers grow slow, who is over its share is shed first, as long as the others still reach theirs.
    const withinMs = frame.standing.isOver ? frame.remainingMs / 2 : frame.remainingMs;
    return { ...frame, targetHealthy: this.#health.admit(now), reach: this.#latency.within(withinMs, now) };
  }

  #kept(frameTimeMs: number, countsForPrice: boolean): void {
    const kept = admissionBudgetKept(this.#budget, frameTimeMs, this.#settings.budget);
    this.#budget = countsForPrice ? kept : { ...kept, lambda: this.#budget.lambda };
  }

  /** The fleet's frame rate changed: the bucket gets another depth and stays as full as it was. */
  resize(intervalMs: number): void {
    if (intervalMs === this.#budget.bucket.intervalMs) return;
    this.#budget = resized(this.#budget, intervalMs, this.#settings.budget);
    this.#fallback.resize(intervalMs);
  }

  answered(now: number): void {
    this.#learn(() => this.#health.answered(now));
  }

  failed(now: number): void {
    this.#learn(() => this.#health.failed(now));
  }

  took(latencyMs: number, now: number): void {
    this.#latency.record(latencyMs, now);
  }

  #learn(observe: () => void): void {
    const before = this.#health.open;
    observe();
    if (this.#health.open !== before) this.#latency = this.#noLatencies(); // admission.ts F2
  }

  #noLatencies(): LatencySketch {
    return new LatencySketch({ halfLifeMs: this.#settings.latencyHalfLifeMs });
  }
}
