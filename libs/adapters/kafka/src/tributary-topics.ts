/**
 * Kafka's settings for every topic of the contract.
 *
 * T1. Acknowledged records survive a loss of power: with fewer than three replicas each record is flushed before Kafka
 *     acknowledges it, with three or more it is on two of them (docs/adr/0029).
 * T2. Every topic with deletion is bounded in bytes, dead letters included: no client can fill the disk (G9).
 * T3. Kafka's clock stamps every record: records of a process with a wrong clock are not refused, nor deleted too soon.
 */
import { dlqOf, PARTITIONS, type Topic, topics, uplinkStreams } from "@tributary/contracts";
import type { TopicSpec } from "./ports.ts";

type KeptTopic = Pick<Topic, "name" | "kind" | "retentionMs"> & Partial<Pick<Topic, "partitions">>;

/** Dead letters of messages that a device published to no stream of the contract. */
export const UNKNOWN_STREAM: KeptTopic = { name: "edge.unknown.v1", kind: "events", retentionMs: 7 * 86_400_000 };

/** Every process writes here to get Kafka's time; no one reads it. */
export const CLOCK_PROBES = { name: "clock.probes.v1", partitions: 1, retentionMs: 3_600_000 } as const;

/** The topics of which each has dead letters: the bridge of those that it writes, the others of those that they read. */
export const deadLetterSources = {
  bridge: [...Object.values(uplinkStreams), UNKNOWN_STREAM],
  router: [topics.predictions, topics.frames, topics.results],
  "cloud-classifier": [topics.requestsHigh, topics.requestsNormal],
  "drift-monitor": [topics.sketches, topics.predictions, topics.groundTruth],
  "frame-archive": [topics.frames, topics.classifications, topics.groundTruth],
} as const satisfies Record<string, readonly KeptTopic[]>;
export type DeadLetterGroup = keyof typeof deadLetterSources;

export type TopicSettings = {
  /** Of every topic keyed by device; never changed afterwards (G3). */
  readonly partitions?: number;
  readonly replicationFactor?: number;
  /** Disk of one broker, which the topics share. */
  readonly diskBytes?: number;
  /** Of each partition of the topics that devices fill, instead of their share of the disk: a laboratory's disk is soon full. */
  readonly retentionBytes?: number;
};

/** The largest record a topic takes, headers and framing included. */
export const RECORD_BYTES_MAX = 4 * 1024 * 1024;

const MIB = 1024 * 1024;
export const DISK_BYTES = 64 * 1024 * MIB;
const DLQ_DISK_SHARE = 0.005;
const DLQ_OF_COMPACTED_RETENTION_MS = 7 * 86_400_000;
const RETENTION_BYTES_MIN = RECORD_BYTES_MAX;
/** Kafka deletes whole segments: the open one comes on top of retention.bytes. A record must fit in. */
const SEGMENT_BYTES = { min: 8 * MIB, max: 256 * MIB };
const SEGMENTS_KEPT = 4;
const REPLICAS_FOR_QUORUM = 3;
const NEVER = "9223372036854775807";

export function tributaryTopics(settings: TopicSettings = {}): TopicSpec[] {
  const groups = Object.keys(deadLetterSources) as DeadLetterGroup[];
  return [
    ...Object.values(topics).map((topic) => specOf(topic, settings)),
    clockProbesOf(settings),
    ...groups.flatMap((group) => dlqTopicsOf(group, settings)),
  ];
}

/** The dead letter topics of a consumer group or the bridge. */
export function dlqTopicsOf(group: DeadLetterGroup, settings: TopicSettings = {}): TopicSpec[] {
  return deadLetterSources[group].map((source: KeptTopic) => {
    const size = sizeOf(settings);
    return {
      ...size,
      name: dlqOf(source.name, group),
      config: {
        "cleanup.policy": "delete",
        "retention.ms": source.kind === "events" ? retentionOf(source) : String(DLQ_OF_COMPACTED_RETENTION_MS),
        ...bytesOf(DLQ_DISK_SHARE, size.partitions, settings),
        ...commonOf(true, size.replicationFactor),
      },
    };
  });
}

function clockProbesOf(settings: TopicSettings): TopicSpec {
  const { replicationFactor } = sizeOf(settings);
  const { name, partitions, retentionMs } = CLOCK_PROBES;
  const config = {
    "cleanup.policy": "delete",
    "retention.ms": String(retentionMs),
    ...bytesOf(0, partitions, settings),
    ...commonOf(false, replicationFactor),
  };
  return { name, partitions, replicationFactor, config };
}

/** Kafka's own topics, for commits and transactions. They are without the prefix. */
export const INTERNAL_TOPICS = ["__consumer_offsets", "__transaction_state"] as const;

export const internalTopicConfig = (replicationFactor: number): Readonly<Record<string, string>> =>
  durabilityOf(true, replicationFactor);

function specOf(topic: Topic, settings: TopicSettings): TopicSpec {
  const size = sizeOf(settings);
  const partitions = topic.partitions ?? size.partitions;
  const kept: Record<string, string> =
    topic.kind === "compacted"
      ? {
          "cleanup.policy": "compact",
          // Kafka compacts closed segments only: small ones keep a rebuild short.
          "segment.bytes": String(16 * MIB),
          "min.cleanable.dirty.ratio": "0.1",
        }
      : {
          "cleanup.policy": "delete",
          "retention.ms": retentionOf(topic),
          ...(settings.retentionBytes !== undefined && UPLINK_TOPICS.has(topic.name)
            ? scaledBytesOf(settings.retentionBytes)
            : bytesOf(topic.diskShare, partitions, settings)),
        };
  return {
    ...size,
    partitions,
    name: topic.name,
    config: { ...kept, ...commonOf(topic.durable, size.replicationFactor) },
  };
}

const commonOf = (durable: boolean, replicationFactor: number): Record<string, string> => ({
  "max.message.bytes": String(RECORD_BYTES_MAX),
  "message.timestamp.type": "LogAppendTime",
  ...durabilityOf(durable, replicationFactor),
});

/** T1. Both are always set: a broker's default may be another. */
const durabilityOf = (durable: boolean, replicationFactor: number): Record<string, string> =>
  replicationFactor >= REPLICAS_FOR_QUORUM
    ? { "min.insync.replicas": "2", "flush.messages": NEVER }
    : { "min.insync.replicas": "1", "flush.messages": durable ? "1" : NEVER };

/** T2. Kafka's bound is one of a partition. */
function bytesOf(share: number, partitions: number, { diskBytes = DISK_BYTES }: TopicSettings): Record<string, string> {
  if (share === Number.POSITIVE_INFINITY) return { "retention.bytes": "-1" };
  const bytes = Math.max(RETENTION_BYTES_MIN, Math.floor((diskBytes * share) / partitions));
  const segment = Math.min(SEGMENT_BYTES.max, Math.max(SEGMENT_BYTES.min, Math.floor(bytes / SEGMENTS_KEPT)));
  return { "retention.bytes": String(bytes), "segment.bytes": String(segment) };
}

const UPLINK_TOPICS: ReadonlySet<string> = new Set(Object.values(uplinkStreams).map(({ name }) => name));

/** Segments are as small as a record may be, so that Kafka deletes soon. */
const scaledBytesOf = (retentionBytes: number): Record<string, string> => ({
  "retention.bytes": String(retentionBytes),
  "segment.bytes": String(Math.max(RECORD_BYTES_MAX, Math.floor(retentionBytes / SEGMENTS_KEPT))),
});

const retentionOf = ({ retentionMs }: KeptTopic): string =>
  retentionMs === Number.POSITIVE_INFINITY ? "-1" : String(retentionMs);

const sizeOf = (settings: TopicSettings) => ({
  partitions: settings.partitions ?? PARTITIONS,
  replicationFactor: settings.replicationFactor ?? 1,
});
