export { KafkajsAdmin } from "./admin.ts";
export { CUT_BYTES, codeOf, DeadLetters, deadLetterRecord, letterOf, type Whole } from "./dead-letters.ts";
export { ensureTributaryTopics } from "./ensure-topics.ts";
export { FencedSink } from "./fenced-sink.ts";
export {
  type FollowContext,
  type Following,
  follow,
  followAll,
  handOver,
  type OnRecord,
  takeOrSkip,
} from "./follow.ts";
export { cloudEventHeaders } from "./headers.ts";
export { type GroupLag, KafkaInspector, type TopicState } from "./inspector.ts";
export { SINK_CLOSED, sizeOf } from "./joining-sink.ts";
export { type ClockReading, clockOffsetMs, KafkaClock } from "./kafka-clock.ts";
export { KafkajsSink } from "./kafkajs-sink.ts";
export { BACKGROUND_ROUND_MS, KafkajsSource } from "./kafkajs-source.ts";
export { Lease } from "./lease.ts";
export type { Retention } from "./outage.ts";
export { type Outage, readOutages } from "./outages.ts";
export { partitionOf } from "./partition-of.ts";
export { PlatformaticSink } from "./platformatic-sink.ts";
export type {
  Batch,
  BatchSource,
  FencedWriter,
  InRecord,
  OutRecord,
  PartitionEvents,
  PartitionFence,
  PartitionReader,
  Position,
  Processed,
  RecordSink,
  SchemaIds,
  TopicFacts,
} from "./ports.ts";
export { KafkaProgress, type PartitionExtent, type ProgressReader, partitionKey } from "./progress.ts";
export { readTopic } from "./read-topic.ts";
export { KafkaReader } from "./reader.ts";
export { RECORD_BYTES_MAX, tributaryTopics, UNKNOWN_STREAM } from "./tributary-topics.ts";
