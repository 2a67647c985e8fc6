/**
 * Which rates of several classes a sample of each does not refute, from above: of class c, `events` of `items` were seen.
 *
 * With q = (events + 1) / items, the statistic items x KL(q | rate) of a class whose rate is above q exceeds x with probability at most
 * P(Z > sqrt(2x)) (Zubkov and Serov 2013), whatever the rate and however few items. Classes are independent, so the sum over them is
 * bounded by half a chi-bar-squared variable.
 *
 * R1. With probability 1 - alpha all true rates together are in the region: each at most `upper`, the sum of their statistics at
 *     most `budget`, and the mean rate of the whole sample at most its exact binomial bound, which holds for unequal rates as well (Hoeffding
 *     1956). A third of alpha is for each. So it holds for all weighted sums of rates at once, and at all times. */
import { invariant } from "@tributary/kernel";
import { clopperPearsonUpper } from "./binomial.ts";
import { chiBarQuantile } from "./chi-bar.ts";

const STEPS = 40;
/** Of the largest price of the mean's bound that leaves no class a negative cost. */
const PRICES = [0, 0.5, 1] as const;

export type RateSample = { readonly items: number; readonly events: number };

export class RateRegion {
  /** By class. 1 where all items but one, or all, are events. */
  readonly lower: readonly number[];
  readonly upper: readonly number[];
  readonly #items: readonly number[];
  readonly #budget: number;
  /** The most that the sum of items x (rate - lower) can be by the mean's bound. */
  readonly #excess: number;

  constructor(samples: readonly RateSample[], alpha: number) {
    const classes = samples.length;
    for (const { items, events } of samples)
      invariant(items > 0 && events >= 0 && events <= items, "a sample has items");
    const ofOne = chiBarQuantile(alpha / 3 / classes, 1) / 2;
    this.#items = samples.map(({ items }) => items);
    this.#budget = chiBarQuantile(alpha / 3, classes) / 2;
    this.lower = samples.map(({ items, events }) => Math.min(1, (events + 1) / items));
    this.upper = samples.map(({ items }, c) => upperRate(this.lower[c] as number, ofOne / items));
    const all = samples.reduce((sum, { items }) => sum + items, 0);
    const events = samples.reduce((sum, of) => sum + of.events, 0);
    const low = samples.reduce((sum, { items }, c) => sum + items * (this.lower[c] as number), 0);
    this.#excess = Math.max(0, all * clopperPearsonUpper(events, all, alpha / 3) - low);
  }

  /** The most that the sum over classes of `costs` x (rate - lower) can be in the region; costs are at least 0. */
  most(costs: readonly number[]): number {
    const items = this.#items;
    const highest = costs.reduce(
      (least, cost, c) => Math.min(least, cost / (items[c] as number)),
      Number.POSITIVE_INFINITY,
    );
    // For every price of the mean's bound the sum is an upper bound of the most.
    const bounds = (highest > 0 ? PRICES : [0]).map((part) => {
      const price = part * highest;
      return (
        price * this.#excess +
        this.#mostInBudget(costs.map((cost, c) => Math.max(0, cost - price * (items[c] as number))))
      );
    });
    return Math.min(...bounds);
  }

  #mostInBudget(costs: readonly number[]): number {
    const { lower, upper } = this;
    // For every price of the budget the dual is an upper bound, since the statistics are convex.
    const dual = (price: number): { readonly bound: number; readonly isWithin: boolean } => {
      let [sum, spent] = [0, 0];
      for (const [c, cost] of costs.entries()) {
        const [q, u] = [lower[c] as number, upper[c] as number];
        if (cost === 0 || q >= u) continue;
        const rate = Math.min(u, bestRate(q, cost / (price * (this.#items[c] as number))));
        sum += cost * (rate - q);
        spent += (this.#items[c] as number) * divergence(q, rate);
      }
      return { bound: sum + price * (this.#budget - spent), isWithin: spent <= this.#budget };
    };
    const free = costs.reduce((sum, cost, c) => sum + cost * ((upper[c] as number) - (lower[c] as number)), 0);
    let [low, high] = [1e-12, 1e12]; // in the order of costs, which are sums over draws
    let best = free;
    for (let step = 0; step < STEPS; step++) {
      const price = Math.sqrt(low * high);
      const { bound, isWithin } = dual(price);
      best = Math.min(best, bound);
      if (isWithin) high = price;
      else low = price;
    }
    return best;
  }
}

/** Where cost x rate - price x items x KL(q | rate) is largest; `ratio` is cost / (price x items). */
function bestRate(q: number, ratio: number): number {
  const half = ratio - 1;
  const root = Math.sqrt(half * half + 4 * ratio * q);
  return half < 0 ? (2 * q) / (root - half) : (half + root) / (2 * ratio); // the root in [q, 1], without cancellation
}

/** KL(q | rate) of two Bernoulli variables, q below 1. */
function divergence(q: number, rate: number): number {
  if (rate >= 1) return Number.POSITIVE_INFINITY;
  return q * Math.log(q / rate) + (1 - q) * Math.log((1 - q) / (1 - rate));
}

function upperRate(q: number, distance: number): number {
  if (q >= 1) return 1;
  let [low, high] = [q, 1];
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    if (divergence(q, middle) > distance) high = middle;
    else low = middle;
  }
  return high;
}
