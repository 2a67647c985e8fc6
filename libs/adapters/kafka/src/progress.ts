/** Where a partition begins and ends, its bytes on disk, and how far groups have read it. Reads only; every request is bounded. */
import { Admin } from "@platformatic/kafka";
import { Failure, type Instant } from "@tributary/kernel";
import { UNAVAILABLE } from "./joining-sink.ts";
import type { Retention } from "./outage.ts";
import { deepest, type KafkaConnection } from "./platformatic-sink.ts";
import { TIMEOUTS } from "./reader-fetch.ts";
import { endSilentConnections } from "./silent-socket.ts";
import { TOPIC_RESOURCE } from "./topic-facts.ts";

export type PartitionExtent = {
  readonly topic: string;
  readonly partition: number;
  /** The first offset that is kept. */
  readonly start: bigint;
  /** The offset that the next record gets. */
  readonly end: bigint;
  /** On the disk of the replica that has most; undefined where Kafka does not let us ask. */
  readonly bytes: number | undefined;
};

/** By `partitionKey`. */
export type Committed = ReadonlyMap<string, bigint>;

export interface ProgressReader {
  /** Of those of the topics that exist. */
  retention(topics: readonly string[]): Promise<ReadonlyMap<string, Retention>>;
  extents(topics: readonly string[]): Promise<readonly PartitionExtent[]>;
  /** The first offset written at or after `at`, of partitions that have one; by `partitionKey`. */
  offsetsAt(extents: readonly PartitionExtent[], at: Instant): Promise<ReadonlyMap<string, bigint>>;
  /** What a group has committed; nothing for one that never existed. */
  committed(group: string): Promise<Committed>;
  close(): Promise<void>;
}

export const partitionKey = (topic: string, partition: number): string => `${topic}:${partition}`;

const EARLIEST = -2n;
const LATEST = -1n;

export class KafkaProgress implements ProgressReader {
  readonly #prefix: string;
  readonly #admin: Admin;

  constructor({ brokers, clientId, prefix }: KafkaConnection) {
    this.#prefix = prefix;
    this.#admin = new Admin({ clientId, bootstrapBrokers: [...brokers], retries: 1, ...TIMEOUTS });
    endSilentConnections(this.#admin.connections);
  }

  async retention(topics: readonly string[]): Promise<ReadonlyMap<string, Retention>> {
    const described = await this.#asked(
      this.#admin.describeConfigs({
        resources: topics.map((topic) => ({
          resourceType: TOPIC_RESOURCE,
          resourceName: this.#prefix + topic,
          configurationKeys: ["retention.bytes", "retention.ms"],
        })),
      }),
    );
    return new Map(
      described.map(({ resourceName, configs }) => {
        const value = (name: string) => boundOf(configs.find((config) => config.name === name)?.value);
        const retention = { bytes: value("retention.bytes"), ms: value("retention.ms") };
        return [resourceName.slice(this.#prefix.length), retention];
      }),
    );
  }

  /** First the sizes, then the ends: records that arrive in between make a size too small for its end, never too large. */
  async extents(topics: readonly string[]): Promise<readonly PartitionExtent[]> {
    const { topics: found } = await this.#asked(
      this.#admin.metadata({ topics: topics.map((topic) => this.#prefix + topic) }),
    );
    const asked = [...found].map(([name, { partitionsCount }]) => ({
      name,
      partitions: Array.from({ length: partitionsCount }, (_, partition) => partition),
    }));
    const starts = await this.#offsets(asked, EARLIEST);
    const sizes = await this.#sizes(asked);
    const ends = await this.#offsets(asked, LATEST);
    return asked.flatMap(({ name, partitions }) =>
      partitions.flatMap((partition) => {
        const key = partitionKey(name, partition);
        const [start, end] = [starts.get(key), ends.get(key)];
        if (start === undefined || end === undefined) return [];
        return [{ topic: name.slice(this.#prefix.length), partition, start, end, bytes: sizes.get(key) }];
      }),
    );
  }

  async offsetsAt(extents: readonly PartitionExtent[], at: Instant): Promise<ReadonlyMap<string, bigint>> {
    const asked = [...Map.groupBy(extents, ({ topic }) => topic)].map(([topic, ofTopic]) => ({
      name: this.#prefix + topic,
      partitions: ofTopic.map(({ partition }) => partition),
    }));
    const found = await this.#offsets(asked, BigInt(Math.max(0, Math.floor(at))));
    return new Map(
      [...found].filter(([, offset]) => offset >= 0n).map(([key, offset]) => [key.slice(this.#prefix.length), offset]),
    );
  }

  async committed(group: string): Promise<Committed> {
    const groups = await this.#asked(this.#admin.listConsumerGroupOffsets({ groups: [this.#prefix + group] }));
    return new Map(
      groups.flatMap(({ topics }) =>
        topics.flatMap(({ name, partitions }) =>
          partitions
            .filter(({ committedOffset }) => committedOffset >= 0n)
            .map(({ partitionIndex, committedOffset }) => {
              const key = partitionKey(name.slice(this.#prefix.length), partitionIndex);
              return [key, committedOffset] as const;
            }),
        ),
      ),
    );
  }

  async close(): Promise<void> {
    await this.#admin.close();
  }

  async #offsets(asked: readonly Asked[], timestamp: bigint): Promise<ReadonlyMap<string, bigint>> {
    const topics = asked.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((partitionIndex) => ({ partitionIndex, timestamp })),
    }));
    const listed = await this.#asked(this.#admin.listOffsets({ topics }));
    return new Map(
      listed.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionIndex, offset }) => [partitionKey(name, partitionIndex), offset] as const),
      ),
    );
  }

  /** Needs a right that the others do not need, so a refusal is an answer. */
  async #sizes(asked: readonly Asked[]): Promise<ReadonlyMap<string, number>> {
    const topics = asked.map(({ name, partitions }) => ({ name, partitions: [...partitions] }));
    const brokers = await this.#admin.describeLogDirs({ topics }).catch(() => []);
    const sizes = new Map<string, number>();
    for (const topic of brokers.flatMap(({ results }) => results.flatMap((result) => result.topics))) {
      for (const { partitionIndex, partitionSize, isFutureKey } of topic.partitions) {
        const key = partitionKey(topic.name, partitionIndex);
        if (!isFutureKey) sizes.set(key, Math.max(sizes.get(key) ?? 0, Number(partitionSize)));
      }
    }
    return sizes;
  }

  async #asked<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw new Failure(UNAVAILABLE, "retry", deepest(error), { cause: error });
    }
  }
}

type Asked = { readonly name: string; readonly partitions: readonly number[] };

/** Kafka's -1 is no bound. */
function boundOf(value: string | null | undefined): number {
  const bound = Number(value ?? -1);
  return bound < 0 ? Number.POSITIVE_INFINITY : bound;
}
