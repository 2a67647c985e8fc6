/**
 * Distinguishes a stalled consumer from a slow one. kafkajs can stop fetching after a rebalance without any error; only the
 * group's offsets show it.
 *
 * W1. A partition is stalled when it has been behind, unmoved and not being worked on for the whole of `stallMsMax`.
 * W2. Time before a `reset` does not count: call it when nothing can be observed, e.g. while Kafka is away.
 */
export type PartitionProgress = {
  readonly key: string;
  /** Next offset to handle. */
  readonly committed: bigint;
  /** Offset the next record will get. */
  readonly end: bigint;
  /** A handler works on it, e.g. retrying. */
  readonly busy: boolean;
};

export class StallWatch {
  readonly #stallMsMax: number;
  readonly #since = new Map<string, { committed: bigint; sinceMs: number }>();

  constructor(stallMsMax: number) {
    this.#stallMsMax = stallMsMax;
  }

  reset(): void {
    this.#since.clear();
  }

  /** The keys of stalled partitions. */
  observe(nowMs: number, progress: readonly PartitionProgress[]): string[] {
    const stalled: string[] = [];
    const present = new Set(progress.map(({ key }) => key));
    for (const key of this.#since.keys()) if (!present.has(key)) this.#since.delete(key);
    for (const { key, committed, end, busy } of progress) {
      const before = this.#since.get(key);
      if (committed >= end || busy || before === undefined || before.committed !== committed) {
        this.#since.set(key, { committed, sinceMs: nowMs });
      } else if (nowMs - before.sinceMs >= this.#stallMsMax) stalled.push(key);
    }
    return stalled;
  }
}
