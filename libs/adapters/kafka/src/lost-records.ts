/**
 * Finds what retention deleted before a consumer group had read it. kafkajs then continues at the first offset that is kept, and does
 * not say so.
 *
 * Where the next batch has to begin is known from what the group had committed when the client started, and from the batch before.
 * A batch that begins later has a gap; only as much of it as is before the first kept offset was lost. */
export class LostRecords {
  #next = new Map<string, bigint>();

  /** What the group has committed, asked before the client joins. */
  started(committed: ReadonlyMap<string, bigint>): void {
    this.#next = new Map(committed);
  }

  /** Of other partitions another member knows more than we do. */
  keepOnly(isHeld: (key: string) => boolean): void {
    for (const key of this.#next.keys()) if (!isHeld(key)) this.#next.delete(key);
  }

  /** Where the gap before a batch begins; undefined if there is none. */
  gapBefore(key: string, fetchedFrom: bigint): bigint | undefined {
    const expected = this.#next.get(key);
    this.#next.set(key, fetchedFrom);
    return expected !== undefined && fetchedFrom > expected ? expected : undefined;
  }

  /** `last` is the batch's last offset. */
  read(key: string, last: bigint): void {
    this.#next.set(key, last + 1n);
  }
}

/** Of a gap, what is before the first kept offset. */
export function recordsLost(gap: { readonly from: bigint; readonly until: bigint }, firstKept: bigint): number {
  const until = firstKept < gap.until ? firstKept : gap.until;
  return until > gap.from ? Number(until - gap.from) : 0;
}
