/**
 * Reads partitions without a consumer group: rebuilding state, downlinks, verifiers, tails.
 *
 * R1. Records of a partition come in offset order, each once per `read`, from `from` to just before `until`.
 * R2. One fetch per broker asks for all partitions being read, so following many costs one long poll, not many.
 * R3. The records that a slow reader has not taken are bounded per partition (G9); it is then left out of fetches.
 * R4. A read waits for the end of an outage up to `unavailableMsMax`; then it throws a Failure to retry.
 */

import { Consumer } from "@platformatic/kafka";
import { type Clock, Failure, type Instant, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { UNAVAILABLE } from "./joining-sink.ts";
import { deepest, type KafkaConnection } from "./platformatic-sink.ts";
import type { InRecord, PartitionReader, SchemaIds } from "./ports.ts";
import { Cursor } from "./reader-cursor.ts";
import { FetchLoops, TIMEOUTS } from "./reader-fetch.ts";
import { withOurIds } from "./schema-ids.ts";
import { endSilentConnections } from "./silent-socket.ts";
import { tail } from "./tail.ts";

export type KafkaReaderOptions = KafkaConnection & {
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
  /** How long an outage may last before reads fail. */
  readonly unavailableMsMax?: number;
};

const EARLIEST = -2n;
const LATEST = -1n;

export class KafkaReader implements PartitionReader {
  readonly #prefix: string;
  readonly #schemaIds: SchemaIds | undefined;
  readonly #client: Consumer;
  readonly #loops: FetchLoops;

  constructor(options: KafkaReaderOptions) {
    this.#prefix = options.prefix;
    this.#schemaIds = options.schemaIds;
    // It fetches metadata and offsets only; it never joins the group that its constructor requires.
    this.#client = new Consumer({
      clientId: options.clientId,
      groupId: `${options.prefix}reader`,
      bootstrapBrokers: [...options.brokers],
      retries: 10,
      retryDelay: 300,
      ...TIMEOUTS,
    });
    endSilentConnections(this.#client.connections);
    this.#loops = new FetchLoops(this.#client, {
      clientId: options.clientId,
      unavailableMsMax: options.unavailableMsMax ?? 120_000,
      clock: options.clock ?? systemClock,
      telemetry: options.telemetry,
    });
  }

  async partitions(topic: string): Promise<readonly number[]> {
    const name = this.#prefix + topic;
    const metadata = await this.#asked(this.#client.metadata({ topics: [name] }));
    return Array.from({ length: metadata.topics.get(name)?.partitionsCount ?? 0 }, (_, partition) => partition);
  }

  async offsets(topic: string, partition: number): Promise<{ readonly earliest: bigint; readonly next: bigint }> {
    const [earliest, next] = await Promise.all([
      this.#offset(topic, partition, EARLIEST),
      this.#offset(topic, partition, LATEST),
    ]);
    return { earliest, next };
  }

  async offsetAt(topic: string, partition: number, at: Instant): Promise<bigint> {
    const offset = await this.#offset(topic, partition, BigInt(Math.max(0, Math.floor(at))));
    return offset >= 0n ? offset : this.#offset(topic, partition, LATEST);
  }

  /** In two requests. */
  async offsetsAt(topic: string, at: Instant): Promise<ReadonlyMap<number, bigint>> {
    const name = this.#prefix + topic;
    const partitions = [...(await this.partitions(topic))];
    const ask = async (timestamp: bigint) => {
      const asked = this.#client.listOffsets({ topics: [name], partitions: { [name]: partitions }, timestamp });
      return (await this.#asked(asked)).get(name) ?? [];
    };
    // The end first: records that arrive in between are then read the next time instead of being skipped.
    const ends = await ask(LATEST);
    const found = await ask(BigInt(Math.max(0, Math.floor(at))));
    return new Map(
      partitions.map((partition) => {
        const offset = found[partition] ?? -1n;
        return [partition, offset >= 0n ? offset : (ends[partition] ?? 0n)];
      }),
    );
  }

  read(
    topic: string,
    partition: number,
    range: { readonly from?: bigint; readonly until: bigint; readonly signal?: AbortSignal },
  ): AsyncIterable<InRecord> {
    return this.#read(topic, partition, range);
  }

  [tail](
    topic: string,
    partition: number,
    range: { readonly from: bigint; readonly signal: AbortSignal },
  ): AsyncIterable<InRecord> {
    return this.#read(topic, partition, range);
  }

  async *#read(
    topic: string,
    partition: number,
    range: { readonly from?: bigint; readonly until?: bigint; readonly signal?: AbortSignal },
  ): AsyncIterable<InRecord> {
    const { until, signal } = range;
    const from = range.from ?? (await this.#offset(topic, partition, EARLIEST));
    const cursor = new Cursor({ topic, name: this.#prefix + topic, partition, from, until });
    if (cursor.finished || signal?.aborted) return;
    const abort = () => cursor.finish();
    signal?.addEventListener("abort", abort, { once: true });
    this.#loops.add(cursor);
    try {
      for (;;) {
        const record = cursor.take();
        if (record !== undefined) {
          if (signal?.aborted) return;
          yield this.#schemaIds === undefined ? record : await withOurIds(record, this.#schemaIds);
        } else if (cursor.finished) {
          if (cursor.failure !== undefined) throw cursor.failure;
          return;
        } else {
          this.#loops.wake();
          await cursor.changed();
        }
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      cursor.finish();
      this.#loops.remove(cursor);
    }
  }

  async close(): Promise<void> {
    await this.#loops.close();
    await this.#client.close(true).catch(() => {});
  }

  async #offset(topic: string, partition: number, timestamp: bigint): Promise<bigint> {
    const name = this.#prefix + topic;
    const asked = this.#client.listOffsets({ topics: [name], partitions: { [name]: [partition] }, timestamp });
    return (await this.#asked(asked)).get(name)?.[partition] ?? 0n;
  }

  async #asked<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw new Failure(UNAVAILABLE, "retry", deepest(error), { cause: error });
    }
  }
}
