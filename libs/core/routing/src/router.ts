/**
 * The router's decision for one frame that a device sent. The device decided to send; the router may only refuse.
 *
 * An unhealthy target gets nothing. A frame is sent only if the cloud can still make it: unless the live latencies refute P(in
 * time) >= meetMin. The fleet's budget is priced: sent if v score - kappa P(miss) > lambda, and while its bucket has a token.
 * PRIORITY and FALLBACK are not priced, only bounded by the bucket, whose reserve is theirs. (FALLBACK frames of a device that has an answer
 * have a budget of their own: admission.ts F5.) A drawn frame bypasses budget and
 * deadline: past its deadline it is settled as EDGE and still sent. A device over its fair share is served from idle tokens
 * only, on the normal lane, at no less than its own price. Only its share of frames counts for the fleet's price. */
import type { EscalationReason, SettledBy } from "@tributary/contracts";
import { type Bucket, type BucketSettings, bucketEarn, bucketInit, bucketTake } from "./bucket.ts";
import { lambdaNext } from "./lambda.ts";
import type { Reach } from "./latency.ts";

export type AdmissionBudgetSettings = BucketSettings & {
  /** Step of lambda per frame. */
  readonly eta: number;
  /** v: value of one more right answer. */
  readonly value: number;
  /** kappa: cost of an answer that comes too late. */
  readonly missCost: number;
  /** Least P(in time) for sending. */
  readonly meetMin: number;
};

export const admissionBudgetDefaults: AdmissionBudgetSettings = {
  share: 0.3,
  burstMs: 60_000,
  reserve: 0.2,
  eta: 0.0005,
  value: 1,
  missCost: 0.1,
  meetMin: 0.99,
};

export type AdmissionBudget = { readonly lambda: number; readonly bucket: Bucket };

export const admissionBudgetInit = (settings: AdmissionBudgetSettings): AdmissionBudget => ({
  lambda: 0,
  bucket: bucketInit(settings),
});

/** For every frame of the fleet that was not sent to the cloud: kept on its device, or refused here. */
export const admissionBudgetKept = (
  budget: AdmissionBudget,
  nowMs: number,
  settings: AdmissionBudgetSettings,
): AdmissionBudget => ({
  lambda: lambdaNext(budget.lambda, 0, settings.share, settings.eta),
  bucket: bucketEarn(budget.bucket, nowMs, settings),
});

/** How a device stands to its fair share of what the fleet uses together. */
export type Standing = {
  readonly isOver: boolean;
  /** Least price it pays. */
  readonly priceMin: number;
  /** Whether its frame counts for the fleet's price. */
  readonly countsForPrice: boolean;
};

/** Of a device that is alone, or not distinguished from others. */
export const ALONE: Standing = { isOver: false, priceMin: 0, countsForPrice: true };

export type RouterFrame = {
  readonly reason: EscalationReason;
  readonly score: number;
  readonly sampleDrawn: boolean;
  /** A drawn frame that gets only idle tokens. */
  readonly drawIdle?: boolean;
  readonly standing?: Standing;
  /** Deadline less age. */
  readonly remainingMs: number;
  readonly targetHealthy: boolean;
  /** `sketch.within(remainingMs, nowMs)`. */
  readonly reach: Reach;
  readonly budget: AdmissionBudget;
  readonly settings: AdmissionBudgetSettings;
  /** Null: the frame earns nothing, as its device shows more than it may count. */
  readonly nowMs: number | null;
};

export type RouterDecision = {
  /** The cloud lane, or null: not sent. */
  readonly send: "high" | "normal" | null;
  /** Why the edge answer stands at once; null while the cloud is awaited. With `send`, only of a drawn frame. */
  readonly settledBy: SettledBy | null;
  readonly budget: AdmissionBudget;
  /** Whether it was worth its price, so that only the bucket could refuse it. */
  readonly wanted: 0 | 1;
  /** What was weighed, for logs and `router explain`. */
  readonly facts: {
    readonly utility: number;
    readonly lambda: number;
    readonly reachProbability: number;
    readonly tokens: number;
  };
};

export function decideInRouter(frame: RouterFrame): RouterDecision {
  const { settings, reach, standing = ALONE } = frame;
  const utility = settings.value * frame.score - settings.missCost * (1 - reach.probability);
  const { bucket } = frame.budget;
  const earned = frame.nowMs === null ? bucket : bucketEarn(bucket, frame.nowMs, settings);
  const facts = {
    utility,
    lambda: frame.budget.lambda,
    reachProbability: reach.probability,
    tokens: earned.tokens,
  };
  const isUrgent = frame.reason === "PRIORITY" || frame.reason === "FALLBACK";
  const lane = isUrgent && !standing.isOver ? "high" : "normal";
  const { lambda } = frame.budget;
  const after = (wanted: 0 | 1, left: Bucket) => ({
    wanted,
    budget: {
      lambda: standing.countsForPrice ? lambdaNext(lambda, wanted, settings.share, settings.eta) : lambda,
      bucket: left,
    },
  });
  const keep = (settledBy: SettledBy): RouterDecision => ({ send: null, settledBy, ...after(0, earned), facts });

  if (!frame.targetHealthy) return keep("CLOUD_UNHEALTHY");
  const late: SettledBy | null =
    frame.remainingMs <= 0 ? "DEADLINE" : reach.probabilityUpper < settings.meetMin ? "DEADLINE_UNREACHABLE" : null;
  if (frame.sampleDrawn && frame.drawIdle === true) {
    const taken = bucketTake(earned, settings, "idle");
    if (!taken.granted) return keep(late ?? "FLEET_BUDGET");
    return { send: "normal", settledBy: late === "DEADLINE" ? late : null, ...after(0, taken.bucket), facts };
  }
  if (frame.sampleDrawn) {
    // The sample has its own budget, so lambda and the bucket see a kept frame.
    const settledBy = late === "DEADLINE" ? late : null;
    return { send: lane, settledBy, ...after(0, earned), facts };
  }
  if (late !== null) return keep(late);
  if (!isUrgent && utility <= Math.max(lambda, standing.priceMin)) return keep("FLEET_BUDGET");
  const taken = bucketTake(earned, settings, standing.isOver ? "idle" : isUrgent ? "priority" : "normal");
  // The price must rise while the bucket refuses, or it would stay low and the bucket would choose by arrival.
  if (!taken.granted) return { send: null, settledBy: "FLEET_BUDGET", ...after(1, earned), facts };
  return { send: lane, settledBy: null, ...after(1, taken.bucket), facts };
}
