/**
 * Learns a policy from validation frames: two logistic models for the score, then a threshold with a guarantee.
 *
 * T1. Score and threshold never see the same frames: the score is fitted on one half, the threshold tested on the other
 *     (by device where devices are known).
 * T2. Learn then Test (Angelopoulos et al. 2021): the grid is fixed beforehand and walked from safest to loosest; the walk
 *     stops at the first lambda whose p-value is above delta, so P(loss rate <= epsilon) >= 1 - delta.
 * T3. Where that threshold sends more than the budget, the budget's is used and its Clopper-Pearson bound is published.
 * T4. Thresholds are relearned from ground truth alone, never from agreement with the cloud.
 */
import type { Guarantee, LogisticModel, PriorityLabel } from "@tributary/contracts";
import { invariant } from "@tributary/kernel";
import { binomialCdf, clopperPearsonUpper, fitLogistic } from "@tributary/statistics";
import { type Calibrated, calibrate } from "./calibrate.ts";
import { priorityOf } from "./device.ts";
import type { PolicyContent, PolicyFeature } from "./policy.ts";
import { scoreOf } from "./score.ts";

export type LearningFrame = {
  /** Edge logits. */
  readonly logits: ArrayLike<number>;
  /** Ground truth, as an index into the policy's labels. */
  readonly label: number;
  readonly cloudRight: boolean;
  /** Which half: "score" fits the two models, "threshold" tests (T1). */
  readonly half: "score" | "threshold";
};

export type LearningSettings = {
  readonly cloudTarget: string;
  readonly labels: readonly string[];
  readonly temperature: number;
  readonly features: readonly PolicyFeature[];
  readonly ridge: number;
  readonly epsilon: number;
  readonly delta: number;
  /** rho. */
  readonly escalationShareMax: number;
  /** The budget's threshold aims this much (relative) below rho: at rho itself a token bucket runs dry half of the time. */
  readonly headroom: number;
  readonly priorityLabels: readonly PriorityLabel[];
  readonly samplePropensityMin: number;
  readonly sampleBudget: number;
  readonly burstMs: number;
  readonly priorityReserve: number;
  readonly deadlineMs: number;
};

export const learningDefaults = {
  features: ["margin", "entropy", "logitMargin"],
  ridge: 1,
  epsilon: 0.02,
  delta: 0.05,
  escalationShareMax: 0.26,
  headroom: 0.05,
  samplePropensityMin: 0.005,
  sampleBudget: 0.01,
  burstMs: 60_000,
  priorityReserve: 0.2,
  deadlineMs: 2_000,
} as const satisfies Partial<LearningSettings>;

/** T2: score thresholds from "send everything" to "send nothing". */
export const THRESHOLD_GRID: readonly number[] = Array.from({ length: 401 }, (_, i) => -1 + i / 200);

export function learnPolicy(frames: readonly LearningFrame[], settings: LearningSettings): PolicyContent {
  const { labels, features, priorityLabels } = settings;
  const seen = frames.map((frame) => ({ frame, calibrated: calibrate(frame.logits, settings.temperature) }));
  const fitted = seen.filter(({ frame }) => frame.half === "score");
  const tested = seen.filter(({ frame }) => frame.half === "threshold");
  invariant(fitted.length > 0 && tested.length > 0, "both halves of the learning frames are needed");

  const rows = fitted.map(({ calibrated }) => calibrated);
  const right = ({ frame, calibrated }: Seen) => calibrated.labelIndex === frame.label;
  const edgeRight = fitModel(rows, fitted.map(right), settings);
  const cloudRight = fitModel(
    rows,
    fitted.map(({ frame }) => frame.cloudRight),
    settings,
  );
  const scorer = { features, edgeRight, cloudRight };
  const candidates = tested.map((item) => ({
    score: scoreOf(scorer, item.calibrated).score,
    priority: priorityOf({ labels, priorityLabels }, item.calibrated) !== null,
    lossIfKept: item.frame.cloudRight && !right(item),
  }));
  const uncertainties = fitted.map(({ calibrated }) => {
    const q = scoreOf(scorer, calibrated).edgeRight;
    return Math.sqrt(q * (1 - q));
  });
  const { scoreMin, guarantee } = chooseThreshold(candidates, settings);
  return {
    cloudTarget: settings.cloudTarget,
    labels,
    temperature: settings.temperature,
    features,
    edgeRight,
    cloudRight,
    scoreMin,
    priorityLabels,
    samplePropensityMin: settings.samplePropensityMin,
    sampleBudget: settings.sampleBudget,
    sampleUncertaintyMean: uncertainties.reduce((sum, u) => sum + u, 0) / uncertainties.length,
    escalationShareMax: settings.escalationShareMax,
    burstMs: settings.burstMs,
    priorityReserve: settings.priorityReserve,
    deadlineMs: settings.deadlineMs,
    guarantee,
  };
}

type Seen = { readonly frame: LearningFrame; readonly calibrated: Calibrated };

export type ThresholdCandidate = {
  readonly score: number;
  /** Sent whatever its score. */
  readonly priority: boolean;
  /** The edge is wrong and the cloud right. */
  readonly lossIfKept: boolean;
};

export function chooseThreshold(
  candidates: readonly ThresholdCandidate[],
  settings: Pick<LearningSettings, "epsilon" | "delta" | "escalationShareMax" | "headroom">,
): { readonly scoreMin: number; readonly guarantee: Guarantee } {
  const { epsilon, delta } = settings;
  const n = candidates.length;
  const shareMax = settings.escalationShareMax * (1 - settings.headroom);
  const ofBudget = THRESHOLD_GRID.find((scoreMin) => outcomeOf(candidates, scoreMin).share <= shareMax) ?? 1;
  const learned = learnThenTest(candidates, epsilon, delta);
  if (learned !== null && outcomeOf(candidates, learned).share <= shareMax) {
    const { losses, share } = outcomeOf(candidates, learned);
    const guarantee: Guarantee = { method: "LEARN_THEN_TEST", epsilon, delta, n, losses, escalationShare: share };
    return { scoreMin: learned, guarantee };
  }
  const { losses, share } = outcomeOf(candidates, ofBudget);
  const bound = clopperPearsonUpper(losses, n, delta); // T3
  return {
    scoreMin: ofBudget,
    guarantee: { method: "BUDGET_BOUND", epsilon: bound, delta, n, losses, escalationShare: share },
  };
}

/** The loosest threshold the walk reaches; null if not even the safest passes. */
export function learnThenTest(
  candidates: readonly ThresholdCandidate[],
  epsilon: number,
  delta: number,
): number | null {
  let reached: number | null = null;
  for (const scoreMin of THRESHOLD_GRID) {
    const { losses } = outcomeOf(candidates, scoreMin);
    if (binomialCdf(losses, candidates.length, epsilon) > delta) break; // T2
    reached = scoreMin;
  }
  return reached;
}

export function outcomeOf(candidates: readonly ThresholdCandidate[], scoreMin: number) {
  let sent = 0;
  let losses = 0;
  for (const candidate of candidates) {
    if (candidate.priority || candidate.score > scoreMin) sent++;
    else if (candidate.lossIfKept) losses++;
  }
  return { losses, share: candidates.length === 0 ? 0 : sent / candidates.length };
}

/** Fits on standardised features, so that one ridge suits all, and returns weights for the raw ones. */
function fitModel(rows: readonly Calibrated[], right: readonly boolean[], settings: LearningSettings): LogisticModel {
  const { features, labels } = settings;
  const scales = features.map((feature) => {
    const mean = rows.reduce((sum, row) => sum + row[feature], 0) / rows.length;
    const square = rows.reduce((sum, row) => sum + (row[feature] - mean) ** 2, 0) / rows.length;
    return { mean, sd: Math.sqrt(square) || 1 };
  });
  const inputs = rows.map((row) => [
    ...features.map((feature, j) => (row[feature] - (scales[j]?.mean ?? 0)) / (scales[j]?.sd ?? 1)),
    ...labels.map((_, label) => (row.labelIndex === label ? 1 : 0)),
  ]);
  const fit = fitLogistic(inputs, right, settings.ridge);
  const weights = features.map((_, j) => (fit.weights[j] ?? 0) / (scales[j]?.sd ?? 1));
  const bias = weights.reduce((sum, weight, j) => sum - weight * (scales[j]?.mean ?? 0), fit.intercept);
  return { bias, weights, labelBias: labels.map((_, label) => fit.weights[features.length + label] ?? 0) };
}
