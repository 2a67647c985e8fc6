/**
 * What makes a decoded record unusable for the fold, although it is well-formed Avro. Such records are poison (G8).
 *
 * U1. Whatever passes here can be written again: as answers, as requests, and 4,096 open frames of it as one state.
 *     Otherwise one device's record would stop its partition where the router writes.
 */
import type { CloudResult, EdgeFrame, EdgePrediction, EdgePredictions } from "@tributary/contracts";
import { Failure, isValidId, LABEL_BYTES_MAX, utf8Length } from "@tributary/kernel";
import { NO_BOOT } from "./device-state.ts";

const SEQ_MAX = BigInt(Number.MAX_SAFE_INTEGER);
/** Predictions of one batch. */
export const PREDICTIONS_MAX = 1_024;
/** No device holds a frame for ten years. */
const AGE_MS_MAX = 10 * 366 * 86_400_000;
/** What a date can be. */
const INSTANT_MAX = 8.64e15;
const NAME_BYTES_MAX = 64;

export function assertUsableFrame(frame: EdgeFrame, key: string | null): void {
  identity(frame, key);
  sequence(frame);
  if (frame.bootId === NO_BOOT && frame.seq !== frame.frameSeq) {
    refuse("seq-out-of-range", `seq ${frame.seq} of boot 0 is not the frame's ${frame.frameSeq}`);
  }
  names(frame);
  seen(frame);
}

export function assertUsablePredictions(batch: EdgePredictions, key: string | null): void {
  identity(batch, key);
  sequence(batch);
  names(batch);
  const count = batch.predictions.length;
  if (count > PREDICTIONS_MAX) refuse("record-oversized", `${count} predictions; at most ${PREDICTIONS_MAX}`);
  for (const prediction of batch.predictions) seen(prediction);
}

export function assertUsableResult(result: CloudResult, key: string | null): void {
  identity(result, key);
  frameIdentity(result);
  if (result.label !== null) text("label", result.label, LABEL_BYTES_MAX);
  text("target", result.target, NAME_BYTES_MAX);
  if (result.confidence !== null) numbers(result, ["confidence"]);
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

function sequence({ bootId, seq }: { readonly bootId: bigint; readonly seq: bigint }): void {
  if (bootId === NO_BOOT) {
    if (seq < 1n) refuse("seq-out-of-range", `seq ${seq} of boot 0 is no digest`);
    return;
  }
  if (seq < 1n || seq > SEQ_MAX) refuse("seq-out-of-range", `seq ${seq} is not between 1 and ${SEQ_MAX}`);
}

function names(record: EdgeFrame | EdgePredictions): void {
  text("modelDigest", record.modelDigest, NAME_BYTES_MAX);
  text("policyVersion", record.policyVersion, NAME_BYTES_MAX);
  text("arm", record.arm, NAME_BYTES_MAX);
  if (record.traceparent !== null) text("traceparent", record.traceparent, NAME_BYTES_MAX);
}

function seen(one: EdgeFrame | EdgePrediction): void {
  frameIdentity(one);
  text("label", one.label, LABEL_BYTES_MAX);
  duration("deadlineMs", one.deadlineMs);
  duration("ageMs", one.ageMs);
  numbers(one, ["confidence", "margin", "score", "sampleCorrectness", "samplePropensity"]);
  if (one.capturedAt !== null && Math.abs(one.capturedAt) > INSTANT_MAX) {
    refuse("captured-at-malformed", `capturedAt ${one.capturedAt} is no time`);
  }
}

function numbers<K extends string>(record: Readonly<Record<K, number | null>>, fields: readonly K[]): void {
  for (const field of fields) {
    if (!Number.isFinite(record[field])) refuse("number-malformed", `${field} ${record[field]} is not a number`);
  }
}

function duration(name: string, ms: number): void {
  if (!(ms >= 0 && ms <= AGE_MS_MAX)) refuse("duration-malformed", `${name} ${ms} is not a duration`);
}

function text(name: string, value: string, bytesMax: number): void {
  const bytes = utf8Length(value);
  if (bytes > bytesMax) refuse("text-oversized", `${name} has ${bytes} bytes; at most ${bytesMax}`);
}

function refuse(code: string, message: string): never {
  throw new Failure(code, "give-up", message);
}
