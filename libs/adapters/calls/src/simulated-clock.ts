/** A clock that stands still until `run` is called, for simulations: sleepers are woken in the order of time. */
import type { Clock, Instant } from "@tributary/kernel";

type Sleeper = { readonly atMs: number; readonly order: number; readonly wake: () => void };

export class SimulatedClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap, the earliest first. */
  readonly #heap: Sleeper[] = [];

  now(): Instant {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      const wake = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#push({ atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, wake });
    });
  }

  /** Advances time to `atMs`, or until there are no sleepers. */
  async runUntil(atMs: number): Promise<void> {
    for (;;) {
      await new Promise((settled) => setImmediate(settled)); // sleepers that were woken have acted
      const next = this.#heap[0];
      if (next === undefined || next.atMs > atMs) break;
      this.#pop();
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
    this.#nowMs = Math.max(this.#nowMs, atMs);
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#heap;
    let at = heap.push(sleeper) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Sleeper;
      if (!isBefore(sleeper, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = sleeper;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Sleeper;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const right = heap[left + 1];
      const child = right !== undefined && isBefore(right, heap[left] as Sleeper) ? left + 1 : left;
      if (!isBefore(heap[child] as Sleeper, last)) break;
      heap[at] = heap[child] as Sleeper;
      at = child;
    }
    heap[at] = last;
  }
}

const isBefore = (a: Sleeper, b: Sleeper): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
