/**
 * A child process that a backend depends on. One that exits is restarted with backoff; until then callers wait, but never
 * beyond their own limit, and a caller that gave up leaves nothing behind (G9).
 */
import { type Backoff, backoffMs, type Clock, linkedSignal, type Random, reasonOf } from "@tributary/kernel";

export interface Child {
  readonly digest: string;
  readonly pid: number;
  /** Resolves with the exit code when it ends, however. */
  readonly exited: Promise<number | null>;
  close(): Promise<void>;
}

export type ChildEvents = {
  loaded(event: { readonly digest: string; readonly pid: number; readonly attempt: number }): void;
  lost(event: { readonly digest: string; readonly exitCode: number | null }): void;
  loadFailed(event: { readonly reason: string; readonly retryMs: number }): void;
};

export type SupervisedOptions<T extends Child> = {
  load(): Promise<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: ChildEvents;
  readonly backoff?: Backoff;
};

const RELOAD_BACKOFF: Backoff = { minMs: 100, maxMs: 30_000 };
/** A child that ran this long was healthy: after its exit the backoff starts from its minimum. */
const HEALTHY_MS = 60_000;

export class Supervised<T extends Child> {
  readonly #options: SupervisedOptions<T>;
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  #child: T | undefined;
  #supervision: Promise<void> = Promise.resolve();

  private constructor(options: SupervisedOptions<T>) {
    this.#options = options;
  }

  /** Rejects when the first one cannot be started at all: that is a matter for a person, not for retries. */
  static async start<T extends Child>(options: SupervisedOptions<T>): Promise<Supervised<T>> {
    const supervised = new Supervised(options);
    const child = await options.load();
    supervised.#adopt(child, 1);
    supervised.#supervision = supervised.#supervise(child);
    return supervised;
  }

  get current(): T | undefined {
    return this.#child;
  }

  /** The child was found dead; its `exited` may resolve a moment later, and a second attempt must wait for the next child. */
  seenDead(child: T): void {
    if (this.#child === child) this.#child = undefined;
  }

  /** The child, as soon as there is one; undefined when the signal was first. */
  async whenThere(signal: AbortSignal): Promise<T | undefined> {
    if (this.#child !== undefined) return this.#child;
    const link = linkedSignal(signal, this.#stop.signal);
    const over = link.signal;
    while (this.#child === undefined && !over.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          over.removeEventListener("abort", wake);
          resolve();
        };
        this.#waiting.add(wake);
        over.addEventListener("abort", wake, { once: true });
      });
    }
    link.unlink();
    return this.#child;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#child?.close();
    await this.#supervision;
  }

  async #supervise(first: T): Promise<void> {
    const { load, clock, random, events, backoff = RELOAD_BACKOFF } = this.#options;
    const { signal } = this.#stop;
    let child: T | undefined = first;
    let attempt = 0;
    while (!signal.aborted) {
      if (child !== undefined) {
        const since = clock.monotonicMs();
        const exitCode = await child.exited;
        this.#child = undefined;
        if (signal.aborted) return;
        events.lost({ digest: child.digest, exitCode });
        if (clock.monotonicMs() - since >= HEALTHY_MS) attempt = 0;
        child = undefined;
      }
      const retryMs = backoffMs(backoff, attempt++, random);
      await clock.sleep(retryMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        child = await load();
        this.#adopt(child, attempt);
      } catch (error) {
        events.loadFailed({ reason: reasonOf(error), retryMs });
      }
    }
    await child?.close();
  }

  #adopt(child: T, attempt: number): void {
    this.#child = child;
    this.#options.events.loaded({ digest: child.digest, pid: child.pid, attempt });
    for (const wake of [...this.#waiting]) wake();
  }
}

/** Rejects with the signal's reason as soon as it aborts. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) {
      promise.catch(() => {}); // Nobody else handles its rejection.
      return onAbort();
    }
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
