/** A map that keeps about its newest `max` entries.
 *
 * The oldest go a sixteenth of them at a time, by one iterator: one for each would pass over all that were deleted before it, and one that is kept while
 * nothing goes keeps every table that the map had since. */
export class Newest<V> {
  readonly #max: number;
  readonly #slack: number;
  readonly #entries = new Map<string, V>();

  constructor(max: number) {
    this.#max = max;
    this.#slack = Math.floor(max / 16);
  }

  /** It shares the entries. */
  state(): ReadonlyMap<string, V> {
    return this.#entries;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  delete(key: string): boolean {
    return this.#entries.delete(key);
  }

  /** What had to go for it, oldest first. A known key keeps its age. */
  set(key: string, value: V): readonly (readonly [key: string, value: V])[] {
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#max + this.#slack) return NOTHING;
    const gone: [string, V][] = [];
    for (const entry of this.#entries) {
      if (this.#entries.size <= this.#max) break;
      this.#entries.delete(entry[0]);
      gone.push(entry);
    }
    return gone;
  }
}

const NOTHING: readonly never[] = [];
