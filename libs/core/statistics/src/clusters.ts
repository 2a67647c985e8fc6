/** Which of two models is better where items of one cluster are not independent, as frames of one device: Student's t over clusters.
 *
 * A cluster contributes its own difference, d = (won - lost) / items, with a weight that follows from its number of items alone:
 * items / (items + ITEMS_HALF). So one that has half of all items does not decide alone, and one with a single item hardly counts.
 * Under a true difference δ the terms w (d - δ) are independent, have mean 0, and vary as they like. For such terms, if they are normal, the
 * one-sided t-test at 5 % and below keeps its level, from two clusters on and however unequal their variances are (Bakirov & Székely 2005;
 * Ibragimov & Müller 2010). A variance of a weighted mean that counts on large numbers (sandwich) does not: with three clusters, one
 * of which has half of the items, it is too small.
 *
 * Sums are all that it needs, so clusters may be added in any order. */
import { studentCritical, studentTail } from "./student.ts";
import type { DiscordantCounts } from "./tango.ts";

/** So many items leave as much to chance as clusters differ by, where 20 % of items are discordant and the sd between clusters is 10 points. */
const ITEMS_HALF = 20;
const CLUSTERS_MAX = 100_000;

/** Of weights w and of terms a = w d. */
export type ClusterSums = {
  readonly clusters: number;
  readonly w: number;
  readonly a: number;
  readonly ww: number;
  readonly aw: number;
  readonly aa: number;
};

const NONE: ClusterSums = { clusters: 0, w: 0, a: 0, ww: 0, aw: 0, aa: 0 };

export function sumsOfClusters(clusters: Iterable<DiscordantCounts>): ClusterSums {
  let { clusters: count, w, a, ww, aw, aa } = NONE;
  for (const { items, won, lost } of clusters) {
    if (items === 0) continue;
    const weight = items / (items + ITEMS_HALF);
    const term = (won - lost) / (items + ITEMS_HALF);
    count += 1;
    w += weight;
    a += term;
    ww += weight * weight;
    aw += weight * term;
    aa += term * term;
  }
  return { clusters: count, w, a, ww, aw, aa };
}

/** Each item a cluster of its own. */
export function sumsOfItems({ items, won, lost }: DiscordantCounts): ClusterSums {
  const unit = 1 / (1 + ITEMS_HALF);
  const [sum, square] = [(won - lost) * unit, unit * unit];
  return {
    clusters: items,
    w: items * unit,
    a: sum,
    ww: items * square,
    aw: sum * unit,
    aa: (won + lost) * square,
  };
}

export const mergedSums = (x: ClusterSums, y: ClusterSums): ClusterSums => ({
  clusters: x.clusters + y.clusters,
  w: x.w + y.w,
  a: x.a + y.a,
  ww: x.ww + y.ww,
  aw: x.aw + y.aw,
  aa: x.aa + y.aa,
});

/** Of the terms w (d - difference): their sum, and its variance as the terms show it. */
function termsAt({ clusters, w, a, ww, aw, aa }: ClusterSums, difference: number): [sum: number, variance: number] {
  const sum = a - difference * w;
  const squares = aa - 2 * difference * aw + difference * difference * ww;
  return [sum, (clusters * Math.max(0, squares - (sum * sum) / clusters)) / (clusters - 1)];
}

/** How likely so good a result is where the true difference is `difference`; 1 with fewer than two clusters. */
export function clusteredP(sums: ClusterSums, difference: number): number {
  if (sums.clusters < 2) return 1;
  const [sum, variance] = termsAt(sums, difference);
  if (variance === 0) return sum > 0 ? 0 : 1;
  return studentTail(sum / Math.sqrt(variance), sums.clusters - 1);
}

/** The smallest difference that the test does not refute at level `alpha` (one-sided); -1 where it refutes none. */
export function clusteredLower(sums: ClusterSums, alpha: number): number {
  if (sums.clusters < 2) return -1;
  const critical = studentCritical(alpha, sums.clusters - 1);
  const isRefuted = (difference: number) => {
    const [sum, variance] = termsAt(sums, difference);
    return sum > critical * Math.sqrt(variance);
  };
  if (!isRefuted(-1)) return -1;
  // What is refuted is an interval, since the sum is linear in the difference and its standard error convex.
  let [low, high] = [-1, sums.a / sums.w];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (isRefuted(middle)) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Fewest clusters like these with which a true difference of `difference` above what is tested is shown with this power; null: no
 * number is enough, or nothing is known of how they differ. */
export function clustersNeeded(sums: ClusterSums, difference: number, alpha: number, power: number): number | null {
  if (sums.clusters < 2 || difference <= 0) return null;
  const [, variance] = termsAt(sums, sums.a / sums.w);
  const perCluster = (difference * sums.w) / sums.clusters / Math.sqrt(variance / sums.clusters);
  const isEnough = (clusters: number) => {
    const needed = studentCritical(alpha, clusters - 1) + (power > 0.5 ? studentCritical(1 - power, clusters - 1) : 0);
    return Math.sqrt(clusters) * perCluster >= needed;
  };
  if (!isEnough(CLUSTERS_MAX)) return null;
  let [low, high] = [1, CLUSTERS_MAX];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isEnough(middle)) high = middle;
    else low = middle;
  }
  return high;
}
