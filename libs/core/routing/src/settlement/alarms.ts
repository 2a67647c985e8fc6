/** A binary heap of moments. Entries are never removed early: who pops one asks whether it still means anything. */
export type Alarm = { readonly at: number; readonly deviceId: string; readonly frameKey: string };

export class Alarms {
  readonly #heap: Alarm[] = [];

  get size(): number {
    return this.#heap.length;
  }

  set(alarm: Alarm): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(alarm);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Alarm;
      if (above.at <= alarm.at) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = alarm;
  }

  /** The earliest alarm that is due, or undefined. */
  due(now: number): Alarm | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = heap.pop() as Alarm;
    if (heap.length > 0) this.#sink(last);
    return first;
  }

  #sink(alarm: Alarm): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.at < (heap[child] as Alarm).at) child++;
      const below = heap[child] as Alarm;
      if (alarm.at <= below.at) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = alarm;
  }
}
