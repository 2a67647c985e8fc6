/** Compares two arms device by device, adjusted by what each device did before (CUPED; Deng et al. 2013). Harm is the control's
 * rate of good outcomes less the canary's. A device without frames since the start is missing, not bad: silence has a verdict
 * of its own. No bad frame in either arm is not certainty, so the variance has a floor: what independent frames would give,
 * less what chance alone takes from an estimate of it once in a thousand. (The whole of it would cost a quarter of the speed:
 * half of all honest estimates are below it, and their uncertainty is in the degrees of freedom already.)
 *
 * A4. Whatever `k` of an arm's `n` devices report, the estimate moves by what `k` devices may: a device is its rate, from 0
 *     to 1, however many frames it claims, also in the floor of the variance; and the slope of the adjustment is kept from 0
 *     to 1, where the slope of a rate on its own past is, so that no device can turn a small difference of the past into a
 *     large one. */
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

/** What a comparison needs: devices of an arm, at least two, and frames of each of them. A device with fewer is missing. */
export type Least = { readonly devices: number; readonly frames: number };
const ANYTHING: Least = { devices: 2, frames: 0 };

export type Compared = Comparison & {
  /** Of the variance, what independent frames alone would give: this part shrinks with time, the rest with devices alone. */
  readonly chance: number;
};

/** Null while an arm has too few devices with frames. One pass over each arm, and nothing is copied: a look at 100,000 devices
 * makes dozens of these. */
export function compare(control: Arm, canary: Arm, start?: Start, least: Least = ANYTHING): Compared | null {
  const origin = originOf(control, start?.control);
  if (origin === null) return null;
  const sums = (arm: Arm, started: Started | undefined) => sumsOf(arm, origin, started, least.frames);
  const [a, b] = [sums(control, start?.control), sums(canary, start?.canary)];
  return Math.min(a.n, b.n) < least.devices ? null : compareSums(a, b);
}

/** Of an arm's devices with frames: how many, and sums of what they did before (`x`) and since (`y`), of squares and of
 * products, all as distances from one origin, the same for both arms; then what the floor needs. */
export type Sums = {
  n: number;
  x: number;
  y: number;
  xx: number;
  xy: number;
  yy: number;
  /** Bad frames as a share, summed over devices; and what their frames leave to chance, 1 / frames. */
  bad: number;
  chance: number;
};

/** `x` and `y`: distances from the origin. */
export function addDevice(sums: Sums, x: number, y: number, good: number, frames: number): void {
  sums.n += 1;
  sums.x += x;
  sums.y += y;
  sums.xx += x * x;
  sums.xy += x * y;
  sums.yy += y * y;
  sums.bad += 1 - good / frames;
  sums.chance += 1 / Math.max(1, frames);
}

export const noSums = (): Sums => ({ n: 0, x: 0, y: 0, xx: 0, xy: 0, yy: 0, bad: 0, chance: 0 });

/** `compare` of arms that were summed already. */
export const compareSums = (control: Sums, canary: Sums): Compared | null =>
  compareAdjusted(control, canary, floorOf(control) + floorOf(canary));

/** The same of any quantity that is bounded per device. `chance`: of the variance, what independent frames alone would give. */
export function compareAdjusted(control: Adjustable, canary: Adjustable, chance: number): Compared | null {
  if (control.n < 2 || canary.n < 2) return null;
  const [a, b] = [momentsOf(control), momentsOf(canary)];
  const slope = a.xx > 0 ? Math.min(1, Math.max(0, a.xy / a.xx)) : 0; // theta = cov(Y, X) / var(X) (A4)
  const centre = (control.x + canary.x) / (a.n + b.n);
  const meanOf = ({ x, y }: Moments) => y - slope * (x - centre);
  /** Of the adjusted values: between the devices, and that of their mean. */
  const varianceOf = ({ n, xx, xy, yy }: Moments) => Math.max(0, yy - slope * (2 * xy - slope * xx)) / (n - 1) / n;
  const va = varianceOf(a);
  const vb = varianceOf(b);
  const spread = va + vb;
  const freedom = spread === 0 ? a.n + b.n - 2 : spread ** 2 / (va ** 2 / (a.n - 1) + vb ** 2 / (b.n - 1));
  const variance = Math.max(spread, chance * leastShare(freedom));
  return { harm: meanOf(a) - meanOf(b), variance, freedom, chance: Math.min(chance, variance) };
}

export type Origin = { readonly x: number; readonly y: number };

/** The first device with frames: sums of distances from it are so near the means that nothing is lost in taking these off at
 * the end. Null: there is none. */
export function originOf({ good, frames, before }: Arm, start?: Started): Origin | null {
  for (let i = 0; i < frames.length; i++) {
    const count = (frames[i] as number) - (start === undefined ? 0 : (start.frames[i] as number));
    const ok = (good[i] as number) - (start === undefined ? 0 : (start.good[i] as number));
    if (count > 0) return { x: before[i] as number, y: ok / count };
  }
  return null;
}

function sumsOf({ good, frames, before }: Arm, origin: Origin, start: Started | undefined, framesMin: number): Sums {
  const sums = noSums();
  for (let i = 0; i < frames.length; i++) {
    const count = (frames[i] as number) - (start === undefined ? 0 : (start.frames[i] as number));
    if (count <= 0 || count < framesMin) continue;
    const ok = Math.min(
      count,
      Math.max(0, (good[i] as number) - (start === undefined ? 0 : (start.good[i] as number))),
    );
    addDevice(sums, (before[i] as number) - origin.x, ok / count - origin.y, ok, count);
  }
  return sums;
}

/** Devices, and sums of their past (`x`) and their present (`y`). */
export type Adjustable = Omit<Sums, "bad" | "chance">;
/** Means, and sums of squares and products about them. */
type Moments = Adjustable;

const momentsOf = ({ n, x, y, xx, xy, yy }: Adjustable): Moments => ({
  n,
  x: x / n,
  y: y / n,
  xx: xx - (x * x) / n,
  xy: xy - (x * y) / n,
  yy: yy - (y * y) / n,
});

/** What independent frames would give for a mean of the devices' rates. */
export function floorOf({ n, bad, chance }: Pick<Sums, "n" | "bad" | "chance">): number {
  const frames = (n * n) / chance; // All of them, where each device has as many.
  const p = ((Math.max(0, bad) / n) * frames + 0.5) / (frames + 1);
  return (p * (1 - p)) / frames;
}

/** The 0.1 % quantile of a variance estimate over its variance (Wilson and Hilferty 1931). */
function leastShare(freedom: number): number {
  const h = 2 / (9 * freedom);
  return Math.max(0.1, 1 - h - 3.09 * Math.sqrt(h)) ** 3;
}
