/**
 * What a model and its world model say together: p(y | x, c) is proportional to p(y | x) p(y | c) / p(y) (Saerens, Latinne & Decaestecker,
 * Neural Computation 14, 2002): the mix of classes that the model was trained with is replaced by that of the context.
 *
 * That needs that pictures of a class look the same in every context, and a table that is right. Neither is known, so a Bayesian mixture
 * of the fused and the plain answer decides: each weighs by how likely it made the truths so far. There is no threshold to choose, and the
 * mixture's cumulative log loss is at most that of the better one plus ln 2, whatever the truths are.
 */
import { invariant } from "@tributary/kernel";

/** Shares by class, each above 0. */
export type Shares = Float64Array;

/** No share is below it: a single surprise may not cost more than 14 nats. */
const SHARE_MIN = 1e-6;

export function fused(plain: Shares, prior: readonly number[], inContext: Shares): Shares {
  invariant(plain.length === prior.length && plain.length === inContext.length, "one share for each class");
  return normalised(plain.map((share, i) => (share * (inContext[i] ?? 0)) / (prior[i] ?? 1)));
}

export function normalised(values: Float64Array): Shares {
  const total = values.reduce((sum, value) => sum + value, 0);
  const floored = values.map((value) => Math.max(value / total, SHARE_MIN));
  const again = floored.reduce((sum, value) => sum + value, 0);
  return floored.map((value) => value / again);
}

/** Cumulative log losses so far, in nats; `squares`: of their differences, truth by truth. */
export type Guard = {
  readonly fused: number;
  readonly plain: number;
  readonly squares: number;
  readonly truths: number;
};

export const guardStart: Guard = { fused: 0, plain: 0, squares: 0, truths: 0 };

/** How much the fused answer weighs, 0 to 1; a half at the beginning. */
export const weightOf = (guard: Guard): number => 1 / (1 + Math.exp(guard.fused - guard.plain));

export function mixed(guard: Guard, plain: Shares, withContext: Shares): Shares {
  const weight = weightOf(guard);
  return plain.map((share, i) => weight * (withContext[i] ?? 0) + (1 - weight) * share);
}

/** `truth`: index of the class that a frame really showed, of which both answered as given. */
export function learned(guard: Guard, plain: Shares, withContext: Shares, truth: number): Guard {
  const [ofFused, ofPlain] = [lossOf(withContext, truth), lossOf(plain, truth)];
  return {
    fused: guard.fused + ofFused,
    plain: guard.plain + ofPlain,
    squares: guard.squares + (ofFused - ofPlain) ** 2,
    truths: guard.truths + 1,
  };
}

const WORSE_NATS = 3;
const WORSE_DEVIATIONS = 2.5;

/**
 * Whether the table is wrong, and not unlucky: it has cost 3 nats, and 2.5 times the root of the sum of their squares (a self-normalised
 * sum; de la Pena, Lai & Shao 2009). Nats alone do not show that: the cloud answers without context as well, and errs where perception
 * does, so of right tables one in ten falls 6 nats behind within 50 truths.
 */
export function isWorse({ fused: ofFused, plain, squares }: Guard): boolean {
  const nats = ofFused - plain;
  return nats >= WORSE_NATS && nats >= WORSE_DEVIATIONS * Math.sqrt(squares);
}

const lossOf = (shares: Shares, truth: number): number => -Math.log(shares[truth] ?? SHARE_MIN);
