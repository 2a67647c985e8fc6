/**
 * Uplinks of devices that speak only JSON: `…/up/STREAM/json`. Their payload becomes the record that an agent would have
 * sent, so services do not distinguish them.
 *
 * A frame of boot 0 has no prediction: none announces it, and none may claim to.
 *
 * N1. Without `bootId` a record is of boot 0, and what would be counted (`seq`, `frameSeq`) is taken from the payload's
 *     SHA-256: the same bytes are the same record, however often they are sent. A device that counts has to have a boot, or its
 *     numbers would come again after a restart.
 * N3. A photo without a label is from a device that cannot answer itself: reason FALLBACK, an empty label, confidence 0, so
 *     that only the cloud's answer has a value. */
import { createHash } from "node:crypto";
import { JSON_NAMES, type UplinkStream, uplinkStreams } from "@tributary/contracts";
import { PREDICTIONS_MAX } from "@tributary/routing/settlement";
import { JsonFault, type JsonObject, JsonRecordReader, parseJsonObject, type RecordRules } from "./json-record.ts";

/** Defaults of the contract, documented in docs/mqtt-contract.md. */
export const JSON_CAMERA = "camera";
export const JSON_DEADLINE_MS = 10_000;

/** The context of one payload. */
type Sender = { readonly principal: string; readonly digest: Buffer; readonly hasBoot: boolean };

const SEQ_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** The record in a payload, in bare Avro binary of today's schema. Throws JsonFault, or ContractError when it does not fit. */
export function jsonUplink(stream: UplinkStream, principal: string, payload: Uint8Array): Buffer {
  const { codec } = uplinkStreams[stream];
  const value = parseJsonObject(payload);
  if (stream === "predictions") assertFewPredictions(value.predictions);
  const digest = createHash("sha256").update(payload).digest();
  const record = readers[stream].read(value, { principal, digest, hasBoot: Object.hasOwn(value, "bootId") });
  return (codec as { encode(value: unknown): Buffer }).encode(record);
}

/** Before any of them is read. */
function assertFewPredictions(predictions: unknown): void {
  if (!Array.isArray(predictions) || predictions.length <= PREDICTIONS_MAX) return;
  throw range("predictions", `at most ${PREDICTIONS_MAX} items, found ${predictions.length}`);
}

/** The first 63 bits of a SHA-256, from 1. */
export function sequenceOfDigest(digest: Uint8Array): bigint {
  const first = new DataView(digest.buffer, digest.byteOffset, 8).getBigUint64(0) >> 1n;
  return first === 0n ? 1n : first;
}

/** One of several frames that one payload speaks of. */
const sequenceWithin = (digest: Buffer, index: string): bigint =>
  sequenceOfDigest(createHash("sha256").update(digest).update(index).digest());

function identity(given: JsonObject, sender: Sender): JsonObject {
  const { bootId, seq, frameSeq } = given as { readonly [name: string]: bigint | undefined };
  if (!sender.hasBoot) {
    const counted = seq !== undefined ? "seq" : frameSeq !== undefined ? "frameSeq" : undefined;
    if (counted !== undefined) throw bootless(counted);
    return { deviceId: sender.principal, bootId: 0n, seq: sequenceOfDigest(sender.digest) };
  }
  if (bootId !== undefined && bootId <= 0n) throw range("bootId", "positive; leave it out if there is none");
  if (seq !== undefined && (seq <= 0n || seq > SEQ_MAX)) throw range("seq", `1 to ${SEQ_MAX}`);
  return { deviceId: sender.principal };
}

const bootless = (path: string): JsonFault =>
  new JsonFault("json-missing-field", `bootId: missing; ${path} counts within a boot, and would come again after it`);
const range = (path: string, expected: string): JsonFault =>
  new JsonFault("json-wrong-type", `${path}: expected ${expected}`);

/** A label and its confidence come together. */
function answer(given: JsonObject, path: string): JsonObject {
  if (given.label === undefined && given.confidence === undefined) return { label: "", confidence: 0 };
  const missing = given.label === undefined ? "label" : "confidence";
  if (given[missing] !== undefined) return {};
  const prefix = path === "" ? "" : `${path}.`;
  throw new JsonFault("json-missing-field", `${prefix}${missing}: missing; label and confidence come together`);
}

const made = { modelDigest: "", preprocessingDigest: "", policyVersion: "", arm: "default" } as const;
const clock = { ageMs: 0, clockState: "UNKNOWN" } as const;
const seen = { margin: 0, entropy: 0, samplePropensity: 0, sampleDrawn: false, ageMs: 0 } as const;

const rules: RecordRules<Sender> = {
  names: JSON_NAMES,
  fill: {
    EdgeFrame(given, sender) {
      const { label, confidence } = { ...given, ...answer(given, "") } as { label: string; confidence: number };
      return {
        ...made,
        ...clock,
        ...seen,
        ...identity(given, sender),
        ...(!sender.hasBoot && { frameSeq: sequenceOfDigest(sender.digest) }),
        cameraId: JSON_CAMERA,
        reason: label === "" ? "FALLBACK" : "AMBIGUOUS",
        deadlineMs: JSON_DEADLINE_MS,
        label,
        confidence,
        score: 1 - confidence, // as if the cloud were always right: nothing better is known
        sampleCorrectness: confidence,
      };
    },
    EdgePredictions: (given, sender) => ({ ...made, ...clock, ...identity(given, sender) }),
    EdgePrediction(given, sender, path) {
      answer(given, path);
      if (!sender.hasBoot) {
        if (given.frameSeq !== undefined) throw bootless(`${path}.frameSeq`);
        if (given.escalation === "QUEUED") {
          throw range(`${path}.escalation`, "NONE or DROPPED: without bootId the frame that follows is not found");
        }
      }
      return {
        ...seen,
        ...(!sender.hasBoot && { frameSeq: sequenceWithin(sender.digest, path) }),
        cameraId: JSON_CAMERA,
        score: 0,
        latencyMs: 0,
        reason: "NONE",
        deadlineMs: JSON_DEADLINE_MS,
        escalation: "NONE",
        dropReason: "NONE",
        ...(given.confidence !== undefined && { sampleCorrectness: given.confidence }),
      };
    },
    EdgeMetrics: (given, sender) => ({ ...clock, device: {}, models: [], ...identity(given, sender) }),
    EdgeSketches: (given, sender) => ({
      ...{ ...made, ...clock, histograms: [], labels: {}, qualitySum: 0n },
      ...identity(given, sender),
    }),
    DeviceReported: (given, sender) => ({
      agentVersion: "",
      hardwareClass: "",
      clockState: "UNKNOWN",
      generation: 0n,
      policyVersion: "",
      slots: {},
      acceptedSchemas: [],
      cameras: [],
      ...identity(given, sender),
    }),
  },
};

const readers = Object.fromEntries(
  Object.entries(uplinkStreams).map(([stream, { codec }]) => [
    stream,
    new JsonRecordReader(codec.current.schema, rules),
  ]),
) as { readonly [stream in UplinkStream]: JsonRecordReader<Sender> };
