/** Reads the new records of a topic's partitions, each from where it stopped; starts at a timestamp, not at the log's start. */
import { setImmediate } from "node:timers/promises";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";

/** Number of records after which it yields to the event loop. */
const BREATH_RECORDS = 200;

export class LogCursors {
  readonly #reader: PartitionReader;
  readonly #topic: string;
  readonly #since: Instant;
  readonly #next = new Map<number, bigint>();

  constructor(reader: PartitionReader, topic: string, since: Instant) {
    this.#reader = reader;
    this.#topic = topic;
    this.#since = since;
  }

  /** Reads a partition from the beginning again. */
  async again(partition: number, signal: AbortSignal, each: (record: InRecord) => void): Promise<number> {
    this.#next.delete(partition);
    return this.take(partition, signal, each);
  }

  /** Returns how many records were taken. */
  async take(partition: number, signal: AbortSignal, each: (record: InRecord) => void): Promise<number> {
    const { next: until } = await this.#reader.offsets(this.#topic, partition);
    let at = this.#next.get(partition) ?? (await this.#reader.offsetAt(this.#topic, partition, this.#since));
    let taken = 0;
    if (at < until) {
      for await (const record of this.#reader.read(this.#topic, partition, { from: at, until, signal })) {
        each(record);
        if (++taken % BREATH_RECORDS === 0) await setImmediate();
      }
      at = until;
    }
    signal.throwIfAborted();
    this.#next.set(partition, at);
    return taken;
  }
}
