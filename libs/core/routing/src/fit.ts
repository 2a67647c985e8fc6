/**
 * Fits the score: two ridge logistic models on a few features of the edge's answer and its class.
 *
 * Which features and how strong a ridge is a question of the data: shapes are compared by five-fold cross-validation, by
 * the share of the cloud's gain kept, averaged over budgets from 10 % to 45 %.
 */
import type { LogisticModel } from "@tributary/contracts";
import { fitLogistic } from "@tributary/statistics";
import type { Calibrated } from "./calibrate.ts";
import { gainShare, type JudgedFrame, orderByScore } from "./frontier.ts";
import type { PolicyFeature } from "./policy.ts";
import { type ScoringPolicy, scoreOf } from "./score.ts";

export type ScorerShape = { readonly features: readonly PolicyFeature[]; readonly ridge: number };

export const SCORER_SHAPES: readonly ScorerShape[] = (
  [["margin"], ["margin", "entropy"], ["margin", "logitMargin"], ["margin", "entropy", "logitMargin"]] as const
).flatMap((features) => [3, 10, 30].map((ridge) => ({ features, ridge })));

export type ScoredFrame = JudgedFrame & { readonly calibrated: Calibrated };

const FOLDS = 5;
const SHARES = Array.from({ length: 36 }, (_, i) => 0.1 + i / 100);

/** The first of the best. */
export function chooseShape(
  frames: readonly ScoredFrame[],
  shapes: readonly ScorerShape[],
  classes: number,
): ScorerShape {
  let best: { readonly shape: ScorerShape; readonly worth: number } | null = null;
  for (const shape of shapes) {
    const worth = shapes.length === 1 ? 0 : crossValidatedWorth(frames, shape, classes);
    if (best === null || worth > best.worth) best = { shape, worth };
  }
  return best?.shape ?? (SCORER_SHAPES[0] as ScorerShape);
}

function crossValidatedWorth(frames: readonly ScoredFrame[], shape: ScorerShape, classes: number): number {
  const scores = new Array<number>(frames.length).fill(0);
  for (let fold = 0; fold < FOLDS; fold++) {
    const scorer = fitScorer(
      frames.filter((_, i) => i % FOLDS !== fold),
      shape,
      classes,
    );
    frames.forEach((frame, i) => {
      if (i % FOLDS === fold) scores[i] = scoreOf(scorer, frame.calibrated).score;
    });
  }
  const order = orderByScore(scores);
  const worth = SHARES.reduce((sum, share) => sum + gainShare(frames, order, share), 0) / SHARES.length;
  return Number.isNaN(worth) ? 0 : worth;
}

export function fitScorer(frames: readonly ScoredFrame[], shape: ScorerShape, classes: number): ScoringPolicy {
  const fit = (right: readonly boolean[]) =>
    fitModel(
      frames.map(({ calibrated }) => calibrated),
      right,
      shape,
      classes,
    );
  return {
    features: shape.features,
    edgeRight: fit(frames.map(({ edgeRight }) => edgeRight)),
    cloudRight: fit(frames.map(({ cloudRight }) => cloudRight)),
  };
}

/** Fits on standardised features, so that one ridge suits all, and returns weights for the raw ones. */
function fitModel(
  rows: readonly Calibrated[],
  right: readonly boolean[],
  { features, ridge }: ScorerShape,
  classes: number,
): LogisticModel {
  const scales = features.map((feature) => {
    const mean = rows.reduce((sum, row) => sum + row[feature], 0) / rows.length;
    const square = rows.reduce((sum, row) => sum + (row[feature] - mean) ** 2, 0) / rows.length;
    return { mean, sd: Math.sqrt(square) || 1 };
  });
  const labelIndices = Array.from({ length: classes }, (_, label) => label);
  const inputs = rows.map((row) => [
    ...features.map((feature, j) => (row[feature] - (scales[j]?.mean ?? 0)) / (scales[j]?.sd ?? 1)),
    ...labelIndices.map((label) => (row.labelIndex === label ? 1 : 0)),
  ]);
  const fit = fitLogistic(inputs, right, ridge);
  const weights = features.map((_, j) => (fit.weights[j] ?? 0) / (scales[j]?.sd ?? 1));
  const bias = weights.reduce((sum, weight, j) => sum - weight * (scales[j]?.mean ?? 0), fit.intercept);
  return { bias, weights, labelBias: labelIndices.map((label) => fit.weights[features.length + label] ?? 0) };
}
