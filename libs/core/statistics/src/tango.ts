/** Tango's score test for the difference of two proportions on the same items (Tango 1998, Statistics in Medicine 17:891).
 *
 * Of `items`, `won` are right by the first model only and `lost` by the second only; the difference is (won - lost) / items. The
 * test takes the variance that holds where the true difference is the one that is tested: the two cells' maximum likelihood
 * under it. So its level is right even where few items differ, where a test with the observed variance (Wald's) errs: without
 * a single differing item that variance is 0. Its bounds are the differences that the test does not refute. */
import { invariant } from "@tributary/kernel";
import { normalCdf, normalQuantile } from "./normal.ts";

/** Items by which of two models is right on them. */
export type DiscordantCounts = { readonly won: number; readonly lost: number; readonly items: number };

/** How many standard errors the observed difference is above `difference`, -1 < difference < 1. */
function tangoScore({ won, lost, items }: DiscordantCounts, difference: number): number {
  invariant(won >= 0 && lost >= 0 && won + lost <= items, `${won} won and ${lost} lost of ${items}`);
  const excess = won - lost - items * difference;
  const variance = items * restrictedVariance(won / items, lost / items, difference);
  if (variance > 0) return excess / Math.sqrt(variance);
  return excess === 0 ? 0 : Math.sign(excess) * Number.POSITIVE_INFINITY;
}

/** Variance of an item's win less its loss, where the true difference is `difference`: the cells' likelihood is greatest at
 * the root of a quadratic equation. */
function restrictedVariance(won: number, lost: number, difference: number): number {
  const b = -won - lost + (2 - won + lost) * difference;
  const c = -lost * difference * (1 - difference);
  const root = (Math.sqrt(Math.max(0, b * b - 8 * c)) - b) / 4;
  return 2 * Math.max(0, root) + difference * (1 - difference);
}

/** How likely so good a result is where the first model is truly `margin` worse: small, and it is not that much worse. */
export const nonInferiorityP = (counts: DiscordantCounts, margin: number): number =>
  counts.items === 0 ? 1 : normalCdf(-tangoScore(counts, -margin));

/** The smallest difference that the test does not refute at level `alpha` (one-sided). */
export function tangoLower(counts: DiscordantCounts, alpha: number): number {
  if (counts.items === 0) return -1;
  const z = normalQuantile(1 - alpha);
  // The score falls as the tested difference grows.
  let [low, high] = [-1 + 1e-12, (counts.won - counts.lost) / counts.items];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (tangoScore(counts, middle) > z) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

export type NonInferiorityPlan = {
  /** Share of items that only one of the two is right on. */
  readonly discordance: number;
  /** Level of the test, and how often it is to pass a model that is equal. */
  readonly alpha: number;
  readonly power: number;
};

/** Fewest items with which a model that is equal passes the test by `margin` as often as planned, 0 < margin < 1. */
export const nonInferiorityItems = (margin: number, plan: NonInferiorityPlan): number =>
  itemsOf(margin, plan.discordance, normalQuantile(1 - plan.alpha), normalQuantile(plan.power));

function itemsOf(margin: number, discordance: number, zLevel: number, zPower: number): number {
  const half = discordance / 2;
  const assumed = zLevel * Math.sqrt(restrictedVariance(half, half, -margin));
  const actual = zPower * Math.sqrt(discordance);
  return Math.max(1, Math.ceil(((assumed + actual) / margin) ** 2));
}

/** The smallest margin by which a model that is equal passes the test as often as planned; 1 where none is enough. */
export function nonInferiorityMargin(items: number, plan: NonInferiorityPlan): number {
  const [zLevel, zPower] = [normalQuantile(1 - plan.alpha), normalQuantile(plan.power)];
  let [low, high] = [0, 1];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (itemsOf(middle, plan.discordance, zLevel, zPower) <= items) high = middle;
    else low = middle;
  }
  return high;
}
