/** A binary heap of moments, of any scale that only advances. Entries are never removed early: who pops one asks whether it still means anything. */
export type Alarm = { readonly at: number; readonly deviceId: string; readonly frameKey: string };

export class Alarms<T extends { readonly at: number } = Alarm> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The earliest alarm, due or not. */
  get first(): T | undefined {
    return this.#heap[0];
  }

  set(alarm: T): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(alarm);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as T;
      if (above.at <= alarm.at) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = alarm;
  }

  /** The earliest alarm that is due, or undefined. */
  due(now: number): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = heap.pop() as T;
    if (heap.length > 0) this.#sink(last);
    return first;
  }

  #sink(alarm: T): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.at < (heap[child] as T).at) child++;
      const below = heap[child] as T;
      if (alarm.at <= below.at) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = alarm;
  }
}
