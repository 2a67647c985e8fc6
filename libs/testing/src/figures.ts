/** Figures as tests, benches and chaos programs take and print them. */

/** Quantiles by nearest rank: the least of the values that at least a share `q` of them does not exceed; NaN without values. */
export function quantilesOf<const Q extends readonly number[]>(
  values: Iterable<number>,
  ...qs: Q
): { readonly [I in keyof Q]: number } {
  const sorted = Float64Array.from(values).sort();
  const at = (q: number) => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
  return qs.map(at) as { readonly [I in keyof Q]: number };
}

/** A share between 0 and 1 for people: `12.3 %`. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
