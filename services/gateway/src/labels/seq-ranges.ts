/** Numbers of frames as ranges, each with what holds for all of its frames: a camera counts on, so millions take few. */
type Range<T> = { from: bigint; to: bigint; readonly tag: T };

export class SeqRanges<T> {
  /** Ascending, apart. */
  readonly #ranges: Range<T>[] = [];

  get count(): number {
    return this.#ranges.length;
  }

  /** The first tag of a frame stays. Tags are compared by identity. */
  add(seq: bigint, tag: T): void {
    const at = this.#behind(seq);
    const before = this.#ranges[at - 1];
    const after = this.#ranges[at];
    if (before !== undefined && seq <= before.to) return;
    const joinsBefore = before !== undefined && before.to + 1n === seq && before.tag === tag;
    const joinsAfter = after !== undefined && seq + 1n === after.from && after.tag === tag;
    if (joinsBefore && joinsAfter) {
      before.to = after.to;
      this.#ranges.splice(at, 1);
    } else if (joinsBefore) before.to = seq;
    else if (joinsAfter) after.from = seq;
    else this.#ranges.splice(at, 0, { from: seq, to: seq, tag });
  }

  get(seq: bigint): T | undefined {
    const range = this.#ranges[this.#behind(seq) - 1];
    return range !== undefined && seq <= range.to ? range.tag : undefined;
  }

  /** Forgets the ranges with the lowest numbers. */
  dropLowest(count: number): void {
    this.#ranges.splice(0, count);
  }

  /** Index of the first range that begins behind `seq`. */
  #behind(seq: bigint): number {
    const last = this.#ranges.at(-1);
    if (last === undefined || last.from <= seq) return this.#ranges.length; // as frames come
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as Range<T>).from <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
