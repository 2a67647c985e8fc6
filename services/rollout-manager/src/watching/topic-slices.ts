/** Reads topics by their records' time, slice by slice, without a group.
 *
 * S1. A slice ends before the first record stamped later than its moment. So what a look sees depends on the log and on that
 *     moment, and not on when this process was started or how fast it reads.
 * S2. Every record is in one slice: one that is stamped earlier than its place in the log is in the slice of its place.
 * S3. When reading fails, the next call goes on behind the last record that was handed over. */
import type { Topic } from "@tributary/contracts";
import type { InRecord, KafkaReader } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";

export type SliceReader = Pick<KafkaReader, "read" | "offsets" | "offsetsAt">;
type Handle = (record: InRecord) => void;

/** Records between two turns of the event loop. */
const AT_ONCE = 200;

export class TopicSlices {
  readonly #reader: SliceReader;
  readonly #topic: Topic;
  readonly #handle: Handle;
  #next: Map<number, bigint> | null = null;

  constructor(reader: SliceReader, topic: Topic, handle: Handle) {
    this.#reader = reader;
    this.#topic = topic;
    this.#handle = handle;
  }

  /** The first slice begins here. */
  async begin(at: Instant): Promise<void> {
    this.#next ??= new Map(await this.#reader.offsetsAt(this.#topic.name, at));
  }

  /** Hands over every record up to `to`, those of a partition in order. */
  async read(to: Instant, signal: AbortSignal): Promise<void> {
    const ends = await this.#reader.offsetsAt(this.#topic.name, to + 1); // S1
    const next = this.#next ?? new Map<number, bigint>();
    this.#next = next;
    await Promise.all([...ends].map(([partition, end]) => this.#readPartition(next, partition, end, signal)));
  }

  async #readPartition(
    next: Map<number, bigint>,
    partition: number,
    until: bigint,
    signal: AbortSignal,
  ): Promise<void> {
    let from = next.get(partition) ?? 0n;
    if (from >= until) return; // S2
    const { earliest } = await this.#reader.offsets(this.#topic.name, partition);
    if (from < earliest) from = earliest; // Retention was faster.
    let handled = 0;
    for await (const record of this.#reader.read(this.#topic.name, partition, { from, until, signal })) {
      this.#handle(record);
      next.set(partition, record.offset + 1n); // S3
      handled += 1;
      if (handled % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    if (!signal.aborted && until > (next.get(partition) ?? 0n)) next.set(partition, until);
  }
}
