/** Compares two arms device by device, adjusted by what each device did before (CUPED; Deng et al. 2013).
 *
 * A1. Every rate is one of good outcomes: frames right, frames in time. Harm is the control's rate less the canary's.
 * A2. A device without frames since the start is missing, not bad: silence has a verdict of its own.
 * A3. No bad frame in either arm is not certainty: the variance has a floor, what independent frames would give, less what
 *     chance alone takes from an estimate of it once in a thousand. (The whole of it would cost a quarter of the speed: half
 *     of all honest estimates lie below it, and their uncertainty is in the degrees of freedom already.) */
import type { Comparison } from "./evidence.ts";

/** Counts of one arm, device by device, in the same order at every look. */
export type Arm = {
  /** Good frames and all frames since the start. */
  readonly good: ArrayLike<number>;
  readonly frames: ArrayLike<number>;
  /** Rate of good frames before the start, over at least a day or all there is. */
  readonly before: ArrayLike<number>;
};

/** Counts of an arm at an earlier moment, to compare what came after it alone. */
export type Started = { readonly good: ArrayLike<number>; readonly frames: ArrayLike<number> };
export type Start = { readonly control: Started; readonly canary: Started };

/** Null while an arm has fewer than two devices with frames. One pass over each arm, and nothing is copied: a look at
 * 100,000 devices makes dozens of these. */
export function compare(control: Arm, canary: Arm, start?: Start): Comparison | null {
  const a = momentsOf(control, start?.control);
  const b = momentsOf(canary, start?.canary);
  if (a.n < 2 || b.n < 2) return null;
  const slope = a.xx > 0 ? a.xy / a.xx : 0; // theta = cov(Y, X) / var(X) over the control's devices
  const centre = (a.n * a.x + b.n * b.x) / (a.n + b.n);
  const meanOf = ({ x, y }: Moments) => y - slope * (x - centre);
  /** Of the adjusted values: between the devices, and that of their mean. */
  const varianceOf = ({ n, xx, xy, yy }: Moments) => Math.max(0, yy - slope * (2 * xy - slope * xx)) / (n - 1) / n;
  const [va, vb] = [varianceOf(a), varianceOf(b)];
  const spread = va + vb;
  const freedom = spread === 0 ? a.n + b.n - 2 : spread ** 2 / (va ** 2 / (a.n - 1) + vb ** 2 / (b.n - 1));
  const variance = Math.max(spread, (floorOf(a) + floorOf(b)) * leastShare(freedom)); // A3
  return { harm: meanOf(a) - meanOf(b), variance, freedom };
}

/** Of an arm's devices with frames: how many, means of what they do (`y`) and did before (`x`), sums of squares and products
 * about these means; and all frames, with the bad ones. */
type Moments = {
  readonly n: number;
  readonly x: number;
  readonly y: number;
  readonly xx: number;
  readonly xy: number;
  readonly yy: number;
  readonly bad: number;
  readonly all: number;
};

/** Sums of distances from the first device's values: so near the means, nothing is lost in taking these off at the end. */
function momentsOf({ good, frames, before }: Arm, start: Started | undefined): Moments {
  let [n, sumX, sumY, xx, xy, yy, right, all] = [0, 0, 0, 0, 0, 0, 0, 0];
  let [originX, originY] = [0, 0];
  for (let i = 0; i < frames.length; i++) {
    const count = (frames[i] as number) - (start === undefined ? 0 : (start.frames[i] as number));
    if (count <= 0) continue; // A2
    const ok = (good[i] as number) - (start === undefined ? 0 : (start.good[i] as number));
    if (n === 0) [originX, originY] = [before[i] as number, ok / count];
    const x = (before[i] as number) - originX;
    const y = ok / count - originY;
    n += 1;
    sumX += x;
    sumY += y;
    xx += x * x;
    xy += x * y;
    yy += y * y;
    right += ok;
    all += count;
  }
  if (n === 0) return { n, x: 0, y: 0, xx, xy, yy, bad: 0, all };
  return {
    ...{ n, x: originX + sumX / n, y: originY + sumY / n, bad: all - right, all },
    ...{ xx: xx - (sumX * sumX) / n, xy: xy - (sumX * sumY) / n, yy: yy - (sumY * sumY) / n },
  };
}

/** What independent frames would give. (A3) */
function floorOf({ bad, all }: Moments): number {
  const p = (bad + 0.5) / (all + 1);
  return (p * (1 - p)) / all;
}

/** The 0.1 % quantile of a variance estimate over its variance (Wilson and Hilferty 1931). A3 */
function leastShare(freedom: number): number {
  const h = 2 / (9 * freedom);
  return Math.max(0.1, 1 - h - 3.09 * Math.sqrt(h)) ** 3;
}
