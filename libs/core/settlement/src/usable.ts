/** What makes a decoded record unusable for the fold, although it is well-formed Avro. Such records are poison (G8). */
import type { CloudResult, EdgeFrame, EdgePredictions } from "@tributary/contracts";
import { Failure, isValidId } from "@tributary/kernel";

const SEQ_MAX = BigInt(Number.MAX_SAFE_INTEGER);
const PREDICTIONS_MAX = 1_024;

export function assertUsableFrame(frame: EdgeFrame, key: string | null): void {
  identity(frame, key);
  sequence(frame.seq);
  frameIdentity(frame);
  duration("deadlineMs", frame.deadlineMs);
  duration("ageMs", frame.ageMs);
}

export function assertUsablePredictions(batch: EdgePredictions, key: string | null): void {
  identity(batch, key);
  sequence(batch.seq);
  const count = batch.predictions.length;
  if (count > PREDICTIONS_MAX) refuse("record-oversized", `${count} predictions; at most ${PREDICTIONS_MAX}`);
  for (const prediction of batch.predictions) {
    frameIdentity(prediction);
    duration("deadlineMs", prediction.deadlineMs);
    duration("ageMs", prediction.ageMs);
  }
}

export function assertUsableResult(result: CloudResult, key: string | null): void {
  identity(result, key);
  frameIdentity(result);
}

/** A record under another device's key sits in a partition whose state does not know its device. */
function identity(record: { readonly deviceId: string; readonly bootId: bigint }, key: string | null): void {
  if (!isValidId(record.deviceId)) refuse("device-id-malformed", `"${record.deviceId}" is not a device id`);
  if (record.deviceId !== key) refuse("key-mismatch", `key "${key}" carries a record of "${record.deviceId}"`);
  if (record.bootId < 0n) refuse("boot-id-negative", `bootId ${record.bootId} is negative`);
}

function frameIdentity(frame: { readonly cameraId: string; readonly frameSeq: bigint }): void {
  if (!isValidId(frame.cameraId)) refuse("camera-id-malformed", `"${frame.cameraId}" is not a camera id`);
  if (frame.frameSeq < 0n) refuse("frame-seq-negative", `frameSeq ${frame.frameSeq} is negative`);
}

function sequence(seq: bigint): void {
  if (seq < 1n || seq > SEQ_MAX) refuse("seq-out-of-range", `seq ${seq} is not between 1 and ${SEQ_MAX}`);
}

function duration(name: string, ms: number): void {
  if (!Number.isFinite(ms) || ms < 0) refuse("duration-malformed", `${name} ${ms} is not a duration`);
}

function refuse(code: string, message: string): never {
  throw new Failure(code, "give-up", message);
}
