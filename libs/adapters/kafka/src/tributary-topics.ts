/** Kafka's settings for every topic of the contract. */
import { dlqOf, PARTITIONS, type Topic, topics, uplinkStreams } from "@tributary/contracts";
import type { TopicAdmin, TopicSpec } from "./ports.ts";

type KeptTopic = Pick<Topic, "name" | "kind" | "retentionMs"> & Partial<Pick<Topic, "partitions">>;

/** Where the bridge puts what a device published to no stream of ours: the dead letters of a topic that is none. */
export const UNKNOWN_STREAM: KeptTopic = { name: "edge.unknown.v1", kind: "events", retentionMs: 7 * 86_400_000 };

/** Who has dead letters of what: the bridge of what it would have written, the others of what they read. */
export const deadLetterSources = {
  bridge: [...Object.values(uplinkStreams), UNKNOWN_STREAM],
  router: [topics.predictions, topics.frames, topics.results],
  "cloud-classifier": [topics.requestsHigh, topics.requestsNormal],
} as const satisfies Record<string, readonly KeptTopic[]>;
export type DeadLetterGroup = keyof typeof deadLetterSources;

export type TopicSettings = {
  /** Of every topic keyed by device; never changed afterwards (G3). */
  readonly partitions?: number;
  readonly replicationFactor?: number;
};

/** The largest record a topic takes, headers and framing included. */
export const RECORD_BYTES_MAX = 4 * 1024 * 1024;

const DLQ_OF_COMPACTED_RETENTION_MS = 7 * 86_400_000;

export function tributaryTopics(settings: TopicSettings = {}): TopicSpec[] {
  const groups = Object.keys(deadLetterSources) as DeadLetterGroup[];
  return [
    ...Object.values(topics).map((topic) => specOf(topic, settings)),
    ...groups.flatMap((group) => dlqTopicsOf(group, settings)),
  ];
}

/** The dead letter topics of a consumer group or the bridge. */
export function dlqTopicsOf(group: DeadLetterGroup, settings: TopicSettings = {}): TopicSpec[] {
  return deadLetterSources[group].map((source: KeptTopic) => ({
    ...sizeOf(settings),
    name: dlqOf(source.name, group),
    config: {
      "cleanup.policy": "delete",
      "retention.ms": source.kind === "events" ? retentionOf(source) : String(DLQ_OF_COMPACTED_RETENTION_MS),
      "max.message.bytes": String(RECORD_BYTES_MAX),
    },
  }));
}

/** Creates what is missing of Tributary's topics. The admin adds its prefix. */
export const ensureTributaryTopics = (admin: TopicAdmin, settings: TopicSettings = {}): Promise<void> =>
  admin.ensure(tributaryTopics(settings));

function specOf(topic: KeptTopic, settings: TopicSettings): TopicSpec {
  const config: Record<string, string> = { "max.message.bytes": String(RECORD_BYTES_MAX) };
  if (topic.kind === "compacted") {
    config["cleanup.policy"] = "compact";
    // Kafka compacts closed segments only: small ones keep a rebuild short.
    config["segment.bytes"] = String(16 * 1024 * 1024);
    config["min.cleanable.dirty.ratio"] = "0.1";
  } else {
    config["cleanup.policy"] = "delete";
    config["retention.ms"] = retentionOf(topic);
    if (topic.retentionMs === Number.POSITIVE_INFINITY) config["retention.bytes"] = "-1";
  }
  // "Capture to Kafka append" is measured with the broker's clock; edge.* carry the bridge's receipt as CreateTime.
  config["message.timestamp.type"] = topic.name === topics.classifications.name ? "LogAppendTime" : "CreateTime";
  const partitions = topic.partitions ?? undefined;
  return { ...sizeOf(settings), ...(partitions !== undefined && { partitions }), name: topic.name, config };
}

const retentionOf = ({ retentionMs }: KeptTopic): string =>
  retentionMs === Number.POSITIVE_INFINITY ? "-1" : String(retentionMs);

const sizeOf = (settings: TopicSettings) => ({
  partitions: settings.partitions ?? PARTITIONS,
  replicationFactor: settings.replicationFactor ?? 1,
});
