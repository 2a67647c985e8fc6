/** A refused message as a record of its stream's dead letter topic: the original bytes, and why they were refused. */
import { dlqOf, uplinkStreams } from "@tributary/contracts";
import { CUT_BYTES, deadLetterRecord, type OutRecord, UNKNOWN_STREAM } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";
import type { Refusal, StreamOrUnknown, Uplink } from "./uplink.ts";

const GROUP = "bridge";
const TOPIC_CHARS_MAX = 1_024;

const sourceOf = (stream: StreamOrUnknown): string =>
  stream === "unknown" ? UNKNOWN_STREAM.name : uplinkStreams[stream].name;

export const deadLetterTopicOf = (stream: StreamOrUnknown): string => dlqOf(sourceOf(stream), GROUP);

export const deadLetterTopics: readonly string[] = [...Object.keys(uplinkStreams), "unknown"].map((stream) =>
  deadLetterTopicOf(stream as StreamOrUnknown),
);

/** Refused messages of one device and stream that are only counted. */
export type Sum = {
  /** Of the first one, with the beginning of its payload. */
  readonly uplink: Uplink;
  readonly refusal: Refusal;
  readonly receivedAt: Instant;
  readonly count: number;
  readonly bytes: number;
  readonly reasons: ReadonlyMap<string, number>;
};

/** They read as one truncated dead letter, so that they are not replayed; a header has their number. */
export function deadLettersInSum(sum: Sum, sha256: string): OutRecord {
  const record = deadLetterOf(sum.uplink, sum.refusal, sum.receivedAt, Number.POSITIVE_INFINITY);
  return {
    ...record,
    headers: {
      ...record.headers,
      "tributary.sum.messages": String(sum.count),
      "tributary.sum.reasons": [...sum.reasons].map(([reason, count]) => `${reason}=${count}`).join(","),
      "__connect.errors.value.length": String(sum.bytes),
      "__connect.errors.value.sha256": sha256,
    },
  };
}

export function deadLetterOf(uplink: Uplink, refusal: Refusal, receivedAt: Instant, wholeBytesMax: number): OutRecord {
  const isForSize = refusal.reason === "payload-oversized" || refusal.reason === "kafka-refused";
  const record = deadLetterRecord(
    {
      topic: sourceOf(refusal.stream),
      key: uplink.principal,
      value: uplink.payload,
      whole: uplink.whole,
      headers: {
        "tributary.received-at": new Date(receivedAt).toISOString(),
        "tributary.mqtt.topic": uplink.topic.slice(0, TOPIC_CHARS_MAX),
        "tributary.mqtt.qos": String(uplink.qos),
        "tributary.mqtt.retain": String(uplink.retain),
      },
      code: refusal.reason,
      message: refusal.message,
    },
    GROUP,
    isForSize ? CUT_BYTES : wholeBytesMax,
  );
  return { ...record, timestamp: receivedAt };
}
