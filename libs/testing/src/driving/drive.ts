/**
 * A drive in simulated time: one camera with a deadline, two models whose latencies are drawn, faults, and the real ladder. What the
 * agent does with a frame (edge/agent/src/driving/driver.ts) is done here without timers: a model answers a request its latency later.
 */
import {
  type Ladder,
  type LadderEvent,
  type LadderSettings,
  type Level,
  type LevelReason,
  ladderDefaults,
  ladderNext,
  ladderStart,
  type MissCause,
  type ModelRole,
  planOf,
  probeOf,
} from "@tributary/driving";
import { type Random, seededRandom } from "@tributary/kernel";
import { normal } from "../fleet/index.ts";

const DEADLINE_MS = 50;
const PERIOD_MS = 50;
const READING_EVERY_MS = 1_000;
const CAMERA = "front";
/** Of a model whose process ended. */
const RELOAD_MS = 1_500;
const USUAL_MS = { FULL: 8, LITE: 2 } as const;
const LITE_MS_MAX = 0.3 * DEADLINE_MS;
/** This share of frames takes so many times as long, as with a pause of a garbage collector. */
const [OUTLIERS, OUTLIER_FACTOR] = [0.0005, 5] as const;
const roles = ["FULL", "LITE"] as const;

export type Fault = {
  readonly kind: "stopped" | "killed" | "slow" | "hot" | "throttled" | "frozen" | "silent" | "sensor";
  readonly role: ModelRole;
  readonly fromMs: number;
  readonly untilMs: number;
  /** Of `slow`. */
  readonly factor: number;
};

/** The decisions that a drive is made with: those of the ladder, or a weakened copy for a control. */
export type LadderRules = {
  readonly next: typeof ladderNext;
  readonly plan: typeof planOf;
  readonly settings: LadderSettings;
};

export const ladderRules: LadderRules = {
  next: ladderNext,
  plan: planOf,
  settings: { ...ladderDefaults, deadlineMs: DEADLINE_MS },
};

export type SimulatedFrame = { readonly at: number; readonly answeredBy: ModelRole | null; readonly afterMs: number };
export type Change = { readonly at: number; readonly from: Level; readonly to: Level; readonly reason: LevelReason };
export type Drive = {
  readonly frames: readonly SimulatedFrame[];
  readonly changes: readonly Change[];
  readonly events: readonly LadderEvent[];
  readonly start: Ladder;
  readonly end: Ladder;
  /** Requests to the full model while the hardware was hot. */
  readonly askedHot: number;
};

export function faultsOf(random: Random, driveMs: number, count: number, kinds: readonly Fault["kind"][]): Fault[] {
  return Array.from({ length: count }, () => {
    const fromMs = random() * driveMs * 0.8;
    const kind = kinds[Math.floor(random() * kinds.length)] ?? "slow";
    const role = random() < 0.7 ? "FULL" : "LITE";
    return { kind, role, fromMs, untilMs: fromMs + 50 + random() * 20_000, factor: 1.5 + 8 * random() };
  });
}

export const drive = (seed: number, driveMs: number, faults: readonly Fault[], rules = ladderRules): Drive =>
  new Car(seededRandom(seed), faults, rules).driven(driveMs);

class Car {
  readonly #random: Random;
  readonly #faults: readonly Fault[];
  readonly #rules: LadderRules;
  readonly #frames: SimulatedFrame[] = [];
  readonly #changes: Change[] = [];
  readonly #events: LadderEvent[] = [];
  readonly #askedAt = { FULL: 0, LITE: 0 };
  /** When each answers what it was asked; 0: it has. */
  readonly #answersAt = { FULL: 0, LITE: 0 };
  readonly #downUntil = { FULL: 0, LITE: 0 };
  #ladder: Ladder;
  #askedHot = 0;

  constructor(random: Random, faults: readonly Fault[], rules: LadderRules) {
    this.#random = random;
    this.#faults = faults;
    this.#rules = rules;
    this.#ladder = ladderStart(0, { FULL: true, LITE: true });
  }

  driven(driveMs: number): Drive {
    const start = this.#ladder;
    for (let at = 0; at < driveMs; at += PERIOD_MS) {
      this.#settleUntil(at);
      if (at % READING_EVERY_MS === 0) this.#read(at);
      this.#frame(at);
    }
    const [frames, changes, events] = [this.#frames, this.#changes, this.#events];
    return { frames, changes, events, start, end: this.#ladder, askedHot: this.#askedHot };
  }

  #frame(at: number): void {
    const answer = this.#active("silent", at) === undefined ? this.#answer(at) : "camera-silent";
    if (typeof answer === "string") {
      this.#missed(at, answer);
      return;
    }
    const { by, doneAt } = answer;
    this.#settleUntil(doneAt);
    this.#send({ kind: "met", cameraId: CAMERA, at: doneAt });
    this.#frames.push({ at, answeredBy: by, afterMs: doneAt - at });
    const probe = probeOf(this.#ladder, this.#askedAt, doneAt, this.#rules.settings);
    if (probe !== null && this.#answersAt[probe] === 0) this.#ask(probe, doneAt);
  }

  #answer(at: number): { readonly by: ModelRole; readonly doneAt: number } | MissCause {
    const { plan, settings } = this.#rules;
    const isFree = { FULL: this.#answersAt.FULL === 0, LITE: this.#answersAt.LITE === 0 };
    const { first, hedge } = plan(this.#ladder, isFree);
    let by: ModelRole = "FULL";
    let doneAt = Number.POSITIVE_INFINITY;
    const ask = (role: ModelRole, askedAt: number) => {
      const answersAt = this.#ask(role, askedAt);
      if (answersAt < doneAt) [by, doneAt] = [role, answersAt];
    };
    for (const role of first) ask(role, at);
    const hedgeAt = at + settings.hedgeAt * DEADLINE_MS;
    if (hedge !== null && doneAt > hedgeAt) ask(hedge, hedgeAt);
    if (this.#active("frozen", at)) return "camera-frozen";
    return doneAt > at + settings.staleAt * DEADLINE_MS ? "frame-late" : { by, doneAt };
  }

  #missed(at: number, cause: MissCause): void {
    const afterMs = this.#rules.settings.staleAt * DEADLINE_MS;
    this.#settleUntil(at + afterMs);
    this.#send({ kind: "missed", cameraId: CAMERA, cause, at: at + afterMs });
    this.#frames.push({ at, answeredBy: null, afterMs });
  }

  /** When it answers; a model that is stopped goes on afterwards. */
  #ask(role: ModelRole, at: number): number {
    this.#askedAt[role] = at;
    if (role === "FULL" && this.#active("hot", at)) this.#askedHot += 1;
    const resumesAt = this.#active("stopped", at, role)?.untilMs ?? at;
    this.#answersAt[role] = resumesAt + this.#latency(role, at);
    return this.#answersAt[role];
  }

  #latency(role: ModelRole, at: number): number {
    const spread = Math.exp(0.15 * normal(this.#random));
    const outlier = this.#random() < OUTLIERS ? OUTLIER_FACTOR : 1;
    const ms = USUAL_MS[role] * spread * outlier * (this.#active("slow", at, role)?.factor ?? 1);
    return role === "LITE" ? Math.min(ms, LITE_MS_MAX) : ms;
  }

  /** What became of the models: killed, loaded again, answered, or hanging. */
  #settleUntil(now: number): void {
    for (const role of roles) {
      const killed = this.#active("killed", now, role);
      if (killed !== undefined && this.#downUntil[role] < now) {
        this.#downUntil[role] = Math.min(killed.untilMs, now + RELOAD_MS);
        this.#answersAt[role] = 0;
        this.#isNoLongerHanging(role, now);
        this.#send({ kind: "model", role, isUp: false, at: now });
      }
      if (!this.#ladder.isUp[role] && this.#downUntil[role] <= now) {
        this.#send({ kind: "model", role, isUp: true, at: now });
      }
      const answersAt = this.#answersAt[role];
      if (answersAt === 0) continue;
      if (answersAt <= now) {
        this.#isNoLongerHanging(role, now);
        if (role === "FULL") this.#send({ kind: "answered", tookMs: answersAt - this.#askedAt[role], at: now });
        this.#answersAt[role] = 0;
      } else if (now - this.#askedAt[role] >= this.#rules.settings.hangsMs && !this.#ladder.isHanging[role]) {
        this.#send({ kind: "hangs", role, isHanging: true, at: now });
      }
    }
  }

  #isNoLongerHanging(role: ModelRole, at: number): void {
    if (this.#ladder.isHanging[role]) this.#send({ kind: "hangs", role, isHanging: false, at });
  }

  #read(at: number): void {
    const isBroken = this.#active("sensor", at) !== undefined;
    const celsius = this.#active("hot", at) === undefined ? 55 : 80;
    const isThrottled = this.#active("throttled", at) !== undefined;
    const reading = isBroken ? { celsius: null, isThrottled: null } : { celsius, isThrottled };
    this.#send({ kind: "reading", reading, at });
  }

  #send(event: LadderEvent): void {
    const { level: from } = this.#ladder;
    this.#ladder = this.#rules.next(this.#ladder, event, this.#rules.settings);
    this.#events.push(event);
    const { level: to, reason } = this.#ladder;
    if (to !== from) this.#changes.push({ at: event.at, from, to, reason });
  }

  #active(kind: Fault["kind"], at: number, role?: ModelRole): Fault | undefined {
    for (const fault of this.#faults) {
      const isOfRole = role === undefined || fault.role === role;
      if (fault.kind === kind && isOfRole && fault.fromMs <= at && at < fault.untilMs) return fault;
    }
    return undefined;
  }
}
