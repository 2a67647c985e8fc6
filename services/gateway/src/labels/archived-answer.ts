/** What the archive recorded of a frame, in the shape of its final answer, for frames whose answers are no longer in memory. */
import type { Answer } from "@tributary/api";
import type { ArchivedFrame } from "@tributary/contracts";

export function answerOfArchived(frameId: string, frame: ArchivedFrame): Answer {
  const { deviceId, cameraId, reason, edgeLabel, edgeConfidence, cloudLabel, cloudConfidence, modelDigest } = frame;
  return {
    frameId,
    deviceId,
    bootId: `${frame.bootId}`,
    cameraId,
    frameSeq: `${frame.frameSeq}`,
    label: cloudLabel ?? edgeLabel,
    source: cloudLabel === null ? "EDGE" : "CLOUD",
    confidence: cloudLabel === null ? edgeConfidence : (cloudConfidence ?? 0),
    reason,
    settledBy: "UNKNOWN",
    edgeLabel,
    edgeConfidence,
    edgeMargin: 0,
    score: 0,
    admission: null,
    cloudLabel,
    cloudTarget: null,
    modelDigest,
    policyVersion: "",
    arm: "",
    sampleCorrectness: 0,
    samplePropensity: frame.samplePropensity,
    sampleDrawn: frame.sampleDrawn,
    level: "UNKNOWN",
    capturedAt: null,
    latencyMs: 0,
    costMicros: 0,
    traceparent: null,
    answeredAt: new Date(frame.receivedAt).toISOString(),
    partition: -1,
    offset: "0",
  };
}
