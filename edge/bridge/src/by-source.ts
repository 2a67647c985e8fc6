/**
 * Items of many sources (addresses): a source with many items gives way to one with few, and all are served in turn.
 *
 * F1. `heaviest` names a source that holds as many items as any. Room is made by removing one of its items (G9).
 * F2. `next` serves the sources in turn, and each source's items in their order.
 */
export class BySource<T> {
  /** In the order in which they are served. */
  readonly #sources = new Map<string, Set<T>>();
  /** The sources that hold n items, at n; so that F1 costs no search. */
  readonly #holding: Set<string>[] = [];
  #size = 0;
  #heaviest = 0;

  get size(): number {
    return this.#size;
  }

  countOf(source: string): number {
    return this.#sources.get(source)?.size ?? 0;
  }

  /** The oldest first. */
  itemsOf(source: string): Iterable<T> {
    return this.#sources.get(source) ?? [];
  }

  /** Undefined when there is nothing. */
  heaviest(): string | undefined {
    return this.#holding[this.#heaviest]?.values().next().value;
  }

  add(source: string, item: T): void {
    const items = this.#sources.get(source) ?? new Set();
    if (items.has(item)) return;
    this.#sources.set(source, items);
    this.#moved(source, items.size, items.size + 1);
    items.add(item);
    this.#size++;
  }

  remove(source: string, item: T): boolean {
    const items = this.#sources.get(source);
    if (items === undefined || !items.delete(item)) return false;
    this.#size--;
    this.#moved(source, items.size + 1, items.size);
    if (items.size === 0) this.#sources.delete(source);
    return true;
  }

  /** Takes one out. */
  next(): T | undefined {
    for (const [source, items] of this.#sources) {
      const [item] = items as Set<T> & Iterable<T>;
      this.remove(source, item as T);
      if (items.size > 0) {
        this.#sources.delete(source);
        this.#sources.set(source, items);
      }
      return item;
    }
    return undefined;
  }

  #moved(source: string, from: number, to: number): void {
    this.#holding[from]?.delete(source);
    if (to > 0) {
      this.#holding[to] ??= new Set();
      this.#holding[to].add(source);
    }
    this.#heaviest = Math.max(this.#heaviest, to);
    while (this.#heaviest > 0 && !this.#holding[this.#heaviest]?.size) this.#heaviest--;
  }
}
