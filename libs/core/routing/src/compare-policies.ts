/**
 * What several policies would have been worth on the frames that were logged, in money: right answers, less escalations, less late answers.
 *
 * Estimated as the frontier is (off-policy.ts), all policies on the same frames, so frames on which two do the same count for nothing in their
 * difference. The first policy's models predict the outcomes for all. A policy sends the frames of highest score above its threshold, at most
 * its `escalationShareMax`; a token bucket would leave out others in a burst.
 *
 * L1. The device is the unit: its cameras see the same scenes again, so an interval from frames as if they were independent is too narrow. A
 *     lead is the ratio of sums over devices, of gains and of frames; its variance is what leaving out one device after the other changes
 *     (jackknife), but never less than independent frames would have. Student's t has as many degrees of freedom as
 *     devices of equal size would have, of which there are (sum of frames)^2 / sum of squares. Fewer than `PLAN_DEVICES_MIN` devices have no interval.
 *
 * A frame whose cloud answer is late has the device's answer, and costs what a late answer costs. Lateness is taken as independent of the
 * frame, and of how many are sent: a target that is slower under more load is not foreseen.
 */
import type { RoutingPolicy } from "@tributary/contracts";
import { momentsOf, studentCritical } from "@tributary/statistics";
import {
  type Estimate,
  estimateOf,
  type LoggedFrame,
  orderBy,
  type Scored,
  type SimulatedPolicy,
  scoredBy,
  spreadOf,
} from "./off-policy.ts";

export type PolicyArm = {
  readonly name: string;
  readonly policy: SimulatedPolicy & Pick<RoutingPolicy, "escalationShareMax">;
  /** Of frames that were sent to its target, how many had no answer by the deadline. None sent: none counts as late. */
  readonly seen: { readonly sent: number; readonly late: number };
};

/** Worth of a frame that is answered right, and cost of one that is escalated, and of one that is late, in one currency. */
type Weights = { readonly correct: number; readonly escalated: number; readonly late: number };

export type PolicyEstimate = {
  readonly name: string;
  /** Shares of all frames. */
  readonly escalated: number;
  readonly late: number;
  readonly accuracy: number;
  /** Currency per frame. */
  readonly utility: number;
  /** Less the first policy's, in the same unit. Null for the first. */
  readonly lead: PolicyLead | null;
  /** How many labels of the random sample are worth as much as one of a sample in which all frames are as likely (Kish 1965). With frames'
   * own spread: where the models know which frames are uncertain, and those are drawn more often, it is smaller than by the weights alone. */
  readonly labelDesign: number;
};

export type PolicyLead = {
  readonly difference: number;
  /** 95 % intervals of all leads together (Bonferroni); null: of too few devices (L1). */
  readonly lower: number | null;
  readonly upper: number | null;
};

/** L1. As many as an experiment needs in an arm. */
export const PLAN_DEVICES_MIN = 8;

const CONFIDENCE = 0.95;

export type Winner = {
  readonly name: string;
  /** Whether that is more than the labels leave open. */
  readonly isShown: boolean;
  /** Policies that may be worth more and are late too often. */
  readonly tooLate: readonly string[];
};

/** The policy of largest utility among those whose late share rises by less than `lateMargin`. */
export function winnerOf(estimates: readonly PolicyEstimate[], lateMargin: number): Winner {
  const [control, ...others] = estimates as readonly [PolicyEstimate, ...PolicyEstimate[]];
  const isLate = ({ late }: PolicyEstimate) => late - control.late >= lateMargin;
  const tooLate = others.filter((one) => isLate(one) && leadIn(one) > 0).map(({ name }) => name);
  const inTime = others.filter((one) => !isLate(one));
  const best = inTime.reduce((found, one) => (leadIn(one) > leadIn(found) ? one : found), control);
  const isShown = best === control ? inTime.every(({ lead }) => (lead?.upper ?? 0) < 0) : (best.lead?.lower ?? 0) > 0;
  return { name: best.name, isShown, tooLate };
}

/** Of the first policy: nothing. */
const leadIn = ({ lead }: PolicyEstimate): number => lead?.difference ?? 0;

/** Null without a known outcome. The first arm is what the others are compared with. */
export function comparePolicies(
  frames: readonly LoggedFrame[],
  arms: readonly PolicyArm[],
  weights: Weights,
): readonly PolicyEstimate[] | null {
  const [first] = arms;
  if (first === undefined) return null;
  const base = scoredBy(frames, first.policy);
  const edge = estimateOf(base, new Int32Array());
  const worths = arms.map((arm) => worthOf(arm, frames, base, edge, weights));
  if (worths.some((worth) => worth === null)) return null;
  const [control] = worths as [Worth];
  const confidence = 1 - (1 - CONFIDENCE) / Math.max(1, arms.length - 1);
  const units = unitsOf(frames);
  return (worths as readonly Worth[]).map((worth, i) => {
    const { name, escalated, late, accuracy } = worth;
    const utility = weights.correct * accuracy - weights.escalated * escalated - weights.late * late;
    const lead = i === 0 ? null : leadOf(worth, control, weights, { units, confidence });
    return { name, escalated, late, accuracy, utility, lead, labelDesign: designOf(worth, frames) };
  });
}

/** A label counts with the inverse of its propensity, and differs from the mean by what its frame's own probability leaves open, and by how far
 * that is from the mean. */
function designOf({ expected }: Worth, frames: readonly LoggedFrame[]): number {
  const { mean } = momentsOf(expected);
  let [propensities, weighted] = [0, 0];
  for (const [i, { propensity }] of frames.entries()) {
    const own = expected[i] as number;
    propensities += propensity;
    weighted += (spreadOf(own) + (own - mean) ** 2) / propensity;
  }
  const spread = spreadOf(mean) * frames.length * frames.length;
  return spread > 0 ? (propensities * weighted) / spread : 1;
}

type Worth = {
  readonly name: string;
  readonly estimate: Estimate;
  /** Of each frame: right answers as estimated, and as the models have it. */
  readonly right: Float64Array;
  readonly expected: Float64Array;
  readonly escalated: number;
  readonly late: number;
  readonly accuracy: number;
  readonly lateRate: number;
  readonly lateVariance: number;
  /** How the utility changes with the share of late answers among those sent. */
  readonly slope: number;
};

function worthOf(
  { name, policy, seen }: PolicyArm,
  frames: readonly LoggedFrame[],
  base: readonly Scored[],
  edge: Estimate | null,
  weights: Weights,
): Worth | null {
  const estimate = estimateOf(base, sentBy(policy, frames));
  if (estimate === null || edge === null) return null;
  const lateRate = seen.sent === 0 ? 0 : (seen.late + 0.5) / (seen.sent + 1);
  const { isSent } = estimate;
  const mixed = (own: Float64Array, ofEdge: Float64Array) =>
    own.map((value, i) => (isSent[i] === 1 ? (1 - lateRate) * value + lateRate * (ofEdge[i] ?? 0) : value));
  const right = mixed(estimate.values, edge.values);
  const escalated = isSent.reduce((sum, sent) => sum + sent, 0) / frames.length;
  const cloudGain = estimate.values.reduce((sum, value, i) => sum + value - (edge.values[i] ?? 0), 0) / frames.length;
  return {
    name,
    estimate,
    right,
    expected: mixed(estimate.expected, edge.expected),
    escalated,
    late: escalated * lateRate,
    accuracy: momentsOf(right).mean,
    lateRate,
    lateVariance: (lateRate * (1 - lateRate)) / (seen.sent + 1),
    slope: -weights.correct * cloudGain - weights.late * escalated,
  };
}

/** Places of the frames that it sends. */
function sentBy(policy: PolicyArm["policy"], frames: readonly LoggedFrame[]): Int32Array {
  const scored = scoredBy(frames, policy);
  const wanted = scored.filter(({ priority, score }) => priority || score > policy.scoreMin).length;
  const most = Math.floor(policy.escalationShareMax * frames.length);
  return orderBy(scored, ({ score }) => score).subarray(0, Math.min(wanted, most));
}

/** L1. Of each frame its unit, and of each unit how many frames it has. */
type Units = { readonly of: Int32Array; readonly frames: readonly number[] };

function unitsOf(logged: readonly LoggedFrame[]): Units {
  const known = new Map<string, number>();
  const frames: number[] = [];
  const of = Int32Array.from(logged, ({ deviceId }) => {
    const unit = (deviceId === undefined ? undefined : known.get(deviceId)) ?? frames.length;
    if (deviceId !== undefined) known.set(deviceId, unit);
    frames[unit] = (frames[unit] ?? 0) + 1;
    return unit;
  });
  return { of, frames };
}

/** L1. Of the mean of values, whose units are independent: its variance, and that variance's degrees of freedom. */
function betweenUnits(values: Float64Array, mean: number, units: Units) {
  const sums = new Float64Array(units.frames.length);
  values.forEach((value, i) => {
    sums[units.of[i] as number] = (sums[units.of[i] as number] as number) + value;
  });
  const [n, count] = [values.length, sums.length];
  let [changes, squares] = [0, 0];
  for (const [unit, sum] of sums.entries()) {
    const own = units.frames[unit] as number;
    changes += ((mean * n - sum) / (n - own) - mean) ** 2;
    squares += own * own;
  }
  return { variance: (changes * (count - 1)) / count, freedom: Math.max(1, (n * n) / squares - 1) };
}

type Interval = { readonly units: Units; readonly confidence: number };

function leadOf(a: Worth, b: Worth, weights: Weights, { units, confidence }: Interval): PolicyLead {
  const n = a.right.length;
  const isOther = (i: number) => a.estimate.isSent[i] !== b.estimate.isSent[i];
  const isSentBy = (one: Worth, i: number) => one.estimate.isSent[i] === 1;
  const costOf = (one: Worth, i: number) => (isSentBy(one, i) ? weights.escalated + weights.late * one.lateRate : 0);
  const of = (x: Float64Array, y: Float64Array) =>
    Float64Array.from(x, (value, i) => {
      if (!isOther(i) && (a.lateRate === b.lateRate || !isSentBy(a, i))) return 0;
      return weights.correct * (value - (y[i] ?? 0)) - costOf(a, i) + costOf(b, i);
    });
  const gains = of(a.right, b.right);
  const { mean: difference, squares } = momentsOf(gains);
  if (units.frames.length < PLAN_DEVICES_MIN) return { difference, lower: null, upper: null };
  let draws = 0;
  for (let i = 0; i < n; i++) {
    if (!isOther(i)) continue;
    const spread = spreadOf(a.estimate.expected[i] ?? 0) + spreadOf(b.estimate.expected[i] ?? 0);
    draws += (weights.correct ** 2 * spread) / (a.estimate.pis[i] ?? 1);
  }
  const implied = momentsOf(of(a.expected, b.expected)).squares + draws;
  // What is known of lateness is the same for both where they ask the same target.
  const isSameTarget = a.lateRate === b.lateRate;
  const ofLateness = isSameTarget
    ? (a.slope - b.slope) ** 2 * a.lateVariance
    : a.slope ** 2 * a.lateVariance + b.slope ** 2 * b.lateVariance;
  const between = betweenUnits(gains, difference, units);
  const variance = Math.max(between.variance, Math.max(squares, implied) / (n * (n - 1))) + ofLateness;
  const half = studentCritical((1 - confidence) / 2, between.freedom) * Math.sqrt(variance);
  return { difference, lower: difference - half, upper: difference + half };
}
