/**
 * What another policy would have been worth on the frames that were logged: accuracy of the system at each share of frames
 * sent, from the random sample and its logged propensities alone (augmented inverse propensity weighting, as aipw.ts).
 *
 * A frame counts with what the policy's models expect of it; a drawn frame whose truth is known corrects that by its error
 * over its propensity. So a wrong model widens the interval and biases nothing. Labels are missing at random among the drawn
 * frames of each side, sent or kept; a drawn frame without its label or its cloud answer is missing, neither right nor wrong
 * (aipw.ts W2). The interval is for frames like these, not for these alone: it holds the spread between frames as
 * well as the draw's. Rare errors may be absent from few draws: the variance is never taken below the one that the models
 * imply (aipw.ts W3). */
import type { RoutingPolicy } from "@tributary/contracts";
import { invariant } from "@tributary/kernel";
import { momentsOf, normalQuantile } from "@tributary/statistics";
import type { Calibrated } from "./calibrate.ts";
import { priorityOf } from "./device.ts";
import { FIXED_SCORES, type FixedScore, fixedScoreOf } from "./fit.ts";
import { orderByScore } from "./frontier.ts";
import { scoreOf } from "./score.ts";

export type LoggedFrame = {
  readonly calibrated: Calibrated;
  /** pi, as logged. */
  readonly propensity: number;
  readonly drawn: boolean;
  /** Null without a label. Ignored unless drawn. */
  readonly edgeRight: boolean | null;
  /** Null without a label or without an answer of the cloud. Ignored unless drawn. */
  readonly cloudRight: boolean | null;
  /** Sent whatever its score and the policy: an external trigger. What a policy's `priorityLabels` send is none. */
  readonly triggered: boolean;
  /** Frames of one device are not independent. Absent: it is independent of all others. */
  readonly deviceId?: string;
};

export type OffPolicyEstimate = {
  /** Share of frames sent, the sample apart. */
  readonly share: number;
  readonly accuracy: number;
  readonly lower: number;
  readonly upper: number;
  readonly standardError: number;
  /** Drawn frames whose outcome under this policy is known. */
  readonly known: number;
};

export type OffPolicyPoint = OffPolicyEstimate & {
  /** Threshold of the score that sends this share. */
  readonly scoreMin: number;
};

/** Accuracy of another way less that of what it is compared with, on the same frames. */
export type OffPolicyDifference = { readonly difference: number; readonly lower: number; readonly upper: number };

/** Another way to choose the frames: none, all, or as many as the policy sends by a fixed score. */
export type OffPolicyAlternative = OffPolicyEstimate & {
  readonly name: "edge" | "cloud" | FixedScore;
  /** The policy's accuracy less this one's; intervals of 95 % for all of them together (Bonferroni). */
  readonly lead: OffPolicyDifference;
};

export type OffPolicyFrontier = {
  readonly frames: number;
  readonly drawn: number;
  readonly labelled: number;
  /** Mean propensity: the share of frames the sample takes. */
  readonly sampleShare: number;
  readonly points: readonly OffPolicyPoint[];
  /** At the policy's own threshold. */
  readonly own: OffPolicyPoint | null;
  readonly alternatives: readonly OffPolicyAlternative[];
  /** The cloud less the edge; null without a known outcome of each. */
  readonly cloudGain: OffPolicyDifference | null;
  /** The same where the edge answers this class; only classes for which the cloud is significantly worse (Bonferroni). */
  readonly cloudWorseOn: readonly (OffPolicyDifference & { readonly labelIndex: number; readonly frames: number })[];
};

export type Scored = {
  readonly frame: LoggedFrame;
  readonly priority: boolean;
  readonly score: number;
  readonly edgeRight: number;
  readonly cloudRight: number;
};

export type SimulatedPolicy = Pick<
  RoutingPolicy,
  "features" | "edgeRight" | "cloudRight" | "labels" | "priorityLabels" | "scoreMin"
>;

const CONFIDENCE = 0.95;

/** Points without a known outcome are left out. */
export function simulateFrontier(
  frames: readonly LoggedFrame[],
  policy: SimulatedPolicy,
  shares: readonly number[],
): OffPolicyFrontier {
  const scored = scoredBy(frames, policy);
  const order = orderBy(scored, ({ score }) => score);
  const estimateAt = (by: Int32Array, sent: number) => estimateOf(scored, by.subarray(0, sent));
  const scoreAt = (place: number) => {
    const one = scored[order[place] ?? -1];
    if (one === undefined) return -1; // beyond the last: everything is sent
    return one.priority ? 1 : one.score; // fewer than those of priority is none by score
  };
  const ownSent = scored.filter(({ priority, score }) => priority || score > policy.scoreMin).length;
  const own = estimateAt(order, ownSent);
  const alternatives = [
    { name: "edge" as const, estimate: estimateAt(order, 0) },
    { name: "cloud" as const, estimate: estimateAt(order, scored.length) },
    ...FIXED_SCORES.map((name) => ({
      name,
      estimate: estimateAt(
        orderBy(scored, ({ frame }) => fixedScoreOf(name, frame.calibrated)),
        ownSent,
      ),
    })),
  ];
  const [edge, cloud] = alternatives.map(({ estimate }) => estimate);
  const together = 1 - (1 - CONFIDENCE) / alternatives.length;
  const drawn = frames.filter((frame) => frame.drawn);
  return {
    frames: frames.length,
    drawn: drawn.length,
    labelled: drawn.filter(({ edgeRight }) => edgeRight !== null).length,
    sampleShare: frames.reduce((sum, { propensity }) => sum + propensity, 0) / Math.max(1, frames.length),
    points: shares.flatMap((share) => {
      const sent = Math.round(share * scored.length);
      const estimate = estimateAt(order, sent);
      return estimate === null ? [] : { ...intervalOf(estimate), scoreMin: scoreAt(sent) };
    }),
    own: own === null ? null : { ...intervalOf(own), scoreMin: policy.scoreMin },
    alternatives: alternatives.flatMap(({ name, estimate }) =>
      estimate === null || own === null
        ? []
        : { name, ...intervalOf(estimate), lead: differenceOf(scored, own, estimate, together) },
    ),
    cloudGain: edge && cloud ? differenceOf(scored, cloud, edge, CONFIDENCE) : null,
    cloudWorseOn: edge && cloud ? worseClasses(scored, cloud, edge, policy.labels.length) : [],
  };
}

export function scoredBy(frames: readonly LoggedFrame[], policy: SimulatedPolicy): readonly Scored[] {
  return frames.map((frame) => {
    invariant(frame.propensity > 0 && frame.propensity <= 1, "a propensity is above 0 and at most 1");
    const priority = frame.triggered || priorityOf(policy, frame.calibrated) !== null;
    return { frame, priority, ...scoreOf(policy, frame.calibrated) };
  });
}

/** Priority frames are sent whatever their score, so they come first in every order. */
export const orderBy = (scored: readonly Scored[], score: (one: Scored) => number): Int32Array =>
  orderByScore(scored.map((one) => (one.priority ? Number.POSITIVE_INFINITY : score(one))));

/** What one way to choose is worth, frame by frame. */
export type Estimate = {
  /** Of each frame; their mean is the accuracy. */
  readonly values: Float64Array;
  /** Of each frame, as the models have it. */
  readonly expected: Float64Array;
  /** Of each frame: the propensity with which its outcome is known. */
  readonly pis: Float64Array;
  readonly isSent: Uint8Array;
  readonly known: number;
};

/** `sent`: places of the frames that are sent. Null without a known outcome. */
export function estimateOf(scored: readonly Scored[], sent: Int32Array): Estimate | null {
  const isSent = new Uint8Array(scored.length);
  for (const place of sent) isSent[place] = 1;
  const drawn = [0, 0];
  const knownOf = [0, 0];
  scored.forEach(({ frame }, i) => {
    const side = isSent[i] ?? 0;
    if (frame.drawn) drawn[side] = (drawn[side] ?? 0) + 1;
    if (outcomeOf(frame, side === 1) !== null) knownOf[side] = (knownOf[side] ?? 0) + 1;
  });
  const known = (knownOf[0] ?? 0) + (knownOf[1] ?? 0);
  if (scored.length < 2 || known === 0) return null;
  const knownShares = knownOf.map((some, side) => (some === 0 ? 1 : some / (drawn[side] ?? some)));
  const expected = Float64Array.from(scored, (one, i) => (isSent[i] === 1 ? one.cloudRight : one.edgeRight));
  const pis = Float64Array.from(scored, ({ frame }, i) => frame.propensity * (knownShares[isSent[i] ?? 0] ?? 1));
  const values = expected.map((prediction, i) => {
    const outcome = outcomeOf((scored[i] as Scored).frame, isSent[i] === 1);
    return outcome === null ? prediction : prediction + ((outcome ? 1 : 0) - prediction) / (pis[i] ?? 1);
  });
  return { values, expected, pis, isSent, known };
}

function intervalOf({ values, expected, pis, isSent, known }: Estimate): OffPolicyEstimate {
  const n = values.length;
  const { mean: accuracy, squares } = momentsOf(values);
  let draws = 0;
  for (let i = 0; i < n; i++) draws += spreadOf(expected[i] ?? 0) / (pis[i] ?? 1);
  const implied = momentsOf(expected).squares + draws;
  const standardError = Math.sqrt(Math.max(squares, implied) / (n * (n - 1)));
  const half = normalQuantile((1 + CONFIDENCE) / 2) * standardError;
  const [lower, upper] = [Math.max(0, accuracy - half), Math.min(1, accuracy + half)];
  return { share: isSent.reduce((sum, sent) => sum + sent, 0) / n, accuracy, lower, upper, standardError, known };
}

/** `a` less `b`, over the frames of `places`. Where both do the same they differ by nothing; elsewhere they differ by no less
 * than what the models predict of two outcomes. */
function differenceOf(
  scored: readonly Scored[],
  a: Estimate,
  b: Estimate,
  confidence: number,
  places: readonly number[] = scored.map((_, i) => i),
): OffPolicyDifference {
  const n = places.length;
  const isOther = (i: number) => a.isSent[i] !== b.isSent[i];
  const of = (one: Float64Array, other: Float64Array) =>
    Float64Array.from(places, (i) => (isOther(i) ? (one[i] ?? 0) - (other[i] ?? 0) : 0));
  const { mean: difference, squares } = momentsOf(of(a.values, b.values));
  let draws = 0;
  for (const i of places) {
    if (isOther(i)) draws += (spreadOf(a.expected[i] ?? 0) + spreadOf(b.expected[i] ?? 0)) / (a.pis[i] ?? 1);
  }
  const implied = momentsOf(of(a.expected, b.expected)).squares + draws;
  const half = normalQuantile((1 + confidence) / 2) * Math.sqrt(Math.max(squares, implied) / (n * (n - 1)));
  return { difference, lower: Math.max(-1, difference - half), upper: Math.min(1, difference + half) };
}

function worseClasses(scored: readonly Scored[], cloud: Estimate, edge: Estimate, classes: number) {
  const places = Array.from({ length: classes }, (): number[] => []);
  scored.forEach(({ frame }, i) => {
    places[frame.calibrated.labelIndex]?.push(i);
  });
  const confidence = 1 - (1 - CONFIDENCE) / classes;
  return places.flatMap((own, labelIndex) => {
    if (own.length < 2) return [];
    const gain = differenceOf(scored, cloud, edge, confidence, own);
    return gain.upper < 0 ? [{ ...gain, labelIndex, frames: own.length }] : [];
  });
}

/** Of a Bernoulli variable. */
export const spreadOf = (probability: number): number => probability * (1 - probability);

const outcomeOf = (frame: LoggedFrame, isSent: boolean): boolean | null =>
  frame.drawn ? (isSent ? frame.cloudRight : frame.edgeRight) : null;
