/** Paired percentile bootstrap: one resampling of the items serves every statistic, so that differences between methods
 * judged on the same items keep their pairing (Efron & Tibshirani 1993). Chance is passed in (G10). */
import type { Random } from "@tributary/kernel";
import type { Interval } from "./binomial.ts";
import { quantileOfSorted } from "./moments.ts";

export type BootstrapOptions = {
  readonly random: Random;
  readonly resamples?: number;
  readonly confidence?: number;
};

/** Intervals for several statistics of `count` items. `statistics` gets drawn item indices, with repeats, and returns
 * one number per statistic; a NaN is left out. */
export function bootstrapIntervals(
  count: number,
  statistics: (drawn: Int32Array) => readonly number[],
  options: BootstrapOptions,
): readonly Interval[] {
  const resamples = options.resamples ?? 1000;
  const tail = (1 - (options.confidence ?? 0.95)) / 2;
  const drawn = new Int32Array(count);
  const columns: number[][] = [];
  for (let resample = 0; resample < resamples; resample++) {
    for (let i = 0; i < count; i++) drawn[i] = Math.floor(options.random() * count);
    statistics(drawn).forEach((value, column) => {
      const values = columns[column] ?? [];
      values.push(value);
      columns[column] = values;
    });
  }
  return columns.map((values) => {
    const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
    return { lower: quantileOfSorted(sorted, tail), upper: quantileOfSorted(sorted, 1 - tail) };
  });
}
