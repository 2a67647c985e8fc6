/**
 * How far a partition may be committed whose records finish in any order. Pure.
 *
 * M1. `next` is never past an unfinished record, nor past what was delivered: whoever continues from there misses none.
 * M2. It is behind every delivered record once all have finished.
 * M3. A record that is delivered again while it is known, because it is in flight or finished above the mark, is not taken again. One
 *     below the mark is: the log was created anew, or its consumer continues from an earlier commit.
 */
export class LowWaterMark {
  readonly #unfinished = new Set<bigint>();
  /** Finished, while one before it is not. */
  readonly #finished = new Set<bigint>();
  #delivered: bigint;
  /** Those below are forgotten. */
  #forgottenBelow: bigint;

  /** `first` is the offset that is delivered next. */
  constructor(first: bigint) {
    this.#delivered = first;
    this.#forgottenBelow = first;
  }

  /** The offset to commit (M1). */
  get next(): bigint {
    let next = this.#delivered;
    for (const offset of this.#unfinished) if (offset < next) next = offset;
    return next;
  }

  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Records that would be handled again if the process were killed now, although they have finished. */
  get ahead(): number {
    return this.#finished.size;
  }

  isKnown(offset: bigint): boolean {
    return this.#unfinished.has(offset) || this.#finished.has(offset);
  }

  /** Whether the delivered record is to be handled (M3). */
  take(offset: bigint): boolean {
    this.passed(offset);
    if (this.isKnown(offset)) return false;
    this.#unfinished.add(offset);
    return true;
  }

  finish(offset: bigint): void {
    if (!this.#unfinished.delete(offset)) return;
    this.#finished.add(offset);
    this.#forget();
  }

  /** Delivery has come past `offset`, of a record or of a transaction's marker. */
  passed(offset: bigint): void {
    this.#delivered = offset + 1n;
    this.#forget();
  }

  #forget(): void {
    const { next } = this;
    if (next === this.#forgottenBelow) return;
    this.#forgottenBelow = next;
    for (const offset of this.#finished) if (offset < next) this.#finished.delete(offset);
  }
}
