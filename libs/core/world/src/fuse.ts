/**
 * What a model and its world model say together: p(y | x, c) is proportional to p(y | x) p(y | c) / p(y) (Saerens, Latinne & Decaestecker,
 * Neural Computation 14, 2002): the mix of classes that the model was trained with is replaced by that of the context.
 *
 * That needs that pictures of a class look the same in every context, and a table that is right. Neither is known, and a right table may
 * become wrong, so fused and plain answer are mixed, and a fixed share of the weight moves between them at every frame (Herbster & Warmuth,
 * Machine Learning 32, 1998): what was right for long is not trusted for long once it is wrong.
 *
 * The evidence for the table is what it made of what came, over what the prior made of it: of a frame p(x | c) / p(x), which is the sum of
 * p(y | x) p(y | c) / p(y) and needs no truth; and of a truth p(y | x, c) / p(y | x). Their product is p(y | c) / p(y), so nothing counts twice.
 * A table whose classes are not those that perception sees is thus given up within frames, however rare truths are.
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

/** What was learned of a table. Log losses are cumulative, in nats; `squares`: of their differences, truth by truth. */
export type Guard = {
  /** How much the fused answer weighs, 0 to 1, before the next frame's own evidence. */
  readonly weight: number;
  readonly fused: number;
  readonly plain: number;
  readonly squares: number;
  readonly truths: number;
};

export const guardStart: Guard = { weight: 0.5, fused: 0, plain: 0, squares: 0, truths: 0 };

export type WeightRule = { readonly toPlain: number; readonly toTable: number; readonly kept: number };

/**
 * Shares of a weight that move at a frame. More goes to perception than back: to trust a wrong table costs answers that were right, and to
 * doubt a right one only its gain. And so much of a frame's evidence is kept for the next ones: consecutive frames show the same object, and
 * ten of them are worth one. (`npm run bench -- world` holds these against others.)
 */
export const weightRule: WeightRule = { toPlain: 0.01, toTable: 0.00005, kept: 0.1 };

/** For the table, of a frame: log p(x | c) / p(x), in nats. */
export function evidenceOf(plain: Shares, prior: readonly number[], inContext: Shares): number {
  return Math.log(plain.reduce((sum, p, i) => sum + (p * (inContext[i] ?? 0)) / (prior[i] ?? 1), 0));
}

/** How much the fused answer to a frame weighs. The frame's own evidence counts whole: what it shows itself is no repetition. */
export const weightAt = ({ weight }: Guard, evidence: number): number => moved(weight, evidence);

/** After a frame. */
export function seen(guard: Guard, evidence: number, { kept, toPlain, toTable } = weightRule): Guard {
  const after = moved(guard.weight, kept * evidence);
  return { ...guard, weight: (1 - toPlain) * after + toTable * (1 - after) };
}

/** A weight by Bayes' rule. */
const moved = (weight: number, nats: number): number => weight / (weight + (1 - weight) * Math.exp(-nats));

export const mixed = (weight: number, plain: Shares, withContext: Shares): Shares =>
  plain.map((share, i) => weight * (withContext[i] ?? 0) + (1 - weight) * share);

/** `truth`: index of the class that a frame really showed, of which both answered as given. */
export function learned(
  guard: Guard,
  plain: Shares,
  withContext: Shares,
  truth: number,
  { toPlain, toTable } = weightRule,
): Guard {
  const [ofFused, ofPlain] = [lossOf(withContext, truth), lossOf(plain, truth)];
  const weight = moved(guard.weight, ofPlain - ofFused);
  return {
    weight: Math.min(1 - toPlain, Math.max(toTable, weight)),
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
