/**
 * The keys of a Map or Set that were inserted first, for one that is bounded by forgetting them.
 *
 * `map.keys().next()` starts anew at each call, and V8 passes over every entry that was deleted before it: with 200,000 entries,
 * tens of thousands of them. Here one iterator goes on where it stopped. An unused iterator keeps each table alive that the map
 * outgrew since, so it is dropped when it is not needed for a while.
 */
type Kept<K> = { readonly size: number; keys(): Iterator<K>; delete(key: K): boolean };

const IDLE_MAX = 16;

export class Oldest<K> {
  readonly #kept: Kept<K>;
  #keys: Iterator<K> | undefined;
  /** Calls since the iterator was needed. */
  #idle = 0;

  constructor(kept: Kept<K>) {
    this.#kept = kept;
  }

  /** Call it after each insertion. While there are more than `max`: the oldest key, which the caller deletes before it calls
   * again; else undefined. */
  beyond(max: number): K | undefined {
    if (this.#kept.size <= Math.max(0, max)) {
      if (++this.#idle >= IDLE_MAX) this.#keys = undefined;
      return undefined;
    }
    this.#idle = 0;
    this.#keys ??= this.#kept.keys();
    const next = this.#keys.next();
    if (!next.done) return next.value;
    // A caller did not delete what it was given.
    this.#keys = this.#kept.keys();
    return this.#keys.next().value;
  }

  /** Call it after insertions. Deletes the oldest beyond `max`; returns how many. */
  trim(max: number): number {
    let deleted = 0;
    for (let key = this.beyond(max); key !== undefined; key = this.beyond(max)) {
      this.#kept.delete(key);
      deleted += 1;
    }
    return deleted;
  }
}
