/** Exact binomial tails and Clopper-Pearson bounds: what Learn-then-Test and every published error bound rest on. */

import betaQuantile from "@stdlib/stats-base-dists-beta-quantile";
import cdf from "@stdlib/stats-base-dists-binomial-cdf";
import { invariant } from "@tributary/kernel";

/** P(X <= events) for X ~ Binomial(trials, probability). */
export const binomialCdf = (events: number, trials: number, probability: number): number =>
  cdf(events, trials, probability);

export type Interval = { readonly lower: number; readonly upper: number };

/** The largest probability that `events` of `trials` does not refute at level `alpha` (one-sided). */
export function clopperPearsonUpper(events: number, trials: number, alpha: number): number {
  checkCounts(events, trials);
  return events === trials ? 1 : betaQuantile(1 - alpha, events + 1, trials - events);
}

/** The smallest probability that `events` of `trials` does not refute at level `alpha` (one-sided). */
export function clopperPearsonLower(events: number, trials: number, alpha: number): number {
  checkCounts(events, trials);
  return events === 0 ? 0 : betaQuantile(alpha, events, trials - events + 1);
}

/** Two-sided interval of at least `confidence`; [0, 1] when there is no data. */
export const clopperPearson = (events: number, trials: number, confidence = 0.95): Interval => ({
  lower: clopperPearsonLower(events, trials, (1 - confidence) / 2),
  upper: clopperPearsonUpper(events, trials, (1 - confidence) / 2),
});

function checkCounts(events: number, trials: number): void {
  invariant(events >= 0 && events <= trials, `${events} events of ${trials} trials`);
}
