/**
 * The frontier that `router simulate` estimates from a labelled random sample, against the true one: each run is traffic
 * drawn from the test photos with replacement, logged by the frozen policy with its own propensities.
 *
 * The truth is the whole split's; a run sees the outcomes of its drawn frames alone. The same draws also relearn the policy
 * (routing/relearn.ts); every guarantee that it gives is checked on the split.
 */
import type { RoutingPolicy } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import {
  type Evidence,
  halfOf,
  type LoggedFrame,
  outcomeOf,
  priorityOf,
  relearn,
  relearnDefaults,
  samplePropensity,
  scoreOf,
  simulateFrontier,
} from "@tributary/routing";
import type { TestFrame } from "./judged.ts";

export const SIMULATED_SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5] as const;

export type SimulatedPoint = {
  readonly share: number;
  readonly truth: number;
  readonly bias: number;
  readonly coverage: number;
  readonly halfWidthMean: number;
};

export type SimulatedRuns = {
  readonly runs: number;
  readonly frames: number;
  readonly labelledMean: number;
  readonly sampleShare: number;
  readonly points: readonly SimulatedPoint[];
  readonly relearned: { readonly promises: number; readonly broken: number; readonly epsilonMean: number };
};

export function simulatedRuns(
  photos: readonly TestFrame[],
  policy: RoutingPolicy,
  options: { readonly runs: number; readonly frames: number; readonly seed: number },
): SimulatedRuns {
  const scored = photos.map((photo) => {
    const { score, edgeRight: q } = scoreOf(policy, photo.calibrated);
    const priority = priorityOf(policy, photo.calibrated) !== null;
    return { photo, score: priority ? Number.POSITIVE_INFINITY : score, priority, pi: samplePropensity(policy, q) };
  });
  const truths = SIMULATED_SHARES.map((share) => truthAt(scored, share));
  const candidates = scored.map(({ photo, score, priority }) => ({
    score,
    priority,
    lossIfKept: photo.cloudRight && !photo.edgeRight,
  }));
  const sums = SIMULATED_SHARES.map(() => ({ error: 0, covered: 0, halfWidth: 0 }));
  const relearned = { promises: 0, broken: 0, epsilon: 0 };
  let labelled = 0;
  let sampleShare = 0;
  for (let run = 0; run < options.runs; run++) {
    const random = seededRandom(options.seed + run);
    const logged = Array.from({ length: options.frames }, () => {
      const { photo, pi } = scored[Math.floor(random() * scored.length)] as (typeof scored)[number];
      return loggedFrame(photo, pi, random() < pi);
    });
    const frontier = simulateFrontier(logged, policy, SIMULATED_SHARES);
    labelled += frontier.labelled;
    sampleShare += frontier.sampleShare;
    frontier.points.forEach(({ accuracy, lower, upper }, i) => {
      const [sum, truth] = [sums[i], truths[i] ?? Number.NaN];
      if (sum === undefined) return;
      sum.error += accuracy - truth;
      sum.halfWidth += (upper - lower) / 2;
      if (lower <= truth && truth <= upper) sum.covered++;
    });
    const promise = promiseOf(policy, logged);
    if (promise === null) continue;
    relearned.promises++;
    relearned.epsilon += promise.epsilon;
    if (outcomeOf(candidates, promise.scoreMin).losses / photos.length > promise.epsilon) relearned.broken++;
  }
  const { runs } = options;
  return {
    runs,
    frames: options.frames,
    labelledMean: labelled / runs,
    sampleShare: sampleShare / runs,
    points: SIMULATED_SHARES.map((share, i) => ({
      share,
      truth: truths[i] ?? Number.NaN,
      bias: (sums[i]?.error ?? 0) / runs,
      coverage: (sums[i]?.covered ?? 0) / runs,
      halfWidthMean: (sums[i]?.halfWidth ?? 0) / runs,
    })),
    relearned: {
      promises: relearned.promises,
      broken: relearned.broken,
      epsilonMean: relearned.epsilon / Math.max(1, relearned.promises),
    },
  };
}

function loggedFrame(photo: TestFrame, propensity: number, drawn: boolean): LoggedFrame {
  const { calibrated, edgeRight, cloudRight } = photo;
  const known = (right: boolean) => (drawn ? right : null);
  return {
    calibrated,
    propensity,
    drawn,
    triggered: false,
    edgeRight: known(edgeRight),
    cloudRight: known(cloudRight),
  };
}

/** What the labels would publish if every finding were news. */
function promiseOf(policy: RoutingPolicy, logged: readonly LoggedFrame[]) {
  const evidence = logged.flatMap(({ calibrated, propensity, edgeRight, cloudRight, triggered }, i): Evidence[] =>
    edgeRight === null || cloudRight === null
      ? []
      : [{ calibrated, propensity, edgeRight, cloudRight, triggered, half: halfOf(`${i}`) }],
  );
  const verdict = relearn(policy, evidence, {
    ...relearnDefaults,
    labelsMin: 100,
    shareStepMin: 0,
    boundStepMin: Number.NEGATIVE_INFINITY,
  });
  if (verdict.kind !== "relearned") return null;
  return { scoreMin: verdict.content.scoreMin, epsilon: verdict.content.guarantee.epsilon };
}

function truthAt(scored: readonly { readonly photo: TestFrame; readonly score: number }[], share: number): number {
  const order = [...scored].sort((a, b) => b.score - a.score);
  const sent = Math.round(share * order.length);
  return order.filter(({ photo }, i) => (i < sent ? photo.cloudRight : photo.edgeRight)).length / order.length;
}
