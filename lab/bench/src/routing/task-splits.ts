/** Policies packed from seeded splits of a task, evaluated on the frames that were not packed. */
import { type Random, seededRandom } from "@tributary/kernel";
import { learnFirstPolicy, type PolicySettings, temperatureOf } from "@tributary/model-packaging";
import {
  calibrate,
  FIXED_SCORES,
  fixedScoreOf,
  gainShare,
  orderByScore,
  type ScoreName,
  scoreOf,
} from "@tributary/routing";
import { pairedDifference } from "@tributary/statistics";
import type { Task, TaskFrame } from "./tasks.ts";

export const AT_SHARE = 0.25;

export type SplitResult = {
  readonly seed: number;
  readonly score: ScoreName;
  /** Sent by the packed policy, of the frames that judge it. */
  readonly share: number;
  readonly edge: number;
  readonly cloud: number;
  readonly hybrid: number;
  /** The policy less confidence at its share: correct answers per frame, with the paired 95 % interval. */
  readonly lead: { readonly difference: number; readonly lower: number; readonly upper: number };
  /** Correct answers per frame gained at `AT_SHARE` by the policy's score, and by each fixed one. */
  readonly gain: number;
  readonly fixedGains: readonly number[];
};

/** One split: `settings` are those that a person may give to packing. */
export function splitResult(task: Task, seed: number, settings: PolicySettings): SplitResult {
  const order = shuffled(task.frames, seededRandom(seed));
  const packed = order.slice(0, task.validation);
  const observed = {
    labels: task.labels,
    frames: packed.map(({ file, label }) => ({ file, path: file, label, slice: "base" })),
    inferences: packed.map(({ edge }) => ({ logits: edge })),
  };
  const temperature = temperatureOf(observed);
  const cloudInferences = packed.map(({ cloud }) => ({ logits: cloud }));
  const { policy } = learnFirstPolicy(observed, temperature, cloudInferences, settings);

  const judged = order.slice(task.validation).map((frame) => {
    const calibrated = calibrate(frame.edge, temperature);
    const cloudRight = calibrate(frame.cloud, 1).labelIndex === frame.label;
    return { calibrated, edgeRight: calibrated.labelIndex === frame.label, cloudRight };
  });
  const scores = judged.map(({ calibrated }) => scoreOf(policy, calibrated).score);
  const fixedOrders = FIXED_SCORES.map((score) =>
    orderByScore(judged.map(({ calibrated }) => fixedScoreOf(score, calibrated))),
  );
  const sent = scores.map((score) => score > policy.scoreMin);
  const count = sent.filter(Boolean).length;
  const byConfidence = new Set(fixedOrders[0]?.subarray(0, count));
  const answers = (isSent: (i: number) => boolean) =>
    judged.map(({ edgeRight, cloudRight }, i) => (isSent(i) ? cloudRight : edgeRight));
  const ours = answers((i) => sent[i] === true);
  const theirs = answers((i) => byConfidence.has(i));
  const only = (a: readonly boolean[], b: readonly boolean[]) => a.filter((right, i) => right && !b[i]).length;
  const mean = (right: readonly boolean[]) => right.filter(Boolean).length / right.length;
  const [edge, cloud] = [mean(answers(() => false)), mean(answers(() => true))];
  const gainAt = (by: Int32Array) => {
    const kept = gainShare(judged, by, AT_SHARE);
    return Number.isNaN(kept) ? 0 : kept * (cloud - edge);
  };
  return {
    seed,
    score: scoreNameOf(policy),
    share: count / judged.length,
    edge,
    cloud,
    hybrid: mean(ours),
    lead: pairedDifference(only(ours, theirs), only(theirs, ours), judged.length),
    gain: gainAt(orderByScore(scores)),
    fixedGains: fixedOrders.map(gainAt),
  };
}

function shuffled(frames: readonly TaskFrame[], random: Random): readonly TaskFrame[] {
  return frames
    .map((frame) => ({ frame, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ frame }) => frame);
}

/** A fixed score has one feature and a cloud that is equally good everywhere. */
function scoreNameOf({
  features,
  cloudRight,
}: {
  features: readonly string[];
  cloudRight: { weights: readonly number[] };
}) {
  const isFixed = cloudRight.weights.every((weight) => weight === 0);
  return isFixed ? (features[0] as ScoreName) : "learned";
}
