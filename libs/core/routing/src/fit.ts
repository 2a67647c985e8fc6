/**
 * Which score a policy sends frames by, and its fit.
 *
 * The learned score has two ridge logistic models, of the edge and of the cloud, on a few features and the edge's class. Which
 * features and how strong a ridge (its shape) is chosen by cross-validation.
 *
 * F1. A fixed score orders frames by one feature of the edge's answer: confidence, margin or entropy. It is fitted as a
 *     logistic model of P(edge right) on that feature alone, beside a cloud that is equally good everywhere; so its order is
 *     the feature's, and its score is still a gain.
 * F3. Which score is chosen by nested cross-validation (Varma & Simon 2006): the shape is chosen again within each fold's
 *     training part, so that the learned score gains nothing by choosing among twelve. The simplest score within
 *     `STANDARD_ERRORS` of the best is taken: the difference is paired, frame by frame. Few frames choose confidence. */
import type { LogisticModel } from "@tributary/contracts";
import { fitLogistic } from "@tributary/statistics";
import type { Calibrated } from "./calibrate.ts";
import { gainOf, type JudgedFrame } from "./frontier.ts";
import type { PolicyFeature } from "./policy.ts";
import { type ScoringPolicy, scoreOf } from "./score.ts";

export const FIXED_SCORES = ["confidence", "margin", "entropy"] as const;
export type FixedScore = (typeof FIXED_SCORES)[number];

/** From the simplest on. */
export const SCORES = [...FIXED_SCORES, "learned"] as const;
export type ScoreName = (typeof SCORES)[number];

/** Higher is more worth sending. */
export const fixedScoreOf = (score: FixedScore, calibrated: Calibrated): number =>
  score === "entropy" ? calibrated.entropy : -calibrated[score];

export type ScorerShape = { readonly features: readonly PolicyFeature[]; readonly ridge: number };

export const SCORER_SHAPES: readonly ScorerShape[] = (
  [["margin"], ["margin", "entropy"], ["margin", "logitMargin"], ["margin", "entropy", "logitMargin"]] as const
).flatMap((features) => [3, 10, 30].map((ridge) => ({ features, ridge })));

export type ScoredFrame = JudgedFrame & {
  readonly calibrated: Calibrated;
  /** How many frames of the population it stands for, up to a factor; 1 by default. */
  readonly weight?: number;
};

export type ScoreSettings = {
  /** The scores to choose among, in any order. */
  readonly scores: readonly ScoreName[];
  /** Of the learned score. */
  readonly shapes: readonly ScorerShape[];
  /** Number of classes. */
  readonly classes: number;
};

export type ScoreTried<Name> = {
  readonly score: Name;
  /** Mean gain per frame of sending by it, over budgets from 10 % to 45 %: accuracy of the system less the edge's. */
  readonly worth: number;
  /** Of its worth less the best score's. */
  readonly standardError: number;
};

export type ScoreChoice<Name = ScoreName> = {
  readonly score: Name;
  readonly best: Name;
  readonly tried: readonly ScoreTried<Name>[];
  /** Of the cross-validation. */
  readonly frames: number;
};

const FOLDS = 5;
const [BUDGET_MIN, BUDGET_MAX] = [0.1, 0.45];

/** How far behind the best a simpler score may be. One, as is usual for one choice, was too little: the learned score, taken
 * for a difference that other frames did not confirm, was significantly worse than confidence in 5 of 180 splits (ADR 35). */
export const STANDARD_ERRORS = 2;

/** F3. `standing`: a score in use, that comes before the simplest. */
export function chooseScore(frames: readonly ScoredFrame[], settings: ScoreSettings): ScoreChoice;
export function chooseScore(
  frames: readonly ScoredFrame[],
  settings: ScoreSettings,
  standing: ScoringPolicy,
): ScoreChoice<ScoreName | "standing">;
export function chooseScore(
  frames: readonly ScoredFrame[],
  settings: ScoreSettings,
  standing?: ScoringPolicy,
): ScoreChoice<ScoreName | "standing"> {
  const scores = SCORES.filter((score) => settings.scores.includes(score)); // from the simplest on
  const names = standing === undefined ? scores : (["standing", ...scores] as const);
  const folds = foldsOf(frames);
  const worths = names.map((name) =>
    worthsOf(frames, folds, (training) =>
      name === "standing" && standing !== undefined
        ? standing
        : fitScore(training, name === "standing" ? "confidence" : name, settings),
    ),
  );
  const weights = frames.map(({ weight }) => weight ?? 1);
  const means = worths.map((worth) => weightedMean(worth, weights).mean);
  const best = means.indexOf(Math.max(...means));
  const tried = names.map((score, i) => {
    const behind = frames.map((_, at) => (worths[best]?.[at] ?? 0) - (worths[i]?.[at] ?? 0));
    return { score, worth: means[i] ?? 0, standardError: weightedMean(behind, weights).standardError };
  });
  const isNear = ({ worth, standardError }: ScoreTried<unknown>) =>
    (means[best] ?? 0) - worth <= STANDARD_ERRORS * standardError;
  const first = names[0] as ScoreName | "standing";
  return {
    score: tried.find(isNear)?.score ?? first,
    best: names[best] ?? first,
    tried,
    frames: frames.length,
  };
}

export function fitScore(frames: readonly ScoredFrame[], score: ScoreName, settings: ScoreSettings): ScoringPolicy {
  const { shapes, classes } = settings;
  return score === "learned"
    ? fitLearned(frames, chooseShape(frames, shapes, classes), classes)
    : fitFixed(frames, score, classes);
}

/** The least slope of a fixed score, per standard deviation of its feature: its order stands even where the frames at hand
 * show none, or the opposite. */
const SLOPE_MIN = 0.05;

function fitFixed(frames: readonly ScoredFrame[], score: FixedScore, classes: number): ScoringPolicy {
  const rows = frames.map(({ calibrated }) => calibrated[score]);
  const { mean, sd } = scaleOf(rows);
  const counts = countsOf(frames);
  const fit = fitLogistic(
    rows.map((value) => [(value - mean) / sd]),
    frames.map(({ edgeRight }) => edgeRight),
    1,
    counts,
  );
  const sign = score === "entropy" ? -1 : 1;
  const weight = (sign * Math.max(SLOPE_MIN, sign * (fit.weights[0] ?? 0))) / sd;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const right = frames.reduce((sum, { cloudRight }, i) => sum + (cloudRight ? (counts[i] ?? 0) : 0), 0);
  const labelBias = new Array<number>(classes).fill(0);
  return {
    features: [score],
    edgeRight: { bias: fit.intercept - weight * mean, weights: [weight], labelBias },
    cloudRight: { bias: Math.log((right + 0.5) / (total - right + 0.5)), weights: [0], labelBias },
  };
}

function fitLearned(frames: readonly ScoredFrame[], { features, ridge }: ScorerShape, classes: number): ScoringPolicy {
  const scales = features.map((feature) => scaleOf(frames.map(({ calibrated }) => calibrated[feature])));
  // Standardised, so that one ridge suits all; the weights that are returned are for the raw features.
  const inputs = frames.map(({ calibrated }) => {
    const row = new Float64Array(features.length + classes);
    features.forEach((feature, j) => {
      row[j] = (calibrated[feature] - (scales[j]?.mean ?? 0)) / (scales[j]?.sd ?? 1);
    });
    row[features.length + calibrated.labelIndex] = 1;
    return row;
  });
  const counts = countsOf(frames);
  const fit = (right: readonly boolean[]): LogisticModel => {
    const { intercept, weights: fitted } = fitLogistic(inputs, right, ridge, counts);
    const weights = features.map((_, j) => (fitted[j] ?? 0) / (scales[j]?.sd ?? 1));
    const bias = weights.reduce((sum, weight, j) => sum - weight * (scales[j]?.mean ?? 0), intercept);
    return { bias, weights, labelBias: Array.from(fitted.slice(features.length)) };
  };
  return {
    features,
    edgeRight: fit(frames.map(({ edgeRight }) => edgeRight)),
    cloudRight: fit(frames.map(({ cloudRight }) => cloudRight)),
  };
}

/** The first of the best. */
function chooseShape(frames: readonly ScoredFrame[], shapes: readonly ScorerShape[], classes: number): ScorerShape {
  const [first] = shapes;
  if (first === undefined || shapes.length === 1) return first ?? (SCORER_SHAPES[0] as ScorerShape);
  const folds = foldsOf(frames);
  const weights = frames.map(({ weight }) => weight ?? 1);
  const worths = shapes.map(
    (shape) =>
      weightedMean(
        worthsOf(frames, folds, (training) => fitLearned(training, shape, classes)),
        weights,
      ).mean,
  );
  return shapes[worths.indexOf(Math.max(...worths))] ?? first;
}

/** Of each frame, when scored by a fit that it had no part in: its gain, times the share of the budgets at which it is sent.
 * Ranks are within a fold, since scores of two fits are on two scales. */
function worthsOf(
  frames: readonly ScoredFrame[],
  folds: readonly (readonly number[])[],
  fit: (training: readonly ScoredFrame[]) => ScoringPolicy,
): Float64Array {
  const worths = new Float64Array(frames.length);
  for (const fold of folds) {
    const held = new Set(fold);
    const scorer = fit(frames.filter((_, i) => !held.has(i)));
    const ranked = fold
      .map((i) => ({ i, score: scoreOf(scorer, (frames[i] as ScoredFrame).calibrated).score }))
      .sort((a, b) => b.score - a.score || a.i - b.i);
    const total = fold.reduce((sum, i) => sum + (frames[i]?.weight ?? 1), 0);
    let before = 0;
    for (const { i } of ranked) {
      const frame = frames[i] as ScoredFrame;
      const weight = frame.weight ?? 1;
      const rank = (before + weight / 2) / total;
      before += weight;
      const sentAt = Math.max(0, Math.min(1, (BUDGET_MAX - rank) / (BUDGET_MAX - BUDGET_MIN)));
      worths[i] = gainOf(frame) * sentAt;
    }
  }
  return worths;
}

/** Indices: each fold has its share of every outcome and class. */
function foldsOf(frames: readonly ScoredFrame[]): readonly (readonly number[])[] {
  const order = frames
    .map((frame, i) => ({ i, gain: gainOf(frame), label: frame.calibrated.labelIndex }))
    .sort((a, b) => a.gain - b.gain || a.label - b.label || a.i - b.i);
  return Array.from({ length: Math.min(FOLDS, frames.length) }, (_, fold) =>
    order.filter((_, place) => place % FOLDS === fold).map(({ i }) => i),
  );
}

/** Weights as counts that add up to the effective number of frames (Kish 1965), so that a ridge is as strong for them. */
function countsOf(frames: readonly ScoredFrame[]): Float64Array {
  const weights = Float64Array.from(frames, ({ weight }) => weight ?? 1);
  let sum = 0;
  let squares = 0;
  for (const weight of weights) {
    sum += weight;
    squares += weight * weight;
  }
  return weights.map((weight) => (weight * sum) / squares);
}

/** Mean and its standard error, for draws of unequal weight. */
function weightedMean(values: ArrayLike<number>, weights: readonly number[]) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = weights.reduce((sum, weight, i) => sum + weight * (values[i] ?? 0), 0) / total;
  const squares = weights.reduce((sum, weight, i) => sum + (weight * ((values[i] ?? 0) - mean)) ** 2, 0);
  return { mean, standardError: Math.sqrt(squares) / total };
}

function scaleOf(values: readonly number[]): { readonly mean: number; readonly sd: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, sd: Math.sqrt(square) || 1 };
}
