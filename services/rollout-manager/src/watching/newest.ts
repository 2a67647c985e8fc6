/** A map that keeps its newest entries. One iterator walks over the oldest: a new one at each eviction would pass over all that were deleted. */
export class Newest<V> {
  readonly #max: number;
  readonly #entries = new Map<string, V>();
  #oldest = this.#entries.keys();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
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

  /** What had to go for it: the oldest. A known key keeps its age. */
  set(key: string, value: V): readonly [key: string, value: V] | undefined {
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#max) return undefined;
    const oldest = this.#next();
    const gone = this.#entries.get(oldest) as V;
    this.#entries.delete(oldest);
    return [oldest, gone];
  }

  #next(): string {
    const next = this.#oldest.next();
    if (!next.done) return next.value;
    this.#oldest = this.#entries.keys(); // It was at the end once, when nothing was left.
    return this.#oldest.next().value as string;
  }
}
