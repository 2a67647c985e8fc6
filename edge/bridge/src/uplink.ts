/**
 * Decides the outcome of one message that an authenticated device published: pure, so that tests can try millions of hostile
 * inputs.
 *
 * The principal, the topic's level and the payload's first field must be the same device. Nothing is decoded before its bounds,
 * and the ranges of its fields, are checked, whether it is Avro or JSON; only frames are decoded at all, to check their JPEG. A
 * frame that the router would refuse is refused here, where its device is known.
 *
 * U1. Every message has exactly one outcome: stored, taken as availability, or refused with a reason (G8).
 * U4. A stored value is the device's own bytes behind another header: never re-encoded. Only a device that speaks JSON cannot
 *     have this (json-uplink.ts). */
import {
  type Codec,
  ContractError,
  type ContractErrorCode,
  type EdgeFrame,
  type EdgePredictions,
  frameConfluent,
  openSingleObject,
  type PayloadFormat,
  parseMqttTopic,
  type SchemaVersion,
  type UplinkStream,
  uplinkStreams,
} from "@tributary/contracts";
import type { Whole } from "@tributary/kafka";
import { Failure, isValidId } from "@tributary/kernel";
import { assertUsableFrame, assertUsablePredictions, PREDICTIONS_MAX } from "@tributary/routing/settlement";
import { type RecordIdentity, readIdentity } from "./identity.ts";
import { jpegFault } from "./jpeg.ts";
import { JsonFault, type JsonFaultCode } from "./json-record.ts";
import { jsonUplink } from "./json-uplink.ts";
import { keyOf, payloadFault, type Route, routeOf } from "./routes.ts";

export type Uplink = {
  /** Who authenticated. */
  readonly principal: string;
  readonly topic: string;
  readonly payload: Buffer;
  /** Length and digest of the whole payload, if the packet was too large and `payload` is only its beginning. */
  readonly whole?: Whole;
  readonly qos: number;
  readonly retain: boolean;
};

/** Stable: metrics, dead letters and tests name them. */
export type RefusalReason =
  | ContractErrorCode
  | JsonFaultCode
  | "topic-malformed"
  | "topic-unknown"
  | "topic-of-another-device"
  | "topic-not-uplink"
  | "device-malformed"
  | "device-revoked"
  | "stream-unknown"
  | "availability-malformed"
  | "qos-not-1"
  | "qos-2"
  | "retained"
  | "payload-oversized"
  | "payload-of-another-device"
  | "identity-malformed"
  | "frame-malformed"
  | "record-unusable"
  | "jpeg-corrupt"
  | "payload-not-json"
  | "payload-not-avro"
  | "kafka-refused";

export type StreamOrUnknown = UplinkStream | "unknown";

export type Verdict =
  | {
      readonly kind: "store";
      readonly stream: UplinkStream;
      readonly id: RecordIdentity;
      readonly value: Buffer;
      /** What the record has in all its arrays and maps; of a batch, its predictions. */
      readonly items: number;
      /** Of a frame whose device traces. */
      readonly traceparent?: string;
    }
  | { readonly kind: "availability"; readonly state: "online" | "offline" }
  | { readonly kind: "route"; readonly route: Route; readonly key: string }
  | Refusal;

export type Refusal = {
  readonly kind: "refuse";
  readonly reason: RefusalReason;
  readonly stream: StreamOrUnknown;
  /** For people: names the fault. */
  readonly message: string;
  /** The unknown schema's, if that is the reason. */
  readonly fingerprint?: string;
};

export type UplinkLimits = { readonly frameBytesMax: number; readonly recordBytesMax: number };

export function judgeUplink(
  uplink: Uplink,
  limits: UplinkLimits,
  prefix: string,
  routes: readonly Route[] = [],
): Verdict {
  if (MALFORMED.test(uplink.topic)) {
    return refuse("unknown", "topic-malformed", "the topic has control characters, or is not well-formed UTF-8");
  }
  const topic = parseMqttTopic(uplink.topic, prefix);
  const stream = topic?.kind === "up" && isStream(topic.stream) ? topic.stream : "unknown";
  if (uplink.whole !== undefined) {
    return refuse(stream, "payload-oversized", `${uplink.whole.bytes} bytes, more than a packet may have`);
  }
  if (topic === undefined) return routed(uplink, limits, routes);
  if (topic.deviceId !== uplink.principal) {
    return refuse(stream, "topic-of-another-device", `the topic is ${clip(topic.deviceId)}'s`);
  }
  if (topic.kind === "availability") return availability(uplink.payload);
  if (topic.kind === "down") return refuse("unknown", "topic-not-uplink", "devices do not publish on down/");
  if (stream === "unknown") return refuse("unknown", "stream-unknown", `there is no stream ${clip(topic.stream)}`);
  if (uplink.qos !== 1) return refuse(stream, "qos-not-1", `QoS ${uplink.qos}; the contract needs 1`);
  if (uplink.retain) return refuse(stream, "retained", "records of streams are not retained");
  const recordBytesMax = stream === "frames" ? limits.frameBytesMax : limits.recordBytesMax;
  const bytesMax = topic.format === "json" ? jsonBytesMax(recordBytesMax) : recordBytesMax;
  if (uplink.payload.length > bytesMax) {
    return refuse(stream, "payload-oversized", `${uplink.payload.length} bytes; at most ${bytesMax} are accepted`);
  }
  return record(stream, topic.format, uplink, recordBytesMax);
}

/** What MQTT forbids or advises against in a topic; U+FFFD is what the broker's parser puts where bytes were no UTF-8. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const MALFORMED = /[\u0000-\u001f\u007f-\u009f\ufffd]/;

/** Base64 takes four bytes where a record takes three; the rest is names. */
const jsonBytesMax = (recordBytesMax: number): number => Math.ceil(recordBytesMax / 3) * 4 + 16_384;

function routed(uplink: Uplink, limits: UplinkLimits, routes: readonly Route[]): Verdict {
  const { topic, payload, principal } = uplink;
  const route = routeOf(routes, topic, principal);
  if (route === undefined) return refuse("unknown", "topic-unknown", "the topic is not of the device contract");
  if (route === "another-device") {
    return refuse("unknown", "topic-of-another-device", "a route's topic names another device");
  }
  if (uplink.qos > 1) return refuse("unknown", "qos-2", "a route takes QoS 0 and 1");
  if (payload.length > limits.recordBytesMax) {
    const message = `${payload.length} bytes; a route takes at most ${limits.recordBytesMax}`;
    return refuse("unknown", "payload-oversized", message);
  }
  const fault = payloadFault(route, payload);
  if (fault === undefined) return { kind: "route", route, key: keyOf(route, topic, principal) };
  const reason = route.config.format === "avro" ? "payload-not-avro" : "payload-not-json";
  return refuse("unknown", reason, `for ${route.config.topic}: ${fault}`);
}

/** Whatever else is in the topic: the stream whose dead letters a message belongs to. */
const isStream = (text: string): text is UplinkStream => Object.hasOwn(uplinkStreams, text);

function record(stream: UplinkStream, format: PayloadFormat, uplink: Uplink, bytesMax: number): Verdict {
  const codec: Codec<unknown> = uplinkStreams[stream].codec;
  try {
    const opened = format === "json" ? fromJson(stream, uplink) : fromAvro(stream, uplink.payload);
    if ("reason" in opened) return opened;
    const { version, payload } = opened;
    if (payload.length > bytesMax) {
      return refuse(
        stream,
        "payload-oversized",
        `a record of ${payload.length} bytes; at most ${bytesMax} are accepted`,
      );
    }
    const items = codec.check(payload, version);
    if (stream === "predictions" && items > PREDICTIONS_MAX) {
      return refuse(stream, "record-unusable", `${items} predictions; at most ${PREDICTIONS_MAX} are accepted`);
    }
    const id = readIdentity(payload);
    if (id.deviceId !== uplink.principal) {
      return refuse(stream, "payload-of-another-device", `the record is of ${clip(id.deviceId)}`);
    }
    if (format === "avro" && (id.bootId <= 0n || id.seq <= 0n)) {
      return refuse(stream, "identity-malformed", `bootId ${id.bootId} and seq ${id.seq} must be positive`);
    }
    let traceparent: string | null = null;
    if (stream === "frames") {
      const seen = lookAtFrame(codec as Codec<EdgeFrame>, payload, version);
      if ("reason" in seen) return refuse(stream, seen.reason, seen.message);
      traceparent = seen.traceparent;
    }
    if (format === "json" && stream === "predictions") {
      assertUsablePredictions(codec.decode(payload) as EdgePredictions, id.deviceId);
    }
    const value = frameConfluent(version.id, payload);
    return { kind: "store", stream, id, value, items, ...(traceparent !== null && { traceparent }) };
  } catch (error) {
    if (error instanceof ContractError || error instanceof JsonFault) return refuse(stream, error.code, error.message);
    if (error instanceof Failure) return refuse(stream, "record-unusable", `${error.code}: ${error.message}`);
    throw error;
  }
}

type Opened = { readonly version: SchemaVersion; readonly payload: Uint8Array };

function fromAvro(stream: UplinkStream, bytes: Buffer): Opened | Refusal {
  const { fingerprint, payload } = openSingleObject(bytes);
  const codec: Codec<unknown> = uplinkStreams[stream].codec;
  const version = codec.withFingerprint(fingerprint);
  return version === undefined ? wrongSchema(stream, fingerprint) : { version, payload };
}

function fromJson(stream: UplinkStream, { principal, payload }: Uplink): Opened {
  const { codec } = uplinkStreams[stream];
  // By the id that an agent's record gets: of two versions of one form the older is known to more readers.
  const version = codec.versionByFingerprint(codec.current.fingerprint);
  return { version, payload: jsonUplink(stream, principal, payload) };
}

function wrongSchema(stream: UplinkStream, fingerprint: string): Refusal {
  const other = Object.values(uplinkStreams).find((t) => t.codec.versions.some((v) => v.fingerprint === fingerprint));
  return other === undefined
    ? { ...refuse(stream, "schema-unknown-fingerprint", `no schema has fingerprint ${fingerprint}`), fingerprint }
    : refuse(stream, "schema-wrong-record", `${other.codec.name} on the stream ${stream}`);
}

function lookAtFrame(
  codec: Codec<EdgeFrame>,
  payload: Uint8Array,
  version: SchemaVersion,
): { readonly reason: RefusalReason; readonly message: string } | { readonly traceparent: string | null } {
  const frame = codec.decode(payload, version);
  if (!isValidId(frame.cameraId)) return { reason: "frame-malformed", message: `cameraId: ${clip(frame.cameraId)}` };
  assertUsableFrame(frame, frame.deviceId);
  const fault = jpegFault(frame.jpeg);
  if (fault !== undefined) return { reason: "jpeg-corrupt", message: `not a whole JPEG: ${fault}` };
  return { traceparent: frame.traceparent };
}

function availability(payload: Buffer): Verdict {
  if (payload.length <= 7) {
    const state = payload.toString("latin1");
    if (state === "online" || state === "offline") return { kind: "availability", state };
  }
  return refuse("unknown", "availability-malformed", "availability is online or offline");
}

const refuse = (stream: StreamOrUnknown, reason: RefusalReason, message: string): Refusal => ({
  kind: "refuse",
  reason,
  stream,
  message,
});

/** Hostile text in a message stays short and printable. */
const clip = (text: string): string => JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
