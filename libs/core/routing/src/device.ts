/**
 * The device's decision for one frame: keep its own answer, or want the cloud's, and why.
 *
 * D1. The reason is the strongest that holds: PRIORITY, FALLBACK, AMBIGUOUS, SAMPLE. FALLBACK: the device's hardware is degraded, or it has
 *     no answer of its own.
 * D2. A drawn frame bypasses the budget, whatever its reason, and takes no token.
 *     Whether the policy would have sent it is logged (`wouldSend`), as far as the bucket of the moment shows: else the effect of
 *     the policy alone could not be estimated afterwards, for the sample draws a frame whatever it decides.
 * D3. A frame refused by the budget is DROPPED for BUDGET: wanted, counted, and still answered (G2, G9).
 * D4. FALLBACK takes no token: its rate and its budget are its own, so that a degraded device asks for its ambiguous frames as before.
 */
import type { DropReason, Escalation, EscalationReason, RoutingPolicy } from "@tributary/contracts";
import { type Bucket, type BucketSettings, bucketEarn, bucketTake } from "./bucket.ts";
import type { Calibrated } from "./calibrate.ts";
import { samplePropensity } from "./sample.ts";
import { scoreOf } from "./score.ts";

export type DeviceFrame = {
  readonly policy: RoutingPolicy;
  readonly calibrated: Calibrated;
  /** Something outside the picture asked for the cloud (a button, a sensor, an operator). */
  readonly externalTrigger: boolean;
  /** The hardware is degraded, and this frame is due by the rate of such frames (D4). */
  readonly isFallback?: boolean;
  /** Whether the sample draws a frame of this propensity: `(pi) => sampleDraw(hmac, pi)`. */
  readonly draw: (propensity: number) => boolean;
  readonly bucket: Bucket;
  /** Monotonic. */
  readonly nowMs: number;
};

export type DeviceDecision = {
  readonly reason: EscalationReason;
  readonly escalation: Escalation;
  readonly dropReason: DropReason;
  readonly score: number;
  /** q: P(edge right). */
  readonly sampleCorrectness: number;
  /** pi. */
  readonly samplePropensity: number;
  readonly sampleDrawn: boolean;
  /** Whether it would be sent if it had not been drawn (D2). */
  readonly wouldSend: boolean;
  readonly bucket: Bucket;
};

export const bucketSettingsOf = (policy: RoutingPolicy): BucketSettings => ({
  share: policy.escalationShareMax,
  burstMs: policy.burstMs,
  reserve: policy.priorityReserve,
});

export function decideOnDevice(frame: DeviceFrame): DeviceDecision {
  const { policy, calibrated } = frame;
  const settings = bucketSettingsOf(policy);
  const { score, edgeRight } = scoreOf(policy, calibrated);
  const propensity = samplePropensity(policy, edgeRight);
  const sampleDrawn = frame.draw(propensity);
  const reason = reasonOf(frame, score, sampleDrawn);
  const facts = { reason, score, sampleCorrectness: edgeRight, samplePropensity: propensity, sampleDrawn };
  const bucket = bucketEarn(frame.bucket, frame.nowMs, settings);
  if (reason === "NONE") return { ...facts, wouldSend: false, escalation: "NONE", dropReason: "NONE", bucket };
  if (reason === "FALLBACK") return { ...facts, wouldSend: true, escalation: "QUEUED", dropReason: "NONE", bucket };
  const isWanted = reason !== "SAMPLE";
  const taken = bucketTake(bucket, settings, reason === "PRIORITY" ? "priority" : "normal");
  const wouldSend = isWanted && taken.granted;
  if (sampleDrawn) return { ...facts, wouldSend, escalation: "QUEUED", dropReason: "NONE", bucket };
  return wouldSend
    ? { ...facts, wouldSend, escalation: "QUEUED", dropReason: "NONE", bucket: taken.bucket }
    : { ...facts, wouldSend, escalation: "DROPPED", dropReason: "BUDGET", bucket: taken.bucket };
}

/** The rule of a priority label that this frame meets; null if none. */
export const priorityOf = (policy: Pick<RoutingPolicy, "labels" | "priorityLabels">, calibrated: Calibrated) =>
  policy.priorityLabels.find(
    (rule) => rule.label === policy.labels[calibrated.labelIndex] && calibrated.confidence >= rule.confidenceMin,
  ) ?? null;

function reasonOf(
  { policy, calibrated, externalTrigger, isFallback = false }: DeviceFrame,
  score: number,
  sampleDrawn: boolean,
): EscalationReason {
  if (externalTrigger || priorityOf(policy, calibrated) !== null) return "PRIORITY";
  if (isFallback) return "FALLBACK";
  if (score > policy.scoreMin) return "AMBIGUOUS";
  return sampleDrawn ? "SAMPLE" : "NONE";
}
