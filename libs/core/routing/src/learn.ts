/**
 * Learns a policy from validation frames: the score (fit.ts), then a threshold with a guarantee.
 *
 * T1. No frame both chooses and tests: one half fits the score and chooses the budget's threshold, the other half bounds
 *     losses (by device where devices are known).
 * T2. Learn then Test (Angelopoulos et al. 2021): the grid is between the scores of the first half, so for the testing
 *     half it is fixed beforehand. There it is walked from safest to loosest; the walk stops at the first lambda whose p-value
 *     is above delta, so P(loss rate <= epsilon) >= 1 - delta.
 * T3. Where the walk ends before the budget's threshold, that one is used and its Clopper-Pearson bound on the testing half
 *     is published. What is published fails with probability delta at most, whichever of the two it is: the walk ends
 *     early exactly if that bound is above epsilon, so a wrong promise of either kind needs the bound of one threshold, fixed
 *     beforehand, to be wrong (or, where the budget's loses less than epsilon, the walk to be).
 * T4. Thresholds are relearned from ground truth alone, never from agreement with the cloud.
 * T5. Unless it is set, epsilon is 2 % or a quarter of what keeping every frame would lose, whichever is less: beside a
 *     cloud that is 3 points better, a promise of 2 % is kept by sending next to nothing.
 */
import type { Guarantee, PriorityLabel } from "@tributary/contracts";
import { invariant } from "@tributary/kernel";
import { binomialCdf, clopperPearsonUpper } from "@tributary/statistics";
import { calibrate } from "./calibrate.ts";
import { priorityOf } from "./device.ts";
import {
  chooseScore,
  fitScore,
  SCORER_SHAPES,
  SCORES,
  type ScoreChoice,
  type ScoredFrame,
  type ScoreName,
  type ScorerShape,
} from "./fit.ts";
import type { PolicyContent } from "./policy.ts";
import { scoreOf } from "./score.ts";

export type LearningFrame = {
  /** Edge logits. */
  readonly logits: ArrayLike<number>;
  /** Ground truth, as an index into the policy's labels. */
  readonly label: number;
  readonly cloudRight: boolean;
  /** Which half: "score" fits the two models and chooses the budget's threshold, "threshold" tests (T1). */
  readonly half: "score" | "threshold";
};

export type LearningSettings = {
  readonly cloudTarget: string;
  readonly labels: readonly string[];
  readonly temperature: number;
  /** The scores to choose among, in any order; one alone is not compared with anything. */
  readonly scores: readonly ScoreName[];
  /** Features and ridge of the learned score; several are compared by cross-validation on the score's half. */
  readonly shapes: readonly ScorerShape[];
  /** Undefined: by T5. */
  readonly epsilon?: number | undefined;
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
  scores: SCORES,
  shapes: SCORER_SHAPES,
  delta: 0.05,
  escalationShareMax: 0.27,
  headroom: 0.05,
  samplePropensityMin: 0.005,
  sampleBudget: 0.02,
  burstMs: 60_000,
  priorityReserve: 0.2,
  deadlineMs: 2_000,
} as const satisfies Partial<LearningSettings>;

/** T5: the share of frames that may lose a right cloud answer, and of what keeping all loses. */
const [EPSILON_MAX, EPSILON_OF_LOSS] = [0.02, 0.25];

/** T5. `lossRate`: of keeping every frame. */
export const epsilonOfLoss = (lossRate: number): number => Math.min(EPSILON_MAX, EPSILON_OF_LOSS * lossRate);

/** More thresholds than this distinguish nothing that a budget would. */
const THRESHOLDS_MAX = 400;

/** T2: from one that sends everything to one that sends nothing, between neighbouring scores of the frames given. */
export function thresholdGrid(scores: readonly number[]): readonly number[] {
  const sorted = Float64Array.from(scores).sort();
  const step = Math.max(1, sorted.length / THRESHOLDS_MAX);
  const grid = [-1];
  for (let place = step; place < sorted.length; place += step) {
    const [below, above] = [sorted[Math.ceil(place) - 1] ?? -1, sorted[Math.ceil(place)] ?? 1];
    const threshold = (below + above) / 2;
    if (threshold > (grid.at(-1) ?? -1) && threshold < 1) grid.push(threshold);
  }
  return [...grid, 1]; // a score is a difference of two probabilities
}

export type LearnedPolicy = { readonly policy: PolicyContent; readonly choice: ScoreChoice };

export function learnPolicy(frames: readonly LearningFrame[], settings: LearningSettings): LearnedPolicy {
  const { labels, priorityLabels } = settings;
  const seen = frames.map((frame): Seen => {
    const calibrated = calibrate(frame.logits, settings.temperature);
    return {
      half: frame.half,
      calibrated,
      edgeRight: calibrated.labelIndex === frame.label,
      cloudRight: frame.cloudRight,
    };
  });
  const fitted = seen.filter(({ half }) => half === "score");
  const tested = seen.filter(({ half }) => half === "threshold");
  invariant(fitted.length > 0 && tested.length > 0, "both halves of the learning frames are needed");

  const scoreSettings = { scores: settings.scores, shapes: settings.shapes, classes: labels.length };
  const choice = chooseScore(fitted, scoreSettings);
  const scorer = fitScore(fitted, choice.score, scoreSettings);
  const candidateOf = (item: Seen): ThresholdCandidate => ({
    score: scoreOf(scorer, item.calibrated).score,
    priority: priorityOf({ labels, priorityLabels }, item.calibrated) !== null,
    lossIfKept: item.cloudRight && !item.edgeRight,
  });
  const uncertainties = fitted.map(({ calibrated }) => {
    const q = scoreOf(scorer, calibrated).edgeRight;
    return Math.sqrt(q * (1 - q));
  });
  const { scoreMin, guarantee } = chooseThreshold(fitted.map(candidateOf), tested.map(candidateOf), settings);
  const policy: PolicyContent = {
    cloudTarget: settings.cloudTarget,
    labels,
    temperature: settings.temperature,
    ...scorer,
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
  return { policy, choice };
}

type Seen = ScoredFrame & { readonly half: LearningFrame["half"] };

export type ThresholdCandidate = {
  readonly score: number;
  /** Sent whatever its score. */
  readonly priority: boolean;
  /** The edge is wrong and the cloud right. */
  readonly lossIfKept: boolean;
};

/** `choosing`: the half that the score was fitted on; `testing`: the other one. */
export function chooseThreshold(
  choosing: readonly ThresholdCandidate[],
  testing: readonly ThresholdCandidate[],
  settings: Pick<LearningSettings, "epsilon" | "delta" | "escalationShareMax" | "headroom">,
): { readonly scoreMin: number; readonly guarantee: Guarantee } {
  const { delta } = settings;
  const n = testing.length;
  const epsilon = settings.epsilon ?? epsilonOfLoss(lossRateOf(choosing));
  const grid = thresholdGrid(choosing.map(({ score }) => score));
  const shareMax = settings.escalationShareMax * (1 - settings.headroom);
  const ofBudget = grid.find((scoreMin) => outcomeOf(choosing, scoreMin).share <= shareMax) ?? 1;
  const learned = learnThenTest(testing, grid, epsilon, delta);
  if (learned !== null && learned >= ofBudget) {
    const { losses, share } = outcomeOf(testing, learned);
    const guarantee: Guarantee = { method: "LEARN_THEN_TEST", epsilon, delta, n, losses, escalationShare: share };
    return { scoreMin: learned, guarantee };
  }
  const { losses, share } = outcomeOf(testing, ofBudget);
  const bound = clopperPearsonUpper(losses, n, delta);
  return {
    scoreMin: ofBudget,
    guarantee: { method: "BUDGET_BOUND", epsilon: bound, delta, n, losses, escalationShare: share },
  };
}

const lossRateOf = (candidates: readonly ThresholdCandidate[]): number =>
  candidates.filter(({ lossIfKept }) => lossIfKept).length / candidates.length;

/** The loosest threshold that the walk over the grid, ascending, reaches; null if not even the safest passes. */
export function learnThenTest(
  candidates: readonly ThresholdCandidate[],
  grid: readonly number[],
  epsilon: number,
  delta: number,
): number | null {
  let reached: number | null = null;
  for (const scoreMin of grid) {
    const { losses } = outcomeOf(candidates, scoreMin);
    if (binomialCdf(losses, candidates.length, epsilon) > delta) break;
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
