/** Final answers and cloud requests from the records that carry them. */
import type {
  CloudOutcome,
  CloudRequest,
  CloudResult,
  EdgeFrame,
  EdgePrediction,
  EdgePredictions,
  FinalAnswer,
  SettledBy,
} from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { ARM_DEFAULT } from "../arms.ts";

/** The edge answer that stands unless something better comes. `settledBy`, `latencyMs` are filled in when it does. */
export const answerOfFrame = (frame: EdgeFrame, arm: string): FinalAnswer => ({
  ...common(frame),
  cloudTarget: null,
  modelDigest: frame.modelDigest,
  policyVersion: frame.policyVersion,
  arm,
  traceparent: frame.traceparent,
});

export const answerOfPrediction = (batch: EdgePredictions, prediction: EdgePrediction, arm: string): FinalAnswer => ({
  ...common(prediction),
  cloudTarget: null,
  modelDigest: batch.modelDigest,
  policyVersion: batch.policyVersion,
  arm,
  traceparent: batch.traceparent,
});

const common = (seen: EdgeFrame | EdgePrediction) => ({
  cameraId: seen.cameraId,
  frameSeq: seen.frameSeq,
  label: seen.label,
  source: "EDGE" as const,
  confidence: seen.confidence,
  reason: seen.reason,
  settledBy: "UNKNOWN" as const,
  edgeLabel: seen.label,
  edgeConfidence: seen.confidence,
  edgeMargin: seen.margin,
  score: seen.score,
  admission: null,
  cloudLabel: null,
  sampleCorrectness: seen.sampleCorrectness,
  samplePropensity: seen.samplePropensity,
  sampleDrawn: seen.sampleDrawn,
  level: seen.level,
  capturedAt: seen.capturedAt,
  latencyMs: 0,
  costMicros: 0n,
});

/** An answer needs a label and its confidence; a target that reports ANSWERED without them has failed. */
export const isUsable = (result: CloudResult): boolean =>
  result.outcome === "ANSWERED" && result.label !== null && result.confidence !== null;

export const answerOfCloud = (edge: FinalAnswer, result: CloudResult): FinalAnswer => ({
  ...edge,
  label: result.label ?? edge.label,
  source: "CLOUD",
  confidence: result.confidence ?? edge.confidence,
  cloudLabel: result.label,
  cloudTarget: result.target,
  // Outside an experiment of the router's, the classifier may have one of its own.
  arm: edge.arm === ARM_DEFAULT ? result.arm : edge.arm,
  costMicros: result.costMicros,
});

/** An answer's trace goes on from the last record that concerned it. */
export const tracedBy = (answer: FinalAnswer, record: { readonly traceparent: string | null }): FinalAnswer =>
  record.traceparent === null ? answer : { ...answer, traceparent: record.traceparent };

/** Why the edge answer stands when the cloud gave no usable answer. */
export function causeOfOutcome(outcome: CloudOutcome): SettledBy {
  switch (outcome) {
    case "EXPIRED":
      return "DEADLINE";
    case "REFUSED":
      return "FRAME_REFUSED";
    case "OVERLOADED":
      return "CLOUD_UNHEALTHY";
    case "FAILED":
    case "ANSWERED":
    case "UNKNOWN":
      return "CLOUD_FAILED";
  }
}

export const finished = (
  answer: FinalAnswer,
  settledBy: SettledBy,
  capturedAt: Instant,
  now: Instant,
): FinalAnswer => ({ ...answer, settledBy, latencyMs: Math.max(0, now - capturedAt) });

export const requestOf = (
  frame: EdgeFrame,
  asked: { readonly target: string; readonly arm: string },
  when: { readonly deadlineAt: Instant; readonly now: Instant },
): CloudRequest => ({
  deviceId: frame.deviceId,
  bootId: frame.bootId,
  cameraId: frame.cameraId,
  frameSeq: frame.frameSeq,
  reason: frame.reason,
  sampleDrawn: frame.sampleDrawn,
  target: asked.target,
  arm: asked.arm,
  deadlineAt: Math.round(when.deadlineAt),
  requestedAt: when.now,
  jpeg: frame.jpeg,
  edgeLabel: frame.label,
  edgeConfidence: frame.confidence,
  traceparent: frame.traceparent,
});
