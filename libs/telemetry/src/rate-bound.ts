/**
 * Bounds how many lines one event may write (G9), so that a flood of refusals cannot fill a disk or stop the process.
 *
 * R1. At most `linesMax` lines per event name and window.
 * R2. What was held back is told as one summary per event name and window; nothing vanishes uncounted.
 */
export type Suppressed = { readonly event: string; readonly count: number };

type Window = { startedAtMs: number; lines: number; suppressed: number };

export class RateBound {
  readonly #linesMax: number;
  readonly #windowMs: number;
  readonly #windows = new Map<string, Window>();

  constructor(linesMax: number, windowMs: number) {
    this.#linesMax = linesMax;
    this.#windowMs = windowMs;
  }

  /** Whether this event may write its line now. */
  admit(event: string, nowMs: number): boolean {
    let window = this.#windows.get(event);
    if (window === undefined) {
      window = { startedAtMs: nowMs, lines: 0, suppressed: 0 };
      this.#windows.set(event, window);
    } else if (window.suppressed === 0 && nowMs - window.startedAtMs >= this.#windowMs) {
      window.startedAtMs = nowMs;
      window.lines = 0;
    }
    if (window.lines < this.#linesMax) {
      window.lines++;
      return true; // R1
    }
    window.suppressed++;
    return false;
  }

  /** Summaries of the windows that are over; they start anew. `everything` also closes windows still open. R2 */
  due(nowMs: number, everything = false): Suppressed[] {
    const summaries: Suppressed[] = [];
    for (const [event, window] of this.#windows) {
      if (!everything && nowMs - window.startedAtMs < this.#windowMs) continue;
      if (window.suppressed > 0) summaries.push({ event, count: window.suppressed });
      this.#windows.delete(event);
    }
    return summaries;
  }
}
