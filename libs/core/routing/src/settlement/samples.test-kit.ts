/** Records for this package's tests; pure, unlike the shared builders. */
import type { CloudResult, EdgeFrame, EdgePrediction, EdgePredictions } from "@tributary/contracts";

const seen = {
  cameraId: "cam",
  frameSeq: 1n,
  label: "cat",
  confidence: 0.5,
  margin: 0.1,
  entropy: 1.1,
  score: 0.4,
  ageMs: 100,
  capturedAt: null,
  deadlineMs: 2_000,
  sampleCorrectness: 0.5,
  samplePropensity: 0.05,
  sampleDrawn: false,
  level: "FULL",
} as const;

const made = { modelDigest: "d", preprocessingDigest: "p", policyVersion: "v", arm: "default", traceparent: null };
const clockState = "SYNCHRONIZED" as const;

export const aPrediction = (change: Partial<EdgePrediction> = {}): EdgePrediction => ({
  ...seen,
  latencyMs: 9,
  wouldSend: null,
  worldDigest: null,
  context: null,
  reason: "NONE",
  escalation: "NONE",
  dropReason: "NONE",
  ...change,
});

export const batchOf = (
  predictions: readonly EdgePrediction[],
  change: Partial<EdgePredictions> = {},
): EdgePredictions => ({
  ...made,
  deviceId: "device-1",
  bootId: 7n,
  seq: 1n,
  clockState,
  predictions,
  ...change,
});

export const aFrame = (change: Partial<EdgeFrame> = {}): EdgeFrame => ({
  ...seen,
  ...made,
  deviceId: "device-1",
  bootId: 7n,
  seq: 1n,
  reason: "AMBIGUOUS",
  clockState,
  jpeg: new Uint8Array([0xff, 0xd8, 0xff, 0xd9]) as EdgeFrame["jpeg"],
  ...change,
});

export const aResult = (change: Partial<CloudResult> = {}): CloudResult => ({
  deviceId: "device-1",
  bootId: 7n,
  cameraId: "cam",
  frameSeq: 1n,
  target: "default",
  arm: "default",
  outcome: "ANSWERED",
  label: "dog",
  confidence: 0.95,
  margin: 0.9,
  failureCode: null,
  modelDigest: "d",
  latencyMs: 20,
  costMicros: 120n,
  attempts: 1,
  answeredBy: null,
  servedBy: null,
  traceparent: null,
  ...change,
});
