/** Builders of outbox items for this package's tests. */
import { EdgeFrame, EdgePredictions, jsonSafe } from "@tributary/contracts";
import type { Captured } from "../outbox/age.ts";
import type { EscalationReason, FrameItem, OutboxLimits, PredictionBody } from "../outbox/rows.ts";

export const MODEL_DIGEST = "a".repeat(64);

export const limits: OutboxLimits = {
  bytesMax: 1 << 20,
  frameBytesMax: 50_000,
  batchMax: 16,
  batchWaitMs: 200,
  commitMs: 100,
  commitFrames: 64,
  windowRecords: 4,
  windowBytes: 1 << 20,
  reportsMax: 8,
  confirmMs: null,
};

export type FrameSpec = {
  readonly captured: Captured;
  readonly frameSeq: number;
  readonly reason?: EscalationReason;
  readonly drawn?: boolean;
  readonly score?: number;
  readonly deadlineMs?: number;
  readonly jpegBytes?: number;
  readonly policyVersion?: string;
};

/** QUEUED when it has a reason, else kept. */
export function frameItem(spec: FrameSpec): FrameItem {
  const reason = spec.reason ?? "NONE";
  const body: PredictionBody = {
    cameraId: "front",
    frameSeq: spec.frameSeq,
    label: "cat",
    confidence: 0.75,
    margin: 0.5,
    entropy: 0.7,
    score: spec.score ?? 0.1,
    latencyMs: 3,
    capturedAt: spec.captured.wallMs,
    reason,
    deadlineMs: spec.deadlineMs ?? 2_000,
    sampleCorrectness: 0.9,
    samplePropensity: 0.05,
    sampleDrawn: spec.drawn ?? false,
    wouldSend: null,
    worldDigest: null,
    context: null,
    level: "FULL",
  };
  const policyVersion = spec.policyVersion ?? "c".repeat(64);
  const isQueued = reason !== "NONE";
  return {
    kind: "frame",
    captured: spec.captured,
    decidedBy: { modelDigest: MODEL_DIGEST, preprocessingDigest: "b".repeat(64), policyVersion, arm: "default" },
    body,
    escalation: isQueued ? "QUEUED" : "NONE",
    dropReason: "NONE",
    jpeg: isQueued ? jpegOf(spec.frameSeq, spec.jpegBytes ?? 500) : null,
    traceparent: null,
  };
}

/** Starts and ends as a JPEG; the rest identifies it. */
export function jpegOf(seed: number, bytes: number): Buffer {
  const jpeg = Buffer.alloc(bytes, seed % 251);
  jpeg.writeUInt16BE(0xffd8, 0);
  jpeg.writeUInt32BE(seed, 2);
  jpeg.writeUInt16BE(0xffd9, bytes - 2);
  return jpeg;
}

export type AgelessRecord = { readonly text: string; readonly ageMs: number };

/** A record without its ages, which alone may differ between a first sending and a resend; and the oldest of them. */
export function agelessRecord(stream: string, payload: Uint8Array): AgelessRecord {
  const record = stream === "frames" ? EdgeFrame.decodeSingleObject(payload) : undefined;
  const whole = record ?? (stream === "predictions" ? EdgePredictions.decodeSingleObject(payload) : undefined);
  if (whole === undefined) return { text: Buffer.from(payload).toString("latin1"), ageMs: 0 };
  let ageMs = 0;
  const text = JSON.stringify(whole, (key, value) => {
    if (key !== "ageMs") return jsonSafe(key, value);
    ageMs = Math.max(ageMs, value);
    return undefined;
  });
  return { text, ageMs };
}
