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

/** Null while an arm has fewer than two devices with frames. */
export function compare(control: Arm, canary: Arm): Comparison | null {
  const slope = slopeOf(control);
  const centre = meanBefore(control, canary);
  const a = adjusted(control, slope, centre);
  const b = adjusted(canary, slope, centre);
  if (a.n < 2 || b.n < 2) return null;
  const [va, vb] = [a.squares / (a.n - 1) / a.n, b.squares / (b.n - 1) / b.n];
  const spread = va + vb;
  const freedom = spread === 0 ? a.n + b.n - 2 : spread ** 2 / (va ** 2 / (a.n - 1) + vb ** 2 / (b.n - 1));
  return { harm: a.mean - b.mean, variance: Math.max(spread, (a.floor + b.floor) * leastShare(freedom)), freedom };
}

/** The 0.1 % quantile of a variance estimate over its variance (Wilson and Hilferty 1931). A3 */
function leastShare(freedom: number): number {
  const h = 2 / (9 * freedom);
  return Math.max(0.1, 1 - h - 3.09 * Math.sqrt(h)) ** 3;
}

type Adjusted = { readonly n: number; readonly mean: number; readonly squares: number; readonly floor: number };

function adjusted({ good, frames, before }: Arm, slope: number, centre: number): Adjusted {
  let n = 0;
  let mean = 0;
  let squares = 0;
  let bad = 0;
  let all = 0;
  for (let i = 0; i < frames.length; i++) {
    const count = frames[i] as number;
    if (count === 0) continue; // A2
    const value = (good[i] as number) / count - slope * ((before[i] as number) - centre);
    n += 1;
    const step = value - mean;
    mean += step / n;
    squares += step * (value - mean);
    bad += count - (good[i] as number);
    all += count;
  }
  const p = (bad + 0.5) / (all + 1);
  return { n, mean, squares, floor: all === 0 ? 0 : (p * (1 - p)) / all };
}

/** theta = cov(Y, X) / var(X) over the control's devices. */
function slopeOf({ good, frames, before }: Arm): number {
  let n = 0;
  let meanX = 0;
  let meanY = 0;
  let xx = 0;
  let xy = 0;
  for (let i = 0; i < frames.length; i++) {
    const count = frames[i] as number;
    if (count === 0) continue;
    const x = before[i] as number;
    const y = (good[i] as number) / count;
    n += 1;
    const stepX = x - meanX;
    meanX += stepX / n;
    meanY += (y - meanY) / n;
    xx += stepX * (x - meanX);
    xy += stepX * (y - meanY);
  }
  return xx > 0 ? xy / xx : 0;
}

function meanBefore(...arms: readonly Arm[]): number {
  let n = 0;
  let sum = 0;
  for (const { frames, before } of arms) {
    for (let i = 0; i < frames.length; i++) {
      if (frames[i] === 0) continue;
      n += 1;
      sum += before[i] as number;
    }
  }
  return n === 0 ? 0 : sum / n;
}
