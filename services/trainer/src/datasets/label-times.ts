/**
 * Moments in order, of which those after another moment are counted without looking at each. Pure.
 *
 * They are kept in runs of at most `RUN_MAX`. The last answer is kept up to date by what is added and removed, and the next one counts
 * only what is between both: a moment that is asked for again, or one that moves on as time does, costs the same however many there are.
 */
import type { Instant } from "@tributary/kernel";

const RUN_MAX = 1_024;

export class LabelTimes {
  /** Each in order, none empty. */
  readonly #runs: number[][] = [];
  #size = 0;
  #asked: Instant = Number.NEGATIVE_INFINITY;
  /** After `#asked`. */
  #after = 0;

  get size(): number {
    return this.#size;
  }

  add(at: Instant): void {
    const i = Math.min(this.#runAfter(at), this.#runs.length - 1);
    const run = this.#runs[i];
    if (run === undefined) this.#runs.push([at]);
    else {
      run.splice(firstAfter(run, at), 0, at);
      if (run.length > RUN_MAX) this.#runs.splice(i + 1, 0, run.splice(RUN_MAX / 2));
    }
    this.#size += 1;
    if (at > this.#asked) this.#after += 1;
  }

  /** One that was added. */
  remove(at: Instant): void {
    const i = firstWhere(this.#runs.length, (j) => (this.#runs[j]?.[0] as number) > at) - 1;
    const run = this.#runs[i] as number[];
    run.splice(firstAfter(run, at) - 1, 1);
    if (run.length === 0) this.#runs.splice(i, 1);
    this.#size -= 1;
    if (at > this.#asked) this.#after -= 1;
  }

  countAfter(at: Instant): number {
    if (at === this.#asked) return this.#after;
    const sign = at > this.#asked ? -1 : 1;
    this.#after += sign * this.#between(Math.min(at, this.#asked), Math.max(at, this.#asked));
    this.#asked = at;
    return this.#after;
  }

  /** After `from`, and not after `to`. */
  #between(from: Instant, to: Instant): number {
    const [first, last] = [this.#runAfter(from), this.#runAfter(to)];
    let count = 0;
    for (let i = first; i < last; i++) count += (this.#runs[i] as number[]).length;
    const placeIn = (i: number, at: Instant) => firstAfter(this.#runs[i] ?? [], at);
    return count - placeIn(first, from) + placeIn(last, to);
  }

  /** The first run of which a moment is after this one. */
  #runAfter(at: Instant): number {
    return firstWhere(this.#runs.length, (i) => (this.#runs[i]?.at(-1) as number) > at);
  }
}

const firstAfter = (run: readonly number[], at: Instant): number =>
  firstWhere(run.length, (i) => (run[i] as number) > at);

/** The first index from which on it is so. */
function firstWhere(length: number, isSo: (i: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isSo(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
