/**
 * Shares of a bound that several owners use together: max-min fairness by owner, so that one owner, however much it brings, takes
 * nothing from another that has less than an equal part.
 *
 * `Holdings` counts what each owner holds. `OwnedOldest` says which entry of a bounded Map leaves: the oldest one of the owner that
 * holds the most. As long as anything has to leave, that owner has at least the equal part, so whoever has less keeps all.
 */
import { Oldest } from "./oldest.ts";

export class Holdings<O> {
  readonly #counts = new Map<O, number>();
  /** Owners by what they hold. */
  readonly #byCount = new Map<number, Set<O>>();
  #most = 0;
  #total = 0;

  get total(): number {
    return this.#total;
  }

  of(owner: O): number {
    return this.#counts.get(owner) ?? 0;
  }

  add(owner: O, by: number): void {
    if (by === 0) return;
    const before = this.of(owner);
    const after = before + by;
    this.#total += by;
    this.#leave(owner, before);
    if (after === 0) this.#counts.delete(owner);
    else {
      this.#counts.set(owner, after);
      const same = this.#byCount.get(after);
      if (same === undefined) this.#byCount.set(after, new Set([owner]));
      else same.add(owner);
    }
    this.#most = Math.max(this.#most, after);
    while (this.#most > 0 && !this.#byCount.has(this.#most)) this.#most -= 1;
  }

  /** The owner that holds the most; of several, the one that has held so much for the longest. */
  largest(): O | undefined {
    return this.#byCount.get(this.#most)?.values().next().value;
  }

  #leave(owner: O, count: number): void {
    const same = this.#byCount.get(count);
    if (same === undefined) return;
    same.delete(owner);
    if (same.size === 0) this.#byCount.delete(count);
  }
}

type Owned<K> = { readonly keys: Set<K>; readonly oldest: Oldest<K> };

export class OwnedOldest<K, O = string> {
  readonly #owners = new Map<O, Owned<K>>();
  readonly #ownerOf = new Map<K, O>();
  readonly #holdings = new Holdings<O>();

  get owners(): number {
    return this.#owners.size;
  }

  held(owner: O): number {
    return this.#holdings.of(owner);
  }

  /** The newest of its owner from now on. */
  add(key: K, owner: O): void {
    let owned = this.#owners.get(owner);
    if (owned?.keys.delete(key)) {
      owned.keys.add(key);
      owned.oldest.beyond(Number.POSITIVE_INFINITY);
      return;
    }
    this.delete(key);
    if (owned === undefined) {
      const keys = new Set<K>();
      owned = { keys, oldest: new Oldest(keys) };
      this.#owners.set(owner, owned);
    }
    owned.keys.add(key);
    owned.oldest.beyond(Number.POSITIVE_INFINITY); // so that it drops an iterator that is not needed any more
    this.#ownerOf.set(key, owner);
    this.#holdings.add(owner, 1);
  }

  delete(key: K): void {
    const owner = this.#ownerOf.get(key);
    if (owner === undefined) return;
    this.#ownerOf.delete(key);
    const owned = this.#owners.get(owner);
    owned?.keys.delete(key);
    if (owned?.keys.size === 0) this.#owners.delete(owner);
    this.#holdings.add(owner, -1);
  }

  /** While there are more than `max`: removes an entry and returns its key, which the caller forgets too. */
  beyond(max: number): K | undefined {
    if (this.#ownerOf.size <= max) return undefined;
    const owner = this.#holdings.largest();
    const owned = owner === undefined ? undefined : this.#owners.get(owner);
    if (owned === undefined) return undefined;
    const key = owned.oldest.beyond(owned.keys.size - 1);
    if (key !== undefined) this.delete(key);
    return key;
  }
}
