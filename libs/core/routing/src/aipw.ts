/**
 * Accuracy of the edge from the random sample, by augmented inverse propensity weighting: mean of q + (drawn / pi)(y - q).
 *
 * W1. Unbiased whatever q is, because pi is known; a good q only narrows the interval.
 * W2. A missing label is missing, not right or wrong: labels are taken to be missing at random among drawn frames.
 * W3. With few draws the empirical variance misses rare errors, so it is never taken below the one that q itself implies.
 */
import { invariant } from "@tributary/kernel";
import { normalQuantile } from "@tributary/statistics";

export type SampledFrame = {
  /** q: estimated P(edge right). */
  readonly q: number;
  /** pi: propensity. */
  readonly pi: number;
  readonly drawn: boolean;
  /** Whether the edge was right; null when not known. Ignored unless drawn. */
  readonly right: boolean | null;
};

export type AipwEstimate = {
  readonly estimate: number;
  readonly lower: number;
  readonly upper: number;
  readonly standardError: number;
  readonly frames: number;
  readonly drawn: number;
  readonly labelled: number;
};

/** Accuracy over the given frames (a finite population) with an interval; null without a single labelled draw. */
export function aipw(frames: readonly SampledFrame[], confidence = 0.95): AipwEstimate | null {
  let drawn = 0;
  let labelled = 0;
  for (const frame of frames) {
    invariant(frame.pi > 0 && frame.pi <= 1, "a propensity is above 0 and at most 1");
    if (!frame.drawn) continue;
    drawn++;
    if (frame.right !== null) labelled++;
  }
  if (labelled === 0) return null;
  const labelledShare = labelled / drawn;
  let sum = 0;
  let variance = 0;
  let varianceExpected = 0;
  for (const frame of frames) {
    const pi = frame.pi * labelledShare;
    sum += frame.q;
    varianceExpected += ((1 - pi) / pi) * frame.q * (1 - frame.q);
    if (!frame.drawn || frame.right === null) continue;
    const residual = (frame.right ? 1 : 0) - frame.q;
    sum += residual / pi;
    variance += ((1 - pi) / (pi * pi)) * residual * residual;
  }
  const n = frames.length;
  const standardError = Math.sqrt(Math.max(variance, varianceExpected)) / n;
  const half = normalQuantile((1 + confidence) / 2) * standardError;
  const estimate = sum / n;
  return { estimate, lower: estimate - half, upper: estimate + half, standardError, frames: n, drawn, labelled };
}
