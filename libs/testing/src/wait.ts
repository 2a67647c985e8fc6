/** Bounded waits: a test that hangs must fail with a reason. */
import { Failure, systemClock } from "@tributary/kernel";

/** A bound below jest.config.mjs's testTimeout, generous for a busy machine. */
const TIMEOUT_MS = 60_000;

export type WaitOptions = {
  /** The awaited condition, for the message. */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
};

/** Polls until `probe` gives something other than undefined, null or false, and returns it. A probe that throws counts as
 * not yet; its last error is the message's end. */
export async function waitFor<T>(
  probe: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, undefined | null | false>> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const until = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      last = undefined;
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) {
      const why = last === undefined ? "" : `: ${String(last)}`;
      throw new Failure("wait-timed-out", "give-up", `waited ${timeoutMs} ms for ${options.what}${why}`);
    }
    await systemClock.sleep(options.everyMs ?? 25, options.signal);
  }
}
