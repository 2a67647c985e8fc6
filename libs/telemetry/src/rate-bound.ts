/**
 * Bounds how many lines one event may write (G9), so that a flood of refusals cannot fill a disk or stop the process, and
 * one source of a flood cannot hide what befalls the others.
 *
 * At most `linesMax` lines per event name and window; of them at most a quarter from one source (a device or address). Beyond
 * that, the first line of a source within a minute is written, for the first `SOURCES_MAX` sources of an event. What was held
 * back is reported as one summary per event name and window, with the sources it came from most; nothing vanishes uncounted. */
export type Suppressed = {
  readonly event: string;
  readonly count: number;
  /** At most `SOURCES_NAMED_MAX`. */
  readonly most: readonly { readonly source: string; readonly count: number }[];
};

type Counts = { lines: number; suppressed: number };
type Window = Counts & { startedAtMs: number; readonly sources: Map<string, Counts> };

const SOURCE_SHARE = 4;
const SOURCES_MAX = 256;
const SOURCES_NAMED_MAX = 3;
const HEARD_MS = 60_000;

export class RateBound {
  readonly #linesMax: number;
  readonly #windowMs: number;
  readonly #windows = new Map<string, Window>();
  /** When each source's first line of an event was written; by event. */
  readonly #heard = new Map<string, Map<string, number>>();

  constructor(linesMax: number, windowMs: number) {
    this.#linesMax = linesMax;
    this.#windowMs = windowMs;
  }

  /** Whether this event may write its line now. `source`: where it came from, if that is known. */
  admit(event: string, source: string | undefined, nowMs: number): boolean {
    let window = this.#windows.get(event);
    if (window === undefined || (window.suppressed === 0 && nowMs - window.startedAtMs >= this.#windowMs)) {
      window = { startedAtMs: nowMs, lines: 0, suppressed: 0, sources: new Map() };
      this.#windows.set(event, window);
    }
    const counts = source === undefined ? undefined : countsOf(window, source);
    const isFirst = source !== undefined && this.#isFirst(event, source, nowMs);
    const sourceMax = Math.max(1, Math.floor(this.#linesMax / SOURCE_SHARE));
    const fits = window.lines < this.#linesMax && (counts === undefined || counts.lines < sourceMax);
    if (fits) window.lines++;
    const kind = fits || isFirst ? "lines" : "suppressed";
    if (kind === "suppressed") window.suppressed++;
    if (counts !== undefined) counts[kind]++;
    return kind === "lines";
  }

  /** Summaries of the windows that are over; they start again. `everything` also closes windows still open. */
  due(nowMs: number, everything = false): Suppressed[] {
    const summaries: Suppressed[] = [];
    for (const [event, window] of this.#windows) {
      if (!everything && nowMs - window.startedAtMs < this.#windowMs) continue;
      if (window.suppressed > 0) summaries.push({ event, count: window.suppressed, most: mostOf(window) });
      this.#windows.delete(event);
    }
    return summaries;
  }

  #isFirst(event: string, source: string, nowMs: number): boolean {
    let heard = this.#heard.get(event);
    if (heard === undefined) {
      heard = new Map();
      this.#heard.set(event, heard);
    }
    const at = heard.get(source);
    if (at !== undefined && nowMs - at < HEARD_MS) return false;
    heard.delete(source);
    for (const [oldest, oldestAt] of heard) {
      if (nowMs - oldestAt < HEARD_MS) break; // in order of time
      heard.delete(oldest);
    }
    if (heard.size >= SOURCES_MAX) return false;
    heard.set(source, nowMs);
    return true;
  }
}

/** Sources beyond the table's bound share one line of it. */
function countsOf(window: Window, source: string): Counts {
  const name = window.sources.has(source) || window.sources.size < SOURCES_MAX ? source : "others";
  let counts = window.sources.get(name);
  if (counts === undefined) {
    counts = { lines: 0, suppressed: 0 };
    window.sources.set(name, counts);
  }
  return counts;
}

const mostOf = (window: Window) =>
  [...window.sources]
    .filter(([, { suppressed }]) => suppressed > 0)
    .map(([source, { suppressed }]) => ({ source, count: suppressed }))
    .toSorted((a, b) => b.count - a.count)
    .slice(0, SOURCES_NAMED_MAX);
