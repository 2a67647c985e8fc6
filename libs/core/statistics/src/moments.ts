/** Count, mean and sum of squared deviations of a stream (Welford 1962), mergeable (Chan et al. 1979). */
export type Moments = { readonly n: number; readonly mean: number; readonly squares: number };

export const emptyMoments: Moments = { n: 0, mean: 0, squares: 0 };

export function addToMoments(moments: Moments, value: number): Moments {
  const n = moments.n + 1;
  const step = value - moments.mean;
  const mean = moments.mean + step / n;
  return { n, mean, squares: moments.squares + step * (value - mean) };
}

export const momentsOf = (values: Iterable<number>): Moments => {
  let moments = emptyMoments;
  for (const value of values) moments = addToMoments(moments, value);
  return moments;
};

export function mergeMoments(a: Moments, b: Moments): Moments {
  if (a.n === 0) return b;
  if (b.n === 0) return a;
  const n = a.n + b.n;
  const step = b.mean - a.mean;
  return { n, mean: a.mean + (step * b.n) / n, squares: a.squares + b.squares + (step * step * a.n * b.n) / n };
}

/** Unbiased sample variance; null below two values. */
export const varianceOf = (moments: Moments): number | null =>
  moments.n < 2 ? null : moments.squares / (moments.n - 1);

/** The q-quantile of `values` by linear interpolation (R's type 7); null without values. */
export function quantileOf(values: readonly number[], q: number): number | null {
  return values.length === 0 ? null : quantileOfSorted(Float64Array.from(values).sort(), q);
}

export function quantileOfSorted(sorted: Float64Array, q: number): number {
  const position = (sorted.length - 1) * Math.min(1, Math.max(0, q));
  const below = Math.floor(position);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN;
  return low + (high - low) * (position - below);
}
