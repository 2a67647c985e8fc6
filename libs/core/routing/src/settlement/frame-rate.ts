/**
 * The fleet's frame rate, from frames that arrive in batches, and a time that advances evenly with each of them.
 *
 * The rate moves towards what at least a second of arrivals shows, with a time constant of 30 s. A silence of more than 5 s is
 * a pause and does not count for the rate. */
const INTERVAL_MS_ASSUMED = 100;
const WINDOW_MS_MIN = 1_000;
const PAUSE_MS = 5_000;
const TIME_CONSTANT_MS = 30_000;

export class FrameRate {
  #perMs = 1 / INTERVAL_MS_ASSUMED;
  #windowSince: number | null = null;
  #lastAt = 0;
  #frames = 0;
  #timeMs = 0;

  get intervalMs(): number {
    return Math.max(1, 1 / this.#perMs);
  }

  /** Counts one frame. */
  next(now: number): { readonly timeMs: number; readonly intervalMs: number } {
    if (this.#windowSince === null || now - this.#lastAt > PAUSE_MS || now < this.#lastAt) {
      this.#windowSince = now;
      this.#frames = 0;
    }
    this.#lastAt = now;
    this.#frames++;
    const elapsedMs = now - this.#windowSince;
    if (elapsedMs >= WINDOW_MS_MIN) {
      this.#perMs += (this.#frames / elapsedMs - this.#perMs) * (1 - Math.exp(-elapsedMs / TIME_CONSTANT_MS));
      this.#windowSince = now;
      this.#frames = 0;
    }
    const intervalMs = Math.max(1, 1 / this.#perMs);
    this.#timeMs += intervalMs;
    return { timeMs: this.#timeMs, intervalMs };
  }
}
