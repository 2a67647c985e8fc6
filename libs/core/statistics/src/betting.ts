/**
 * Exact tests of a mean of rare, weighted losses, by betting (Waudby-Smith & Ramdas 2024).
 *
 * Frames are drawn with known propensities pi; weighted by w = piMin / pi, the mean of w (loss - epsilon) over draws has the
 * sign of the population's loss rate less epsilon. A bet of a fixed share of the wealth against a null wins nothing in
 * expectation while it holds; wealth of 1 / delta refutes it at level delta.
 *
 * The wealth is the mean over several bets, so none has to be chosen after seeing the data. Labels are missing at random among
 * the draws: who labels those that look easy, or hard, tests another rate than the population's. piMin is the smallest
 * propensity there can be, known beforehand (B1).
 *
 * B1. Weights are in (0, 1] and the bets are fixed beforehand, so wealth is never negative and its expectation at most 1 under
 *     the null: valid for any number of draws, and at whatever moment one looks while draws are only added (Ville). */
import { invariant } from "@tributary/kernel";

/** Shares of the largest bet that cannot ruin. */
export const BET_SHARES = [0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.75, 0.95] as const;

/** Evidence that the loss rate is below epsilon; starts with no draw lost. */
export class LossBet {
  readonly #epsilon: number;
  readonly #bets: readonly number[];
  readonly #logs: Float64Array;

  constructor(weights: Iterable<number>, epsilon: number) {
    invariant(epsilon > 0 && epsilon < 1, "epsilon is between 0 and 1");
    this.#epsilon = epsilon;
    this.#bets = BET_SHARES.map((share) => share / (1 - epsilon));
    this.#logs = new Float64Array(BET_SHARES.length);
    for (const weight of weights) {
      checkWeight(weight);
      this.#bets.forEach((bet, i) => {
        this.#logs[i] = (this.#logs[i] ?? 0) + Math.log1p(bet * weight * epsilon);
      });
    }
  }

  /** One of the draws, of this weight, is a loss after all. */
  lose(weight: number): void {
    const epsilon = this.#epsilon;
    this.#bets.forEach((bet, i) => {
      const step = Math.log1p(-bet * weight * (1 - epsilon)) - Math.log1p(bet * weight * epsilon);
      this.#logs[i] = (this.#logs[i] ?? 0) + step;
    });
  }

  /** ln of the wealth. */
  get logWealth(): number {
    return logMeanExp(this.#logs);
  }

  /** Whether "the loss rate is at least epsilon" is refuted at this level. */
  refutes(delta: number): boolean {
    return this.logWealth >= -Math.log(delta);
  }
}

export type WeighedDraw = { readonly weight: number; readonly loss: boolean };

/** The largest loss rate that the draws do not refute at level `delta` (one-sided). 1 without draws. */
export function lossRateUpper(draws: readonly WeighedDraw[], delta: number): number {
  const weights = draws.map(({ weight }) => weight);
  const refuted = (epsilon: number) => {
    const bet = new LossBet(weights, epsilon);
    for (const { weight, loss } of draws) if (loss) bet.lose(weight);
    return bet.refutes(delta);
  };
  let [low, high] = [0, 1];
  if (!refuted(1 - 1e-9)) return 1;
  for (let step = 0; step < 30; step++) {
    const middle = (low + high) / 2;
    if (refuted(middle)) high = middle;
    else low = middle;
  }
  return high; // the wealth grows with epsilon, so what is refuted is an interval up to 1
}

/** Whether "the loss rate is at most epsilon" is refuted at level `delta`. */
export function lossRateExceeds(draws: readonly WeighedDraw[], epsilon: number, delta: number): boolean {
  if (epsilon >= 1) return false;
  const logs = BET_SHARES.map((share) => {
    const bet = epsilon === 0 ? Number.MAX_SAFE_INTEGER : share / epsilon;
    return draws.reduce((sum, { weight, loss }) => {
      checkWeight(weight);
      return sum + Math.log1p(bet * weight * ((loss ? 1 : 0) - epsilon));
    }, 0);
  });
  return logMeanExp(logs) >= -Math.log(delta);
}

function checkWeight(weight: number): void {
  invariant(weight > 0 && weight <= 1 + 1e-12, "a weight is above 0 and at most 1");
}

/** ln of the mean of exp. */
export function logMeanExp(logs: ArrayLike<number>): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logs.length; i++) top = Math.max(top, logs[i] ?? top);
  if (top === Number.NEGATIVE_INFINITY) return top;
  let sum = 0;
  for (let i = 0; i < logs.length; i++) sum += Math.exp((logs[i] ?? top) - top);
  return top + Math.log(sum / logs.length);
}
