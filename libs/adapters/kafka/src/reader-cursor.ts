import type { RecordsBatch } from "@platformatic/kafka";
import type { Failure } from "@tributary/kernel";
import type { InRecord } from "./ports.ts";

const CONTROL = 0x20;
const LOG_APPEND_TIME = 0x08;
/** Bytes that a slow reader may leave pending before its partition is left out of fetches (reader.ts R3). */
const UNTAKEN_BYTES_MAX = 2 * 1024 * 1024;

export type CursorOptions = {
  readonly topic: string;
  /** With the prefix. */
  readonly name: string;
  readonly partition: number;
  readonly from: bigint;
  readonly until: bigint | undefined;
};

/** Where one `read` stands. */
export class Cursor {
  readonly topic: string;
  readonly name: string;
  readonly partition: number;
  /** The next offset to fetch. */
  position: bigint;
  failure: Failure | undefined;
  readonly #until: bigint | undefined;
  #untaken: InRecord[] = [];
  #at = 0;
  #untakenBytes = 0;
  #done = false;
  #change: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: CursorOptions) {
    this.topic = options.topic;
    this.name = options.name;
    this.partition = options.partition;
    this.position = options.from;
    this.#until = options.until;
    this.#done = this.#until !== undefined && this.position >= this.#until;
  }

  /** Nothing more is fetched; fetched records may still be taken. */
  get finished(): boolean {
    return this.#done;
  }

  get wantsMore(): boolean {
    return !this.#done && this.#untakenBytes < UNTAKEN_BYTES_MAX;
  }

  take(): InRecord | undefined {
    const record = this.#untaken[this.#at];
    if (record === undefined) return undefined;
    this.#at++;
    this.#untakenBytes -= record.value?.length ?? 0;
    if (this.#at === this.#untaken.length) {
      this.#untaken = [];
      this.#at = 0;
    }
    return record;
  }

  /** Resolves when records came or the cursor finished. */
  changed(): Promise<void> {
    this.#change ??= Promise.withResolvers<void>();
    return this.#change.promise;
  }

  finish(failure?: Failure): void {
    this.#done = true;
    this.failure ??= failure;
    this.#changes();
  }

  /** Takes the records of a fetch from `position`. reader.ts R1 */
  accept(batches: readonly RecordsBatch[]): void {
    for (const batch of batches) {
      if (this.#done) break;
      if ((batch.attributes & CONTROL) === 0) this.#acceptBatch(batch);
      // Compaction leaves gaps: the batch, not its last record, has the offset of the next one.
      const behind = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
      if (behind > this.position) this.position = behind;
      if (this.#until !== undefined && this.position >= this.#until) this.#done = true;
    }
    this.#changes();
  }

  #acceptBatch(batch: RecordsBatch): void {
    for (const record of batch.records) {
      const offset = batch.firstOffset + BigInt(record.offsetDelta);
      if (offset < this.position) continue;
      if (this.#until !== undefined && offset >= this.#until) return;
      const byBroker = (batch.attributes & LOG_APPEND_TIME) !== 0;
      this.#untakenBytes += record.value?.length ?? 0;
      this.#untaken.push({
        topic: this.topic,
        partition: this.partition,
        offset,
        key: record.key === null ? null : record.key.toString(),
        value: record.value,
        headers: Object.fromEntries(record.headers.map(([name, value]) => [String(name), String(value ?? "")])),
        timestamp: Number(byBroker ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta),
      });
    }
  }

  #changes(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}
