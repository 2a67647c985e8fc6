/**
 * What one router learns of the fleet and of its cloud target: budget, price, latency, health. In memory only: a new
 * instance starts without evidence, which refuses nothing (METHODS of routing, latency L2).
 *
 * F1. A call is remembered until its result comes, late or not, or it is given up after `lostAfterMs`; at most
 *     `callsMax` are (G9). A slow answer is thereby measured, and not cut off at the frame's deadline.
 * F2. When the target is found dead or back, the latencies of before say nothing any more and are forgotten; otherwise
 *     they would refuse the very calls that find out.
 * F3. Every frame of the fleet is seen once by the budget: kept ones by `kept`, sent ones by `decide`.
 *     They come in batches, so the bucket gets the time from `FrameRate`, and stays as full as it was when that changes.
 */
import type { CloudOutcome, EscalationReason } from "@tributary/contracts";
import {
  bucketDepth,
  decideInRouter,
  type FleetBudget,
  type FleetBudgetSettings,
  fleetBudgetDefaults,
  fleetBudgetInit,
  fleetBudgetKept,
  LatencySketch,
  type RouterDecision,
} from "@tributary/routing";
import { CloudHealth, type CloudHealthSettings, cloudHealthDefaults } from "./cloud-health.ts";
import { FrameRate } from "./frame-rate.ts";

export type FleetSettings = {
  readonly budget: FleetBudgetSettings;
  readonly health: CloudHealthSettings;
  readonly latencyHalfLifeMs: number;
  readonly lostAfterMs: number;
  readonly callsMax: number;
};

export const fleetDefaults: FleetSettings = {
  budget: fleetBudgetDefaults,
  health: cloudHealthDefaults,
  latencyHalfLifeMs: 10_000,
  lostAfterMs: 5_000,
  callsMax: 100_000,
};

export type Asking = {
  readonly reason: EscalationReason;
  readonly score: number;
  readonly sampleDrawn: boolean;
  readonly remainingMs: number;
};

export class Fleet {
  readonly #settings: FleetSettings;
  #latency: LatencySketch;
  readonly #health: CloudHealth;
  /** When each open call was made, oldest first. */
  readonly #calls = new Map<string, number>();
  readonly #rate = new FrameRate();
  #budget: FleetBudget;

  constructor(settings: FleetSettings = fleetDefaults) {
    this.#settings = settings;
    this.#latency = this.#noLatencies();
    this.#health = new CloudHealth(settings.health);
    this.#budget = fleetBudgetInit(settings.budget);
  }

  get lambda(): number {
    return this.#budget.lambda;
  }

  get callsOpen(): number {
    return this.#calls.size;
  }

  get cloudHealthy(): boolean {
    return !this.#health.open;
  }

  latencyMs(quantile: number, now: number): number | null {
    return this.#latency.quantile(quantile, now);
  }

  decide(frame: Asking, now: number): RouterDecision {
    const frameTimeMs = this.#frameTime(now);
    const decision = decideInRouter({
      ...frame,
      weight: 1, // weighs priced frames only, and PRIORITY is not priced
      targetHealthy: this.#health.admit(now),
      reach: this.#latency.within(frame.remainingMs, now),
      budget: this.#budget,
      settings: this.#settings.budget,
      nowMs: frameTimeMs,
    });
    this.#budget = decision.budget; // F3
    return decision;
  }

  kept(now: number): void {
    this.#budget = fleetBudgetKept(this.#budget, this.#frameTime(now), this.#settings.budget); // F3
  }

  called(call: string, now: number): void {
    this.#calls.delete(call);
    this.#calls.set(call, now);
    if (this.#calls.size > this.#settings.callsMax) this.#calls.delete(this.#calls.keys().next().value as string); // F1
  }

  /** Learns from any result, whether or not a frame still waits for it. Returns the latency when the call was ours. */
  returned(call: string, outcome: CloudOutcome, now: number): number | null {
    const calledAt = this.#calls.get(call);
    this.#calls.delete(call);
    const latencyMs = calledAt === undefined ? null : Math.max(0, now - calledAt);
    switch (outcome) {
      case "ANSWERED":
      case "REFUSED": // the frame's fault, not the target's
        this.#learn(() => this.#health.answered(now));
        if (latencyMs !== null) this.#latency.record(latencyMs, now);
        break;
      case "EXPIRED":
        if (latencyMs !== null) this.#latency.record(latencyMs, now); // at least so late
        break;
      case "FAILED":
      case "OVERLOADED":
      case "UNKNOWN":
        this.#learn(() => this.#health.failed(now));
        break;
    }
    return latencyMs;
  }

  /** Gives up calls that never came back. Returns how many. */
  tick(now: number): number {
    let lost = 0;
    for (const [call, calledAt] of this.#calls) {
      if (calledAt + this.#settings.lostAfterMs > now) break;
      this.#calls.delete(call);
      lost++;
      if (this.#health.open) continue;
      this.#latency.record(Number.POSITIVE_INFINITY, now);
      this.#learn(() => this.#health.failed(now));
    }
    return lost;
  }

  #frameTime(now: number): number {
    const { settings, bucket } = { settings: this.#settings.budget, bucket: this.#budget.bucket };
    const { timeMs, intervalMs } = this.#rate.next(now);
    if (intervalMs !== bucket.intervalMs) {
      const resized = { ...bucket, intervalMs };
      const tokens = (bucket.tokens * bucketDepth(resized, settings)) / bucketDepth(bucket, settings);
      this.#budget = { ...this.#budget, bucket: { ...resized, tokens } };
    }
    return timeMs;
  }

  #learn(observe: () => void): void {
    const before = this.#health.open;
    observe();
    if (this.#health.open !== before) this.#latency = this.#noLatencies(); // F2
  }

  #noLatencies(): LatencySketch {
    return new LatencySketch({ halfLifeMs: this.#settings.latencyHalfLifeMs });
  }
}
