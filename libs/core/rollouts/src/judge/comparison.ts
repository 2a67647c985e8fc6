/** Compares two arms by ratios of sums over devices, adjusted by what each device did before (CUPED; Deng et al. 2013). Harm is
 * the control's rate of good outcomes less the canary's. A device without frames since the start is missing, not bad: silence
 * has a verdict of its own.
 *
 * Where every frame is known (late answers, escalations) a device is its rate, and an arm the mean of its devices' rates. Of
 * the random sample a device has few labelled frames, each weighted by the inverse of its propensity, and a rate of its own
 * would be biased: with one label the weight cancels, and frames that are drawn often, the hard ones, count as often as they
 * are drawn. The mean over devices keeps that bias, however many devices there are. So the sums of weights are divided arm by
 * arm (Hajek 1971; Cochran 1977, 6.8, for its variance from what each device adds to the numerator beyond its part of the
 * denominator): the bias that is left goes with one over the labels of the whole arm.
 *
 * No bad frame in either arm is not certainty, so the variance has a floor: what independent frames would give. Where every frame is
 * known it is less what chance alone takes from an estimate of it once in a thousand. (The whole of it would cost a quarter of the
 * speed: half of all honest estimates are below it, and their uncertainty is in the degrees of freedom already.)
 *
 * A4. Whatever `k` of an arm's `n` devices report, the estimate moves by what `k` devices may: a device weighs 1, or as its
 *     labels do, up to four times those of the median device; and the slope of the adjustment is kept from 0 to 1, where the
 *     slope of a rate on its own past is, so that no device can turn a small difference of the past into a large one. */
import type { Comparison } from "./evidence.ts";

/** Counts of one arm, device by device, in the same order at every look. */
export type Arm = {
  /** Good frames and all frames since the start; of the random sample, the sums of their weights. */
  readonly good: ArrayLike<number>;
  readonly frames: ArrayLike<number>;
  /** Rate of good frames before the start, over at least a day or all there is. */
  readonly before: ArrayLike<number>;
  /** Of the random sample alone. */
  readonly sample?: SampleCounts;
};

/** Labelled frames since the start, each counted as one; and the sums of the squares of their weights, of all and of the bad ones. */
export type SampleCounts = Readonly<Record<"labels" | "squares" | "badSquares", ArrayLike<number>>>;

/** Counts of an arm at an earlier moment, to compare what came after it alone. */
export type Started = Omit<Arm, "before">;
export type Start = { readonly control: Started; readonly canary: Started };

/** What a comparison needs: devices of an arm, at least two, and frames of each of them; of the random sample, an effective
 * number of labels of an arm (`effectiveSampleSizes`). A device with fewer is missing. */
export type Least = { readonly devices: number; readonly frames: number; readonly labels: number };
const ANYTHING: Least = { devices: 2, frames: 0, labels: 0 };

export type Compared = Comparison & {
  /** Of the variance, what independent frames alone would give: this part shrinks with time, the rest with devices alone. */
  readonly chance: number;
};

/** Null while an arm has too few devices with frames, or too few labels. One pass over each arm, and nothing is copied: a look at
 * 100,000 devices makes dozens of these. */
export function compare(control: Arm, canary: Arm, start?: Start, least: Partial<Least> = {}): Compared | null {
  const origin = originOf(control, start?.control);
  if (origin === null) return null;
  const { devices, frames, labels } = { ...ANYTHING, ...least };
  const weighing = weighingOf(control, canary, start);
  const sums = (arm: Arm, started: Started | undefined) => sumsOf(arm, origin, weighing, started, frames);
  const [a, b] = [sums(control, start?.control), sums(canary, start?.canary)];
  if (Math.min(a.n, b.n) < devices) return null;
  if (weighing !== null && Math.min(sampleSizeOf(a), sampleSizeOf(b)) < labels) return null;
  return compareSums(a, b, weighing);
}

/** Labels of each arm as the comparison weighs them: as many of equal weight would say as much (Kish 1965). Null: every frame is known. */
export function effectiveSampleSizes(
  control: Arm,
  canary: Arm,
): { readonly control: number; readonly canary: number } | null {
  const weighing = weighingOf(control, canary);
  if (weighing === null) return null;
  const of = (arm: Arm) => sampleSizeOf(sumsOf(arm, { x: 0, y: 0 }, weighing));
  return { control: of(control), canary: of(canary) };
}

/** Sums over an arm's devices with frames. A device adds its weight `w` and, times that, its past `x` and its rate since `y`, as
 * distances from one origin that is the same for both arms; then squares and products of these three. */
export type Sums = {
  n: number;
  w: number;
  x: number;
  y: number;
  ww: number;
  wx: number;
  wy: number;
  xx: number;
  xy: number;
  yy: number;
  /** What the floor needs: bad frames, weighted; and the squares of the frames' weights, of all and of the bad ones. */
  bad: number;
  chance: number;
  badChance: number;
};

export const noSums = (): Sums => ({
  n: 0,
  w: 0,
  x: 0,
  y: 0,
  ww: 0,
  wx: 0,
  wy: 0,
  xx: 0,
  xy: 0,
  yy: 0,
  bad: 0,
  chance: 0,
  badChance: 0,
});

/** What a device adds: its weight, its past and its rate since, as distances from the origin, its share of bad frames, and the sums of
 * the squares of its frames' weights, where these add up to `w`, of all and of the bad ones. */
export type Added = Readonly<Record<"w" | "x" | "y" | "bad" | "chance" | "badChance", number>>;

export function addDevice(sums: Sums, { w, x, y, bad, chance, badChance }: Added): void {
  const [wx, wy] = [w * x, w * y];
  sums.n += 1;
  sums.w += w;
  sums.x += wx;
  sums.y += wy;
  sums.ww += w * w;
  sums.wx += w * wx;
  sums.wy += w * wy;
  sums.xx += wx * wx;
  sums.xy += wx * wy;
  sums.yy += wy * wy;
  sums.bad += w * bad;
  sums.chance += chance;
  sums.badChance += badChance;
}

/** `compare` of arms that were summed already. */
export const compareSums = (control: Sums, canary: Sums, weighing: Weighing): Compared | null =>
  compareAdjusted(control, canary, floorOf(control, canary, weighing));

/** What independent frames would give for the variance, of frames that are all known, and of the random sample. */
export type Floor = { readonly known: number; readonly sampled: number };

/** The same of any quantity that is bounded per device. */
export function compareAdjusted(control: Adjustable, canary: Adjustable, { known, sampled }: Floor): Compared | null {
  const [a, b] = [momentsOf(control), momentsOf(canary)];
  if (!(Math.min(a.devices, b.devices) >= 2 - 1e-9)) return null;
  const slope = a.xx > 0 ? Math.min(1, Math.max(0, a.xy / a.xx)) : 0; // theta = cov(Y, X) / var(X) (A4)
  const centre = (control.x + canary.x) / (control.w + canary.w);
  const meanOf = ({ x, y }: Moments) => y - slope * (x - centre);
  /** Of the mean of the adjusted values. */
  const varianceOf = ({ devices, xx, xy, yy }: Moments) =>
    Math.max(0, yy - slope * (2 * xy - slope * xx)) * (devices / (devices - 1));
  const va = varianceOf(a);
  const vb = varianceOf(b);
  const spread = va + vb;
  const freedom =
    spread === 0 ? a.devices + b.devices - 2 : spread ** 2 / (va ** 2 / (a.devices - 1) + vb ** 2 / (b.devices - 1));
  const variance = Math.max(spread, sampled + known * leastShare(freedom));
  return { harm: meanOf(a) - meanOf(b), variance, freedom, chance: Math.min(known + sampled, variance) };
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

/** Labels beyond which a device weighs no more. Null: every frame is known, and each device weighs 1. */
export type Weighing = { readonly labelsMax: number } | null;

/** A4. */
const [TIMES_MEDIAN, LABELS_COUNTED_MAX] = [4, 4_096];

export function weighingOf(control: Arm, canary: Arm, start?: Start): Weighing {
  if (control.sample === undefined || canary.sample === undefined) return null;
  const counts = new Uint32Array(LABELS_COUNTED_MAX + 1);
  let devices = 0;
  for (const [{ labels }, before] of [
    [control.sample, start?.control.sample?.labels],
    [canary.sample, start?.canary.sample?.labels],
  ] as const) {
    for (let i = 0; i < labels.length; i++) {
      const own = (labels[i] as number) - ((before?.[i] ?? 0) as number);
      if (!(own > 0)) continue;
      devices += 1;
      const at = Math.min(LABELS_COUNTED_MAX, Math.ceil(own));
      counts[at] = (counts[at] as number) + 1;
    }
  }
  let [median, seen] = [0, 0];
  while (seen < devices / 2 && median < LABELS_COUNTED_MAX) seen += counts[++median] as number;
  return { labelsMax: TIMES_MEDIAN * Math.max(1, median) };
}

/** Sums of an arm, or of its devices in a range. `framesMin`: a device with fewer frames is missing. A look at 100,000 devices adds up millions, so each
 * sum is a variable of its own: V8 boxes numbers of an object, and those that are taken out of an array. */
export function sumsOf(
  { good, frames, before, sample }: Arm,
  origin: Origin,
  weighing: Weighing,
  start?: Started,
  framesMin = 0,
  [first, end]: readonly [number, number] = [0, frames.length],
): Sums {
  let n = 0;
  let w = 0;
  let x = 0;
  let y = 0;
  let ww = 0;
  let wx = 0;
  let wy = 0;
  let xx = 0;
  let xy = 0;
  let yy = 0;
  let bad = 0;
  let chance = 0;
  let badChance = 0;
  const labelsMax = weighing === null || sample === undefined ? null : weighing.labelsMax;
  for (let i = first; i < end; i++) {
    const all = (frames[i] as number) - (start === undefined ? 0 : (start.frames[i] as number));
    if (!(all > 0)) continue;
    const ok = Math.min(all, Math.max(0, (good[i] as number) - (start === undefined ? 0 : (start.good[i] as number))));
    const rate = ok / all;
    let own = 1;
    if (labelsMax === null || sample === undefined) {
      if (all < framesMin) continue;
      const square = 1 / Math.max(1, all);
      chance += square;
      badChance += (1 - rate) * square;
    } else {
      const then = start?.sample;
      const labels = (sample.labels[i] as number) - (then === undefined ? 0 : (then.labels[i] as number));
      if (labels < framesMin) continue;
      const scale = Math.min(1, labelsMax / labels);
      own = scale * all;
      chance +=
        scale * scale * ((sample.squares[i] as number) - (then === undefined ? 0 : (then.squares[i] as number)));
      badChance +=
        scale * scale * ((sample.badSquares[i] as number) - (then === undefined ? 0 : (then.badSquares[i] as number)));
    }
    const ofX = own * ((before[i] as number) - origin.x);
    const ofY = own * (rate - origin.y);
    n += 1;
    w += own;
    x += ofX;
    y += ofY;
    ww += own * own;
    wx += own * ofX;
    wy += own * ofY;
    xx += ofX * ofX;
    xy += ofX * ofY;
    yy += ofY * ofY;
    bad += own * (1 - rate);
  }
  return { n, w, x, y, ww, wx, wy, xx, xy, yy, bad, chance, badChance };
}

/** What the arm's device at `i` adds; null: it is missing. */
export function addedBy(arm: Arm, i: number, origin: Origin, weighing: Weighing): Added | null {
  const { n, w, x, y, bad, chance, badChance } = sumsOf(arm, origin, weighing, undefined, 0, [i, i + 1]);
  return n === 0 ? null : { w, x: x / w, y: y / w, bad: bad / w, chance, badChance };
}

/** Devices, and sums of their past (`x`) and their present (`y`). */
export type Adjustable = Omit<Sums, "bad" | "chance" | "badChance">;
/** Means, and the parts of their variances and covariance that devices add; `devices`: as many of equal weight would say as much (Kish 1965). */
type Moments = {
  readonly devices: number;
  readonly x: number;
  readonly y: number;
  readonly xx: number;
  readonly xy: number;
  readonly yy: number;
};

function momentsOf({ w, x: sx, y: sy, ww, wx, wy, xx, xy, yy }: Adjustable): Moments {
  const [x, y] = [sx / w, sy / w];
  const of = (product: number, one: number, other: number, byOne: number, byOther: number) =>
    (product - one * byOther - other * byOne + one * other * ww) / (w * w);
  return {
    devices: (w * w) / ww,
    x,
    y,
    xx: of(xx, x, x, wx, wx),
    xy: of(xy, x, y, wx, wy),
    yy: of(yy, y, y, wy, wy),
  };
}

const sampleSizeOf = ({ w, chance }: Sums): number => (chance === 0 ? 0 : (w * w) / chance);

/** Of each arm, what its own frames say, and half a bad frame more: of these none may have been seen. Of the random sample an arm has few
 * bad frames, and the fewer chance gave it the better it looks, and the surer: so its variance is at least what the frames of both arms say. */
export function floorOf(control: Sums, canary: Sums, weighing: Weighing): Floor {
  const each = [control, canary].map((arm) => varianceOf(arm, arm));
  if (weighing === null) return { known: (each[0] as number) + (each[1] as number), sampled: 0 };
  const both = {
    w: control.w + canary.w,
    bad: control.bad + canary.bad,
    chance: control.chance + canary.chance,
    badChance: control.badChance + canary.badChance,
  };
  const atLeast = (arm: Sums, i: number) => Math.max(each[i] as number, varianceOf(arm, both));
  return { known: 0, sampled: atLeast(control, 0) + atLeast(canary, 1) };
}

/** Of an arm's rate, were its frames independent, and bad as often as those of `like`. */
function varianceOf({ w, chance }: Sums, like: Pick<Sums, "w" | "bad" | "chance" | "badChance">): number {
  const p = Math.max(0, like.bad) / like.w;
  const squares = p * p * (like.chance - like.badChance) + (1 - p) * (1 - p) * like.badChance;
  return ((squares * chance) / like.chance + 0.5 * (chance / w) ** 2) / (w * w);
}

/** The 0.1 % quantile of a variance estimate over its variance (Wilson and Hilferty 1931). */
function leastShare(freedom: number): number {
  const h = 2 / (9 * freedom);
  return Math.max(0.1, 1 - h - 3.09 * Math.sqrt(h)) ** 3;
}
