/** Milliseconds since the Unix epoch, UTC. */
export type Instant = number;

/** The only source of time. Services get `systemClock`; tests and simulations pass their own (G10). */
export interface Clock {
  /** Wall-clock time; may jump. */
  now(): Instant;
  /** Milliseconds since an arbitrary start; never decreases. Use it for ages, timeouts and latencies. */
  monotonicMs(): number;
  /** Resolves after `ms`, or after 24 days if that is sooner; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The longest a timer of Node's can be; a longer one would fire at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** Clamps a delay to what a timer takes, e.g. one computed from two clocks that disagree. */
export const timerMs = (ms: number): number => Math.min(TIMER_MS_MAX, Math.max(0, ms));

export type Repetition = {
  readonly clock: Clock;
  /** From the end of one call to the next. */
  readonly everyMs: number;
  readonly signal: AbortSignal;
};

/** Calls `work` again and again until `signal` aborts. What it throws ends the repetition. */
export async function repeat(work: () => unknown, { clock, everyMs, signal }: Repetition): Promise<void> {
  while (!signal.aborted) {
    await work();
    await clock.sleep(everyMs, signal).catch(() => {});
  }
}

/** As `repeat`, but waits before the first call, too. */
export async function repeatLater(work: () => unknown, repetition: Repetition): Promise<void> {
  await repetition.clock.sleep(repetition.everyMs, repetition.signal).catch(() => {});
  await repeat(work, repetition);
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, timerMs(ms));
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};
