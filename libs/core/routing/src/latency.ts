/**
 * A live sketch of the cloud's latency: counts over fixed bins, each 5 % wider than the last, halving every half-life.
 *
 * L1. Two sketches merge by adding counts (METHODS B4).
 * L2. No data is no evidence against sending: without it nothing would ever be learned.
 * L3. A call that never came back counts as infinitely late.
 */
import { clopperPearsonLower } from "@tributary/statistics";

const FIRST_MS = 1;
const GROWTH = 1.05;
const BINS = 240; // to about two minutes; the last bin holds everything beyond, L3 too

export type LatencySketchState = { readonly counts: readonly number[]; readonly atMs: number };

export type Reach = {
  /** Estimated P(latency <= given). 1 without data. */
  readonly probability: number;
  /** The most that the data allow, one-sided at 95 %. */
  readonly probabilityUpper: number;
  /** Effective number of observations. */
  readonly n: number;
};

export class LatencySketch {
  readonly #halfLifeMs: number;
  readonly #counts: Float64Array;
  #atMs: number;

  constructor(options: { readonly halfLifeMs: number; readonly state?: LatencySketchState }) {
    this.#halfLifeMs = options.halfLifeMs;
    this.#counts = new Float64Array(BINS);
    this.#counts.set(options.state?.counts.slice(0, BINS) ?? []);
    this.#atMs = options.state?.atMs ?? Number.NEGATIVE_INFINITY;
  }

  /** One observed latency, `Infinity` for a call that was given up. */
  record(latencyMs: number, nowMs: number): void {
    this.#decay(nowMs);
    const bin = binOfLatency(latencyMs);
    this.#counts[bin] = (this.#counts[bin] ?? 0) + 1;
  }

  /** How surely an answer comes within `ms`. Only whole bins below count, so the error is towards lateness. */
  within(ms: number, nowMs: number): Reach {
    this.#decay(nowMs);
    let n = 0;
    let inTime = 0;
    this.#counts.forEach((count, bin) => {
      n += count;
      if (bin < BINS - 1 && FIRST_MS * GROWTH ** bin <= ms) inTime += count;
    });
    if (n < 1) return { probability: 1, probabilityUpper: 1, n };
    const misses = Math.min(n, Math.max(0, n - inTime));
    return { probability: inTime / n, probabilityUpper: 1 - clopperPearsonLower(misses, n, 0.05), n };
  }

  quantile(q: number, nowMs: number): number | null {
    this.#decay(nowMs);
    const n = this.#counts.reduce((sum, count) => sum + count, 0);
    if (n < 1) return null;
    let below = 0;
    for (let bin = 0; bin < BINS; bin++) {
      below += this.#counts[bin] ?? 0;
      if (below >= q * n) return bin === BINS - 1 ? Number.POSITIVE_INFINITY : FIRST_MS * GROWTH ** bin;
    }
    return Number.POSITIVE_INFINITY;
  }

  merge(other: LatencySketch, nowMs: number): void {
    this.#decay(nowMs);
    const state = other.state(nowMs);
    state.counts.forEach((count, bin) => {
      this.#counts[bin] = (this.#counts[bin] ?? 0) + count;
    });
  }

  state(nowMs: number): LatencySketchState {
    this.#decay(nowMs);
    return { counts: Array.from(this.#counts), atMs: this.#atMs };
  }

  #decay(nowMs: number): void {
    if (nowMs <= this.#atMs) return;
    const factor = 0.5 ** ((nowMs - this.#atMs) / this.#halfLifeMs);
    for (let bin = 0; bin < BINS; bin++) this.#counts[bin] = (this.#counts[bin] ?? 0) * factor;
    this.#atMs = nowMs;
  }
}

/** Bin b holds latencies in (1.05^(b-1), 1.05^b] ms. */
function binOfLatency(ms: number): number {
  if (!(ms > FIRST_MS)) return 0;
  if (ms === Number.POSITIVE_INFINITY) return BINS - 1;
  return Math.min(BINS - 1, Math.ceil(Math.log(ms / FIRST_MS) / Math.log(GROWTH)));
}
