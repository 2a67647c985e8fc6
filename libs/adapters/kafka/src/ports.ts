/** The ports of Kafka. Topic names are without the deployment's prefix; the adapter adds and strips it. */
import type { Instant } from "@tributary/kernel";
import type { tail } from "./tail.ts";

export type Position = { readonly topic: string; readonly partition: number; readonly offset: bigint };

/**
 * Exchanges the schema ids of an external registry, which are in Kafka, for ours, which are used everywhere inside. A value that
 * is not in Confluent's format, or of a topic that is not ours, stays as it is.
 */
export interface SchemaIds {
  toKafka(topic: string, value: Buffer): Buffer;
  fromKafka(topic: string, value: Buffer): Promise<Buffer>;
}

export type OutRecord = {
  readonly topic: string;
  /** Partitioned by Java's murmur2 of this key, whichever client writes. */
  readonly key: string;
  /** For a fenced writer only: its own partition, whatever the key. */
  readonly partition?: number;
  /** Null is a tombstone. */
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** CreateTime; the broker's or client's time when absent. */
  readonly timestamp?: Instant;
};

export type InRecord = Position & {
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly timestamp: Instant;
};

/** Resolves when every record is stored by all in-sync replicas (acks=all, idempotent), in the order given. */
export interface RecordSink {
  send(records: readonly OutRecord[]): Promise<readonly Position[]>;
  close(): Promise<void>;
}

/** Writes to partitions of one number, as their only writer (fenced-sink.ts). Sends follow each other: await the one before. */
export interface FencedWriter {
  /** Resolves when every record is stored. After a rejection the writer cannot be used any more. */
  send(records: readonly OutRecord[]): Promise<readonly Position[]>;
}

/** Makes writers; each ends those before it. */
export interface PartitionFence {
  claim(partition: number, signal: AbortSignal): Promise<FencedWriter>;
}

/** Records of one partition, in offset order. */
export type Batch = {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly InRecord[];
  /** Offset the next appended record will get: `highWatermark - last offset - 1` is the lag. */
  readonly highWatermark: bigint;
};

/** The first `processed` records are done; the source commits after them and delivers the rest again. */
export type Processed = { readonly processed: number };

export type PartitionEvents = {
  /** Called, and awaited, before the first batch of newly assigned partition numbers. */
  onAssigned?(partitions: readonly number[]): Promise<void>;
  /** Called at once, also while `onAssigned` runs, which should then end; `onRevoked` follows. */
  onLosing?(partitions: readonly number[]): void;
  onRevoked?(partitions: readonly number[]): Promise<void>;
};

/** A consumer-group member. Topics are co-partitioned: partition p of every topic comes to the same member. */
export interface BatchSource {
  /** Why it takes no batches now; undefined while it is a member of its group. */
  readonly problem: string | undefined;
  /** Runs until `close`, however long Kafka is away; rejects when the handler threw, and then the process must exit 1. Batches of
   * one partition number are never handled concurrently, whatever their topics. */
  run(handle: (batch: Batch, signal: AbortSignal) => Promise<Processed>, events?: PartitionEvents): Promise<void>;
  close(): Promise<void>;
}

/** Reads without a consumer group: for rebuilding state and for verifiers; what follows a topic uses `follow`. */
export interface PartitionReader {
  partitions(topic: string): Promise<readonly number[]>;
  /** First retained offset and the offset the next record will get. */
  offsets(topic: string, partition: number): Promise<{ readonly earliest: bigint; readonly next: bigint }>;
  /** Offset of the first record stamped at or after `at`; the end when there is none. */
  offsetAt(topic: string, partition: number, at: Instant): Promise<bigint>;
  /** The same for every partition of the topic. */
  offsetsAt(topic: string, at: Instant): Promise<ReadonlyMap<number, bigint>>;
  /** From `from` (default: earliest) to just before `until`. */
  read(
    topic: string,
    partition: number,
    range: { readonly from?: bigint; readonly until: bigint; readonly signal?: AbortSignal },
  ): AsyncIterable<InRecord>;
  /** From `from` until `signal` aborts. Of follow.ts alone. */
  [tail](
    topic: string,
    partition: number,
    range: { readonly from: bigint; readonly signal: AbortSignal },
  ): AsyncIterable<InRecord>;
  close(): Promise<void>;
}

export type TopicSpec = {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor?: number;
  /** Kafka topic configuration, e.g. cleanup.policy. */
  readonly config?: Readonly<Record<string, string>>;
};

/** A topic as a cluster has it. */
export type TopicFacts = {
  /** Without the prefix; Kafka's own have none. */
  readonly name: string;
  readonly partitions: number;
  /** Of the partition that has fewest. */
  readonly replicationFactor: number;
  /** Settings in force. */
  readonly config: Readonly<Record<string, string>>;
};

export type TopicChange = {
  readonly topic: string;
  /** One of Kafka's own. */
  readonly isInternal?: boolean;
  readonly config: Readonly<Record<string, string>>;
};

export interface TopicAdmin {
  /** Creates the missing topics, and returns their names; never changes an existing one. */
  ensure(topics: readonly TopicSpec[]): Promise<readonly string[]>;
  /** Those of the names that exist; `internal` are Kafka's own, without a prefix. */
  describe(names: readonly string[], internal?: readonly string[]): Promise<readonly TopicFacts[]>;
  /** Sets the given settings and leaves every other one as it is. */
  alter(changes: readonly TopicChange[]): Promise<void>;
  close(): Promise<void>;
}
