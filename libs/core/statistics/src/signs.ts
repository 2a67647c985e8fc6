/** Tests of paired answers, and what several of them may claim together. */
import { binomialCdf } from "./binomial.ts";

/** One-sided exact McNemar: how likely so few wins are when either is as likely to win. */
export const mcNemarP = (lost: number, won: number): number => (lost === 0 ? 1 : binomialCdf(won, lost + won, 0.5));

/** `count` pairs that differ, each worth `weight`. */
export type DifferingPairs = { readonly weight: number; readonly count: number };

/** More sums than these are not enumerated but bounded. */
const SUMS_MAX = 1_000_000;

/**
 * P(sum of w_i s_i >= total) where each s_i is 1 or -1 by the toss of a coin: the one-sided sign test (McNemar's exact one) of
 * pairs that count differently. Exact while there are few different weights; otherwise Chernoff's bound, min over t of
 * exp(-t total) prod cosh(t w_i), which is never below it.
 */
export function weightedSignTest(total: number, pairs: readonly DifferingPairs[]): number {
  if (total <= 0) return 1;
  const counts = new Map<number, number>();
  for (const { weight, count } of pairs) if (count > 0) counts.set(weight, (counts.get(weight) ?? 0) + count);
  const groups = [...counts].map(([weight, count]) => ({ weight, count }));
  const sums = groups.reduce((product, { count }) => product * (count + 1), 1);
  return Math.min(1, sums <= SUMS_MAX ? exactTail(total, groups) : chernoffTail(total, groups));
}

function exactTail(total: number, [first, ...more]: readonly DifferingPairs[]): number {
  // Sums of shares are rounded.
  if (first === undefined) return total <= 1e-12 ? 1 : 0;
  const { weight, count } = first;
  let tail = 0;
  let mass = 2 ** -count;
  for (let heads = 0; heads <= count; heads++) {
    tail += mass * exactTail(total - weight * (2 * heads - count), more);
    mass *= (count - heads) / (heads + 1);
  }
  return tail;
}

function chernoffTail(total: number, pairs: readonly DifferingPairs[]): number {
  const log = (t: number) => pairs.reduce((sum, { weight, count }) => sum + count * logCosh(t * weight), -t * total);
  const slope = (t: number) =>
    pairs.reduce((sum, { weight, count }) => sum + count * weight * Math.tanh(t * weight), -total);
  // It is convex in t: the root of its slope, or where cosh is as good as exp.
  let [low, high] = [0, 40 / Math.min(...pairs.map(({ weight }) => weight))];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (slope(middle) < 0) low = middle;
    else high = middle;
  }
  return Math.exp(log(high));
}

const logCosh = (x: number): number => Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;

/** P-values as they are after as many tries (Holm 1979): each may be compared with the level of all together. `tests`: how many
 * there were; those that are not among `pValues` are taken as 1. */
export function holmAdjusted(pValues: readonly number[], tests: number = pValues.length): readonly number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => (pValues[a] as number) - (pValues[b] as number));
  const adjusted = new Array<number>(pValues.length).fill(1);
  let largest = 0;
  for (const [rank, place] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (tests - rank) * (pValues[place] as number)));
    adjusted[place] = largest;
  }
  return adjusted;
}
