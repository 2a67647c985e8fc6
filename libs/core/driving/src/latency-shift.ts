/**
 * Whether a model became slower for good: CUSUM (Page 1954) on the logarithm of its latencies, against median and MAD of its first
 * ones.
 *
 * L1. One slow frame is none: a deviation counts at most `deviationMax`. A pause of a garbage collector is 20 deviations, and would be an
 *     alarm by itself.
 * L2. A shift that cannot cost a deadline is none: `isSlow` also needs that frames of the present level reach `slowFromMs`. Twice as
 *     slow as a tenth of the deadline is no reason to answer worse.
 */
import { invariant } from "@tributary/kernel";
import { quantileOf } from "@tributary/statistics/moments";

export type ShiftSettings = {
  /** Frames that show what is usual. */
  readonly baselineFrames: number;
  /** Deviations that are noise; a shift of twice that is found soonest. */
  readonly slack: number;
  readonly threshold: number;
  readonly deviationMax: number;
  /** Of the logarithm: smaller ones would make an alarm of microseconds. */
  readonly deviationMin: number;
};

export const shiftDefaults: ShiftSettings = {
  baselineFrames: 200,
  slack: 0.5,
  threshold: 8,
  deviationMax: 3,
  deviationMin: 0.05,
};

export type LatencyShift = {
  /** Until there is a baseline. */
  readonly first: readonly number[];
  /** Median and scale (1.4826 MAD) of ln ms. */
  readonly baseline: { readonly median: number; readonly scale: number } | null;
  readonly sum: number;
  /** Running mean of ln ms. */
  readonly recent: number;
};

export const noShift: LatencyShift = { first: [], baseline: null, sum: 0, recent: 0 };

/** For the MAD of a normal distribution to be its standard deviation. */
const MAD_SCALE = 1.4826;
/** Of the running mean, in frames. */
const MEMORY = 16;
/** In thresholds: a model that was slow for an hour need not be fast for another. */
const SUM_MAX = 2;
/** An outlier moves it no further than a frame that took e times as long. */
const STEP_MAX = 1;
/** How far above the running mean a frame in 40 is. */
const SPREAD = 2;

/** `ms`: from the request to the answer. */
export function shiftNext(shift: LatencyShift, ms: number, settings: ShiftSettings): LatencyShift {
  invariant(ms > 0, "a latency is above 0");
  const ln = Math.log(ms);
  if (shift.baseline === null) {
    const first = [...shift.first, ln];
    if (first.length < settings.baselineFrames) return { ...shift, first };
    const median = quantileOf(first, 0.5) as number;
    const mad = quantileOf(
      first.map((value) => Math.abs(value - median)),
      0.5,
    ) as number;
    const scale = Math.max(MAD_SCALE * mad, settings.deviationMin);
    return { first: [], baseline: { median, scale }, sum: 0, recent: median };
  }
  const { median, scale } = shift.baseline;
  const deviation = Math.min((ln - median) / scale, settings.deviationMax); // L1
  const sum = Math.min(Math.max(0, shift.sum + deviation - settings.slack), SUM_MAX * settings.threshold);
  const recent = shift.recent + (Math.min(ln, shift.recent + STEP_MAX) - shift.recent) / MEMORY;
  return { ...shift, sum, recent };
}

export function isSlow({ baseline, sum, recent }: LatencyShift, slowFromMs: number, settings: ShiftSettings): boolean {
  if (baseline === null || sum < settings.threshold) return false;
  return recent + SPREAD * baseline.scale >= Math.log(slowFromMs); // L2
}

/** Counts again from nothing: what is usual stays. */
export const shiftForgotten = (shift: LatencyShift): LatencyShift => ({
  ...shift,
  sum: 0,
  recent: shift.baseline?.median ?? 0,
});
