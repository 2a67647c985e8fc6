/** Fixed-edge histograms: two of the same edges merge by adding counts, exactly (METHODS B4). */
export type HistogramEdges = readonly number[];

/** `bins + 1` edges, evenly spaced from `from` to `to`. */
export const evenEdges = (from: number, to: number, bins: number): number[] =>
  Array.from({ length: bins + 1 }, (_, i) => from + ((to - from) * i) / bins);

/** Bin of `value`; values outside the edges belong to the first and last bin, as does anything that is not a number to
 * the first. A bin holds its lower edge. */
export function binOf(edges: HistogramEdges, value: number): number {
  let low = 0;
  let high = edges.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (value >= (edges[middle] ?? Number.POSITIVE_INFINITY)) low = middle;
    else high = middle - 1;
  }
  return low;
}
