/**
 * Relearns the score and the threshold of a standing policy from ground truth, the labelled part of the random sample.
 *
 * Only drawn frames with a label and an answer of the cloud are evidence, weighted by their logged propensities: escalated
 * frames alone are biased. Without a label nothing is right or wrong, so agreement with the cloud moves nothing (learn.ts T4).
 *
 * L2. The score stands until another is better on the evidence's first half by more than its standard errors allow (fit.ts F3); that half fits it too. So no frame that chose or fitted a score tests the threshold (learn.ts T1).
 * L3. The grid, of the first half's scores, is walked from safest to loosest and the walk stops at the first threshold whose
 *     bet is not won (learn.ts T2). Draws have unequal weights, so the test is the bet of statistics/betting.ts instead of the
 *     binomial; it holds at whatever moment one looks while evidence is only added (G11), under policies with one
 *     `samplePropensityMin`. What leaves the window, and a lower propensity of an older policy, start a new claim. The
 *     budget's threshold is chosen on one half of the evidence; the walk and the bound are made on the other (learn.ts T1,
 *     T3). Which half is a frame's own (`halfOf`), so both halves only grow.
 * L4. A new policy is published only with a guarantee that holds, and only if it changes something: its promise or budget is
 *     refuted, or the new threshold moves the share of frames sent by a step that matters, or the bound is tighter.
 * L5. The verdict is a function of the standing policy, the set of evidence and the settings (G10): the same evidence judged
 *     again, in any order, publishes nothing more. */
import type { Guarantee, RoutingPolicy } from "@tributary/contracts";
import { LossBet, lossRateExceeds, lossRateUpper, type WeighedDraw } from "@tributary/statistics";
import type { Calibrated } from "./calibrate.ts";
import { priorityOf } from "./device.ts";
import { chooseScore, fitScore, SCORES, type ScoredFrame, type ScoreSettings } from "./fit.ts";
import { epsilonOfLoss, learningDefaults, thresholdGrid } from "./learn.ts";
import type { PolicyContent } from "./policy.ts";
import { type ScoringPolicy, scoreOf } from "./score.ts";

/** One frame of the random sample whose truth and cloud answer are known. */
export type Evidence = {
  readonly calibrated: Calibrated;
  /** pi: the propensity it was drawn with. */
  readonly propensity: number;
  readonly edgeRight: boolean;
  readonly cloudRight: boolean;
  /** Sent whatever its score: an external trigger. */
  readonly triggered: boolean;
  /** `halfOf` its frame's identity. */
  readonly half: Half;
};

/** "choose" finds the budget's threshold, "bound" tests and bounds (L3). */
export type Half = "choose" | "bound";

/** Of a frame, by its identity alone (FNV-1a, with its bits mixed): no camera and no moment has all its frames in one. */
export function halfOf(frameId: string): Half {
  let hash = 0x811c9dc5;
  for (let i = 0; i < frameId.length; i++) hash = Math.imul(hash ^ frameId.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) & 1) === 0 ? "choose" : "bound";
}

export type RelearnSettings = {
  /** Loss rate that Learn then Test aims at. Undefined: by learn.ts T5. */
  readonly epsilon?: number | undefined;
  readonly delta: number;
  /** The budget's threshold aims this much (relative) below the policy's share. */
  readonly headroom: number;
  /** Evidence below which nothing is judged. */
  readonly labelsMin: number;
  /** A threshold that sends so nearly the same share is no news. */
  readonly shareStepMin: number;
  /** Nor is a bound that is tighter by less than this, relatively. */
  readonly boundStepMin: number;
};

export const relearnDefaults: RelearnSettings = {
  delta: learningDefaults.delta,
  headroom: learningDefaults.headroom,
  labelsMin: 300,
  shareStepMin: 0.01,
  boundStepMin: 0.05,
};

/** What the labels show of the standing threshold. */
export type StandingFacts = {
  readonly labels: number;
  readonly lossRate: number;
  readonly share: number;
  readonly promiseRefuted: boolean;
  readonly budgetRefuted: boolean;
};

export type RelearnVerdict =
  | { readonly kind: "no-data"; readonly labels: number; readonly labelsMin: number }
  | { readonly kind: "stands"; readonly why: "too-little-evidence" | "no-news"; readonly facts: StandingFacts }
  | {
      readonly kind: "relearned";
      readonly why: "promise-refuted" | "budget-refuted" | "score-better" | "threshold-moved" | "bound-tighter";
      readonly facts: StandingFacts;
      readonly content: PolicyContent;
    };

type Draw = {
  readonly half: Half;
  readonly weight: number;
  readonly score: number;
  readonly priority: boolean;
  readonly lossIfKept: boolean;
};

type Threshold = { readonly scoreMin: number; readonly guarantee: Guarantee };

export function relearn(
  standing: RoutingPolicy,
  evidence: readonly Evidence[],
  settings: RelearnSettings = relearnDefaults,
): RelearnVerdict {
  const { labelsMin, shareStepMin, boundStepMin, delta } = settings;
  if (evidence.length < labelsMin) return { kind: "no-data", labels: evidence.length, labelsMin };
  const standingDraws = drawsOf(standing, standing, evidence);
  const facts = factsOf(standing, standingDraws, delta);
  const better = betterScore(standing, evidence);
  const draws = better === null ? standingDraws : drawsOf(standing, better, evidence);
  const found = thresholdOf(draws, standing, settings);
  if (found === null) return { kind: "stands", why: "too-little-evidence", facts };

  const { guarantee } = found;
  const step = Math.abs(guarantee.escalationShare - facts.share);
  const isAsGood = standing.guarantee.method === guarantee.method && standing.guarantee.epsilon <= guarantee.epsilon;
  const why = facts.promiseRefuted
    ? "promise-refuted"
    : facts.budgetRefuted
      ? "budget-refuted"
      : better !== null
        ? "score-better"
        : guarantee.method === "LEARN_THEN_TEST"
          ? isAsGood && step < shareStepMin
            ? null
            : "threshold-moved"
          : guarantee.epsilon <= standing.guarantee.epsilon * (1 - boundStepMin)
            ? "bound-tighter"
            : null;
  const isSame = found.scoreMin === standing.scoreMin && sameGuarantee(guarantee, standing.guarantee);
  if (why === null || isSame) return { kind: "stands", why: "no-news", facts };
  const { policyVersion: _version, modelDigest: _model, createdAt: _at, ...content } = standing;
  return { kind: "relearned", why, facts, content: { ...content, ...better, ...found } };
}

/** Few are enough where labels are few; one needs no choosing among shapes within the choosing of the score. */
const SCORE_SETTINGS = {
  scores: SCORES,
  shapes: [{ features: ["margin"], ridge: 10 }],
} as const satisfies Partial<ScoreSettings>;

type Score = ScoringPolicy & Pick<RoutingPolicy, "sampleUncertaintyMean">;

/** L2. Null: the standing score is as good as any. */
function betterScore(standing: RoutingPolicy, evidence: readonly Evidence[]): Score | null {
  const floor = floorOf(standing, evidence);
  const frames = evidence
    .filter(({ half }) => half === "choose")
    .map(
      ({ calibrated, propensity, edgeRight, cloudRight }): Required<ScoredFrame> => ({
        calibrated,
        edgeRight,
        cloudRight,
        weight: floor / propensity,
      }),
    )
    .sort(inFixedOrder);
  if (frames.length === 0) return null;
  const settings = { ...SCORE_SETTINGS, classes: standing.labels.length };
  const { score } = chooseScore(frames, settings, standing);
  if (score === "standing") return null;
  const scorer = fitScore(frames, score, settings);
  let [sum, total] = [0, 0];
  for (const { calibrated, weight } of frames) {
    const { edgeRight: q } = scoreOf(scorer, calibrated);
    sum += weight * Math.sqrt(q * (1 - q));
    total += weight;
  }
  return { ...scorer, sampleUncertaintyMean: sum / total };
}

/** L5. Frames that are equal in all of these are the same to a fit. */
const inFixedOrder = (a: Required<ScoredFrame>, b: Required<ScoredFrame>): number =>
  a.calibrated.labelIndex - b.calibrated.labelIndex ||
  a.calibrated.margin - b.calibrated.margin ||
  a.calibrated.confidence - b.calibrated.confidence ||
  a.calibrated.entropy - b.calibrated.entropy ||
  a.weight - b.weight ||
  Number(a.edgeRight) - Number(b.edgeRight) ||
  Number(a.cloudRight) - Number(b.cloudRight);

/** L3, and where its threshold would exceed the budget, the budget's (learn.ts T3). Null when the evidence proves nothing. */
function thresholdOf(draws: readonly Draw[], standing: RoutingPolicy, settings: RelearnSettings): Threshold | null {
  const { delta, headroom } = settings;
  const shareMax = standing.escalationShareMax * (1 - headroom);
  const [choosing, testing] = (["choose", "bound"] as const).map((half) => draws.filter((draw) => draw.half === half));
  if (choosing === undefined || choosing.length === 0 || testing === undefined || testing.length === 0) return null;
  const grid = thresholdGrid(choosing.map(({ score }) => score));
  const lossOfKeeping = weightedMean(choosing.map(({ weight, lossIfKept }) => ({ weight, loss: lossIfKept })));
  const epsilon = settings.epsilon ?? epsilonOfLoss(lossOfKeeping);
  const promiseOf = (method: Guarantee["method"], scoreMin: number, bound: number): Threshold => {
    const losses = testing.filter((draw) => isLost(draw, scoreMin)).length;
    const escalationShare = weightedShare(draws, scoreMin);
    return { scoreMin, guarantee: { method, epsilon: bound, delta, n: testing.length, losses, escalationShare } };
  };
  const ofBudget = grid.find((scoreMin) => weightedShare(choosing, scoreMin) <= shareMax);
  const learned = epsilon > 0 ? learnThenBet(testing, grid, epsilon, delta) : null; // no loss below none is to be shown
  if (learned !== null && learned >= (ofBudget ?? Number.POSITIVE_INFINITY)) {
    return promiseOf("LEARN_THEN_TEST", learned, epsilon);
  }
  if (ofBudget === undefined) return null;
  const bound = lossRateUpper(weighed(testing, ofBudget), delta);
  return bound >= 1 ? null : promiseOf("BUDGET_BOUND", ofBudget, bound);
}

/** The loosest threshold the walk reaches; null if not even the safest passes. */
function learnThenBet(draws: readonly Draw[], grid: readonly number[], epsilon: number, delta: number): number | null {
  const bet = new LossBet(
    draws.map(({ weight }) => weight),
    epsilon,
  );
  const losable = draws.filter(({ lossIfKept, priority }) => lossIfKept && !priority);
  losable.sort((a, b) => a.score - b.score);
  let next = 0;
  let reached: number | null = null;
  for (const scoreMin of grid) {
    for (let draw = losable[next]; draw !== undefined && draw.score <= scoreMin; draw = losable[++next]) {
      bet.lose(draw.weight);
    }
    if (!bet.refutes(delta)) break;
    reached = scoreMin;
  }
  return reached;
}

function factsOf(standing: RoutingPolicy, draws: readonly Draw[], delta: number): StandingFacts {
  const { scoreMin, guarantee, escalationShareMax } = standing;
  const losses = weighed(draws, scoreMin);
  const sent = draws.map((draw) => ({ weight: draw.weight, loss: isSent(draw, scoreMin) }));
  return {
    labels: draws.length,
    lossRate: weightedMean(losses),
    share: weightedMean(sent),
    promiseRefuted: lossRateExceeds(losses, guarantee.epsilon, delta),
    budgetRefuted: lossRateExceeds(sent, escalationShareMax, delta),
  };
}

/** Weights relative to the rarest draw; their sum runs in a fixed order, so that a verdict is the same to the last bit whatever
 * order the evidence came in (L5). */
function drawsOf(standing: RoutingPolicy, scorer: ScoringPolicy, evidence: readonly Evidence[]): readonly Draw[] {
  const floor = floorOf(standing, evidence);
  return evidence
    .map(({ calibrated, propensity, edgeRight, cloudRight, triggered, half }) => ({
      half,
      weight: floor / propensity,
      score: scoreOf(scorer, calibrated).score,
      priority: triggered || priorityOf(standing, calibrated) !== null,
      lossIfKept: cloudRight && !edgeRight,
    }))
    .sort(
      (a, b) =>
        a.score - b.score ||
        a.weight - b.weight ||
        Number(a.lossIfKept) - Number(b.lossIfKept) ||
        Number(a.priority) - Number(b.priority) ||
        (a.half < b.half ? -1 : a.half > b.half ? 1 : 0),
    );
}

/** The propensity of the rarest draw, beside which the others weigh less. */
const floorOf = (standing: RoutingPolicy, evidence: readonly Evidence[]): number =>
  evidence.reduce((floor, { propensity }) => Math.min(floor, propensity), standing.samplePropensityMin);

const isSent = (draw: Draw, scoreMin: number): boolean => draw.priority || draw.score > scoreMin;
const isLost = (draw: Draw, scoreMin: number): boolean => draw.lossIfKept && !isSent(draw, scoreMin);

const weighed = (draws: readonly Draw[], scoreMin: number): readonly WeighedDraw[] =>
  draws.map((draw) => ({ weight: draw.weight, loss: isLost(draw, scoreMin) }));

const weightedShare = (draws: readonly Draw[], scoreMin: number): number =>
  weightedMean(draws.map((draw) => ({ weight: draw.weight, loss: isSent(draw, scoreMin) })));

function weightedMean(draws: readonly WeighedDraw[]): number {
  let sum = 0;
  let total = 0;
  for (const { weight, loss } of draws) {
    total += weight;
    if (loss) sum += weight;
  }
  return total === 0 ? 0 : sum / total;
}

const sameGuarantee = (a: Guarantee, b: Guarantee): boolean =>
  a.method === b.method && a.epsilon === b.epsilon && a.n === b.n && a.losses === b.losses;
