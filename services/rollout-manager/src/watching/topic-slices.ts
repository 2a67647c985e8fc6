/**
 * Reads topics by their records' time, slice by slice, without a group.
 *
 * A slice of a partition ends before the first record stamped later than its moment. So what a look sees depends on the log
 * and on that moment, and not on when this process was started or how fast it reads. Every record is in one slice: one that
 * is stamped earlier than the records before it is in the slice of its offset. When reading fails, the next call continues
 * after the last record that was delivered. An instance that is behind fetches many slices from Kafka in one range
 * (`horizon`).
 */
import type { Topic } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";

/** A promise: the partition's next record is handed over after it, and this one again if it is rejected. */
type Handle = (record: InRecord) => void | Promise<void>;

/** A partition that is being read; `ahead` is of a later slice. */
type Open = { readonly records: AsyncIterator<InRecord>; ahead: InRecord | null };

/** Records between two turns of the event loop. */
const AT_ONCE = 200;

export class TopicSlices {
  readonly #reader: PartitionReader;
  readonly #topic: Topic;
  readonly #handle: Handle;
  readonly #next = new Map<number, bigint>();
  #isBegun = false;
  #open = new Map<number, Open>();
  /** Up to here Kafka was asked. */
  #asked = Number.NEGATIVE_INFINITY;

  constructor(reader: PartitionReader, topic: Topic, handle: Handle) {
    this.#reader = reader;
    this.#topic = topic;
    this.#handle = handle;
  }

  /** What comes next, by partition: all before it was handed over. */
  get next(): ReadonlyMap<number, bigint> {
    return this.#next;
  }

  /** How many records retention has deleted after `next`; null: the topic is not the one that was read, since it has fewer records. */
  async lostSince(next: ReadonlyMap<number, bigint>): Promise<bigint | null> {
    let lost = 0n;
    for (const partition of await this.#reader.partitions(this.#topic.name)) {
      const bounds = await this.#reader.offsets(this.#topic.name, partition);
      const from = next.get(partition) ?? 0n;
      if (from > bounds.next) return null;
      if (from < bounds.earliest) lost += bounds.earliest - from;
    }
    return lost;
  }

  /** Continues where another instance was, instead of `start`. */
  resume(next: ReadonlyMap<number, bigint>): void {
    for (const [partition, offset] of next) this.#next.set(partition, offset);
    this.#isBegun = true;
  }

  /** The start of the first slice. */
  async start(at: Instant): Promise<void> {
    if (this.#isBegun) return;
    for (const [partition, offset] of await this.#reader.offsetsAt(this.#topic.name, at)) {
      this.#next.set(partition, offset);
    }
    this.#isBegun = true;
  }

  /** Hands over every record up to `to`, those of a partition in order. `horizon`: what will be asked for soon, not before `to`. */
  async read(to: Instant, horizon: Instant, signal: AbortSignal): Promise<void> {
    try {
      if (to > this.#asked) await this.#ask(Math.max(to, horizon), signal);
      await settled([...this.#open].map(([partition, open]) => this.#slice(partition, open, to, signal)));
    } catch (error) {
      this.#open = new Map();
      this.#asked = Number.NEGATIVE_INFINITY;
      throw error;
    }
  }

  async #ask(to: Instant, signal: AbortSignal): Promise<void> {
    const { name } = this.#topic;
    const ends = await this.#reader.offsetsAt(name, to + 1);
    // What the last range left is in this one.
    await Promise.all([...this.#open.values()].map(({ records }) => records.return?.()));
    this.#open = new Map();
    await settled(
      [...ends].map(async ([partition, until]) => {
        let from = this.#next.get(partition) ?? 0n;
        if (from >= until) return;
        const { earliest } = await this.#reader.offsets(name, partition);
        if (from < earliest) from = earliest; // Retention was faster.
        const records = this.#reader.read(name, partition, { from, until, signal })[Symbol.asyncIterator]();
        this.#open.set(partition, { records, ahead: null });
      }),
    );
    this.#asked = to;
  }

  async #slice(partition: number, open: Open, to: Instant, signal: AbortSignal): Promise<void> {
    for (let handled = 1; !signal.aborted; handled++) {
      const record = open.ahead ?? (await open.records.next()).value;
      open.ahead = null;
      if (record === undefined) {
        this.#open.delete(partition);
        return;
      }
      if (record.timestamp > to) {
        open.ahead = record;
        return;
      }
      const handling = this.#handle(record);
      if (handling !== undefined) await handling;
      this.#next.set(partition, record.offset + 1n);
      if (handled % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** As Promise.all, but waits for all: nothing is still running when the caller tries again. */
export async function settled(works: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === "rejected") throw result.reason;
}
