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

export type ArmSettings = {
  /** With the arm's part of the fleet's share. */
  readonly budget: AdmissionBudgetSettings;
  /** The same, for FALLBACK frames of degraded devices (admission.ts F5). */
  readonly fallbackBudget: AdmissionBudgetSettings;
  readonly health: CloudHealthSettings;
  readonly latencyHalfLifeMs: number;
};

export type WeighedFrame = Pick<RouterFrame, "reason" | "score" | "sampleDrawn" | "drawIdle" | "remainingMs"> & {
  readonly standing: Standing;
  /** Paid from the budget of degraded devices. */
  readonly isDegraded: boolean;
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
  #fallbackBudget: AdmissionBudget;

  constructor(settings: ArmSettings) {
    this.#settings = settings;
    this.#health = new CloudHealth(settings.health);
    this.#latency = this.#noLatencies();
    this.#budget = admissionBudgetInit(settings.budget);
    this.#fallbackBudget = admissionBudgetInit(settings.fallbackBudget);
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

  /** No `frameTimeMs`: the frame earns nothing. */
  decide(frame: WeighedFrame, now: number, frameTimeMs: number | null): RouterDecision {
    const decision = decideInRouter({
      ...frame,
      targetHealthy: this.#health.admit(now),
      // While answers grow slow, who is over its share is shed first, as long as the others still reach theirs.
      reach: this.#latency.within(frame.standing.isOver ? frame.remainingMs / 2 : frame.remainingMs, now),
      budget: frame.isDegraded ? this.#fallbackBudget : this.#budget,
      settings: frame.isDegraded ? this.#settings.fallbackBudget : this.#settings.budget,
      nowMs: frameTimeMs,
    });
    if (frame.isDegraded) this.#fallbackBudget = decision.budget;
    else this.#budget = decision.budget;
    // It is a frame of the fleet for the other budget as well.
    if (frameTimeMs !== null)
      this.#earn(frameTimeMs, frame.standing.countsForPrice, frame.isDegraded ? "budget" : "fallback");
    return decision;
  }

  /** A frame of the fleet that this arm does not send. */
  kept(frameTimeMs: number, countsForPrice: boolean): void {
    this.#earn(frameTimeMs, countsForPrice, "budget");
    this.#earn(frameTimeMs, countsForPrice, "fallback");
  }

  #earn(frameTimeMs: number, countsForPrice: boolean, which: "budget" | "fallback"): void {
    if (which === "fallback") {
      this.#fallbackBudget = admissionBudgetKept(this.#fallbackBudget, frameTimeMs, this.#settings.fallbackBudget);
      return;
    }
    const kept = admissionBudgetKept(this.#budget, frameTimeMs, this.#settings.budget);
    this.#budget = countsForPrice ? kept : { ...kept, lambda: this.#budget.lambda };
  }

  /** The fleet's frame rate changed: the bucket gets another depth and stays as full as it was. */
  resize(intervalMs: number): void {
    if (intervalMs === this.#budget.bucket.intervalMs) return;
    this.#budget = resized(this.#budget, intervalMs, this.#settings.budget);
    this.#fallbackBudget = resized(this.#fallbackBudget, intervalMs, this.#settings.fallbackBudget);
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
