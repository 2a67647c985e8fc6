/** Milliseconds since the Unix epoch, UTC. */
export type Instant = number;

/** The only door to time. Services get `systemClock`; tests and simulations hand in their own (G10). */
export interface Clock {
  /** Wall-clock time; may jump. */
  now(): Instant;
  /** Milliseconds since an arbitrary start; never goes back. Use it for ages, timeouts and latencies. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
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
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};
