/**
 * What another policy would have been worth on the frames that were logged: accuracy of the system at each share of frames
 * sent, from the random sample and its logged propensities alone (augmented inverse propensity weighting, as aipw.ts).
 *
 * O1. A frame counts with what the policy's models expect of it; a drawn frame whose truth is known corrects that by its
 *     error over its propensity. So a wrong model widens the interval and biases nothing.
 * O2. Labels are missing at random among the drawn frames of each side, sent or kept; a drawn frame without its label or
 *     its cloud answer is missing, neither right nor wrong (aipw.ts, W2).
 * O3. The interval is for frames like these, not for these alone: it holds the spread between frames as well as the draw's.
 * O4. Rare errors may be absent from few draws: the variance is never taken below the one that the models imply (W3).
 */
import type { RoutingPolicy } from "@tributary/contracts";
import { invariant } from "@tributary/kernel";
import { normalQuantile } from "@tributary/statistics";
import type { Calibrated } from "./calibrate.ts";
import { priorityOf } from "./device.ts";
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
  /** Sent whatever its score: an external trigger. */
  readonly triggered: boolean;
};

export type OffPolicyPoint = {
  /** Share of frames sent, the sample apart. */
  readonly share: number;
  /** Threshold of the score that sends this share. */
  readonly scoreMin: number;
  readonly accuracy: number;
  readonly lower: number;
  readonly upper: number;
  readonly standardError: number;
  /** Drawn frames whose outcome under this policy is known. */
  readonly known: number;
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
};

type Scored = {
  readonly frame: LoggedFrame;
  readonly score: number;
  readonly edgeRight: number;
  readonly cloudRight: number;
};

export type SimulatedPolicy = Pick<
  RoutingPolicy,
  "features" | "edgeRight" | "cloudRight" | "labels" | "priorityLabels" | "scoreMin"
>;

/** Points without a known outcome are left out. */
export function simulateFrontier(
  frames: readonly LoggedFrame[],
  policy: SimulatedPolicy,
  shares: readonly number[],
  confidence = 0.95,
): OffPolicyFrontier {
  const scored = frames.map((frame): Scored => {
    invariant(frame.propensity > 0 && frame.propensity <= 1, "a propensity is above 0 and at most 1");
    const priority = frame.triggered || priorityOf(policy, frame.calibrated) !== null;
    const { score, edgeRight, cloudRight } = scoreOf(policy, frame.calibrated);
    return { frame, score: priority ? Number.POSITIVE_INFINITY : score, edgeRight, cloudRight };
  });
  scored.sort((a, b) => b.score - a.score);
  const pointAt = (sent: number, scoreMin: number) => pointOf(scored, sent, scoreMin, confidence);
  const thresholdOf = (sent: number) => finite(scored[sent]?.score ?? -1); // beyond the last: everything is sent
  const ownSent = scored.filter(({ score }) => score > policy.scoreMin).length;
  const drawn = frames.filter((frame) => frame.drawn);
  return {
    frames: frames.length,
    drawn: drawn.length,
    labelled: drawn.filter(({ edgeRight }) => edgeRight !== null).length,
    sampleShare: frames.reduce((sum, { propensity }) => sum + propensity, 0) / Math.max(1, frames.length),
    points: shares.flatMap((share) => {
      const sent = Math.round(share * scored.length);
      return pointAt(sent, thresholdOf(sent)) ?? [];
    }),
    own: pointAt(ownSent, policy.scoreMin),
  };
}

function pointOf(scored: readonly Scored[], sent: number, scoreMin: number, confidence: number): OffPolicyPoint | null {
  const n = scored.length;
  const sides = [scored.slice(0, sent), scored.slice(sent)] as const;
  const known = sides.map((side, i) => side.filter(({ frame }) => outcomeOf(frame, i === 0) !== null).length);
  const total = (known[0] ?? 0) + (known[1] ?? 0);
  if (n < 2 || total === 0) return null;
  let sum = 0;
  let squares = 0;
  let modelSum = 0;
  let modelSquares = 0;
  let drawVariance = 0;
  sides.forEach((side, i) => {
    const isSent = i === 0;
    const drawn = side.filter(({ frame }) => frame.drawn).length;
    const knownShare = drawn === 0 ? 1 : (known[i] ?? 0) / drawn; // O2
    for (const { frame, edgeRight, cloudRight } of side) {
      const expected = isSent ? cloudRight : edgeRight;
      const pi = frame.propensity * (knownShare === 0 ? 1 : knownShare);
      const outcome = outcomeOf(frame, isSent);
      const value = expected + (outcome === null ? 0 : ((outcome ? 1 : 0) - expected) / pi); // O1
      sum += value;
      squares += value * value;
      modelSum += expected;
      modelSquares += expected * expected;
      drawVariance += (expected * (1 - expected)) / pi;
    }
  });
  const accuracy = sum / n;
  const variance = (squares / n - accuracy ** 2) / (n - 1); // O3
  const implied = (modelSquares / n - (modelSum / n) ** 2 + drawVariance / n) / (n - 1);
  const standardError = Math.sqrt(Math.max(variance, implied)); // O4
  const half = normalQuantile((1 + confidence) / 2) * standardError;
  const [lower, upper] = [Math.max(0, accuracy - half), Math.min(1, accuracy + half)];
  return { share: sent / n, scoreMin, accuracy, lower, upper, standardError, known: total };
}

const outcomeOf = (frame: LoggedFrame, isSent: boolean): boolean | null =>
  frame.drawn ? (isSent ? frame.cloudRight : frame.edgeRight) : null;

/** Among priority frames there is no threshold: sending fewer than those is sending none by score. */
const finite = (score: number): number => (Number.isFinite(score) ? score : 1);
