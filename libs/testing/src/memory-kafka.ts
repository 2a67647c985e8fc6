/** Kafka in memory: what is sent is stored at once, and every reader or follower gets it in order. */
import type { Topic } from "@tributary/contracts";
import {
  type FollowContext,
  type InRecord,
  type OutRecord,
  type PartitionFence,
  type PartitionReader,
  type Position,
  partitionOf,
  type RecordSink,
} from "@tributary/kafka";
import { tail } from "@tributary/kafka/tail";
import { type Instant, systemClock } from "@tributary/kernel";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";

/** Runs before each call, and before each record that is read: an error that it throws fails the call, a wait delays it. */
export type Before = (
  call: "partitions" | "offsets" | "read" | "send",
  about: { readonly topic: string; readonly record?: InRecord; readonly signal?: AbortSignal | undefined },
) => void | Promise<void>;

type Range = { readonly from?: bigint; readonly until?: bigint; readonly signal?: AbortSignal };
type Partition = { records: InRecord[]; earliest: bigint; next: bigint };
type Store = {
  readonly topics: Map<string, readonly Partition[]>;
  readonly written: InRecord[];
  readonly onWritten: Set<() => void>;
};

export type MemoryKafkaOptions = {
  /** Of each topic. */
  readonly partitions?: number;
  readonly now?: () => Instant;
};

export class MemoryKafka implements PartitionReader, RecordSink, PartitionFence {
  before: Before | undefined;
  readonly #partitions: number;
  readonly #now: () => Instant;
  readonly #store: Store;

  constructor(
    { partitions = 1, now = Date.now }: MemoryKafkaOptions = {},
    store: Store = { topics: new Map(), written: [], onWritten: new Set() },
  ) {
    this.#partitions = partitions;
    this.#now = now;
    this.#store = store;
  }

  /** Another client of the same Kafka. */
  client(before: Before): MemoryKafka {
    const client = new MemoryKafka({ partitions: this.#partitions, now: this.#now }, this.#store);
    client.before = before;
    return client;
  }

  /** All records that were sent, of all topics, in order. */
  get written(): readonly InRecord[] {
    return this.#store.written;
  }

  /** The records of a topic, partition by partition. */
  records({ name }: { readonly name: string }): readonly InRecord[] {
    return this.#topic(name).flatMap(({ records }) => records);
  }

  /** The values of a topic, without tombstones. */
  values<T>(topic: Topic<T>): T[] {
    return this.records(topic).flatMap(({ value }) => (value === null ? [] : [topic.codec.decodeConfluent(value)]));
  }

  put<T>(
    topic: Topic<T>,
    key: string,
    value: T | null,
    more: { readonly partition?: number; readonly timestamp?: Instant } = {},
  ): Position {
    return this.write({
      topic: topic.name,
      key,
      value: value === null ? null : topic.codec.encodeConfluent(value),
      ...more,
    });
  }

  /** As `send`, at once. */
  write(sent: OutRecord): Position {
    const { topic, key, value, headers = {}, timestamp = this.#now() } = sent;
    const { partition = partitionOf(key, this.#partitions) } = sent;
    const log = this.#partition(topic, partition);
    const place = { topic, partition, offset: log.next };
    const record: InRecord = { ...place, key, value, headers, timestamp };
    log.records.push(record);
    log.next += 1n;
    this.#store.written.push(record);
    for (const notify of this.#store.onWritten) notify();
    return place;
  }

  /** Retention and compaction: deletes all before `earliest`, and all that `keeps` does not keep. */
  clean(topic: { readonly name: string }, keeps: (record: InRecord) => boolean, earliest = 0n): void {
    for (const log of this.#topic(topic.name)) {
      log.earliest = earliest < log.next ? earliest : log.next;
      log.records = log.records.filter((record) => record.offset >= log.earliest && keeps(record));
    }
  }

  async send(records: readonly OutRecord[]): Promise<readonly Position[]> {
    await this.before?.("send", { topic: records[0]?.topic ?? "" });
    return records.map((record) => this.write(record));
  }

  async claim(partition: number) {
    return { send: (records: readonly OutRecord[]) => this.send(records.map((record) => ({ ...record, partition }))) };
  }

  async partitions(topic: string): Promise<readonly number[]> {
    await this.before?.("partitions", { topic });
    return this.#topic(topic).map((_, partition) => partition);
  }

  async offsets(topic: string, partition: number) {
    await this.before?.("offsets", { topic });
    const { earliest, next } = this.#partition(topic, partition);
    return { earliest, next };
  }

  async offsetAt(topic: string, partition: number, at: Instant): Promise<bigint> {
    await this.before?.("offsets", { topic });
    const { records, next } = this.#partition(topic, partition);
    return records.find(({ timestamp }) => timestamp >= at)?.offset ?? next;
  }

  async offsetsAt(topic: string, at: Instant): Promise<ReadonlyMap<number, bigint>> {
    const partitions = await this.partitions(topic);
    const found = partitions.map(async (one) => [one, await this.offsetAt(topic, one, at)] as const);
    return new Map(await Promise.all(found));
  }

  async *read(topic: string, partition: number, { from = 0n, until, signal }: Range): AsyncGenerator<InRecord, void> {
    const { records, next } = this.#partition(topic, partition);
    for (const record of [...records]) {
      if (record.offset < from || record.offset >= (until ?? next)) continue;
      await this.before?.("read", { topic, record, signal });
      if (signal?.aborted) return;
      yield record;
    }
  }

  async *[tail](
    topic: string,
    partition: number,
    { from, signal }: { readonly from: bigint; readonly signal: AbortSignal },
  ): AsyncGenerator<InRecord, void> {
    const log = this.#partition(topic, partition);
    for (let next = from; !signal.aborted; ) {
      const until = log.next;
      yield* this.read(topic, partition, { from: next, until, signal });
      next = until;
      if (next === log.next) await this.#written(signal);
    }
  }

  async close(): Promise<void> {}

  #topic(name: string): readonly Partition[] {
    const known = this.#store.topics.get(name);
    if (known !== undefined) return known;
    const partitions = Array.from({ length: this.#partitions }, () => ({ records: [], earliest: 0n, next: 0n }));
    this.#store.topics.set(name, partitions);
    return partitions;
  }

  #partition(topic: string, partition: number): Partition {
    const found = this.#topic(topic)[partition];
    if (found === undefined) throw new Error(`${topic} has no partition ${partition}`);
    return found;
  }

  #written(signal: AbortSignal): Promise<void> {
    const { onWritten } = this.#store;
    return new Promise((resolve) => {
      const wake = () => {
        onWritten.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      onWritten.add(wake);
      signal.addEventListener("abort", wake);
      if (signal.aborted) wake();
    });
  }
}

export const silentTelemetry = (): Telemetry =>
  createTelemetry({ service: "test", level: "silent", defaultMetrics: false });

/** For followers of a topic that need no metrics. */
export const followContext = (reader: PartitionReader, signal: AbortSignal): FollowContext => ({
  reader,
  signal,
  telemetry: silentTelemetry(),
  clock: systemClock,
  random: Math.random,
});
