/**
 * The frames of a dataset version, out of those that could be used. Pure, and the same for the same seed.
 *
 * A frame of the random sample comes before others, because it shows what the slice looks like; people's labels come before the
 * cloud's; then the lot decides. The mix of classes stays as it comes, and the propensities of drawn frames are recorded, so that
 * whoever wants the classes balanced can weigh them.
 *
 * C1. No two frames are near-duplicates (near-duplicates.ts N1).
 * C2. The share of one device is bounded (device-share.ts V1).
 * C3. Neither devices nor blocks straddle splits (split.ts S1).
 * C4. Too few frames are refused, with the number that would do. Nothing is trained or judged on less.
 * C5. No frame is both trained on and judged by, over all trainings of the model (used-frames.ts U1, U2), nor are frames of its device or
 *     block (split.ts S4).
 */
import { hashOf } from "@tributary/kernel";
import { bestSplits, type LabelNeeds, leastSplits, neededSplits, splitSum } from "../label-splits.ts";
import { runDefaults } from "../runs/settings.ts";
import { type FrameCandidate, type LeftOutCounts, LeftOutTally, sumOfLeftOut, type UsableFrame } from "./candidate.ts";
import { withinShares } from "./device-share.ts";
import { distinctFrames } from "./near-duplicates.ts";
import { type FramesBySplit, SPLITS, type Split, type SplitPlan, shortSplit, splitPlan } from "./split.ts";
import { type JudgedMoment, type UsedFrame, unjudged, usedText } from "./used-frames.ts";

export type ChoiceSettings = {
  /** Frames that are best. */
  readonly wanted: FramesBySplit;
  /** C4. Of all splits together. */
  readonly framesMin: number;
  /** C4. Of each: groups are not as finely divisible as frames. */
  readonly splitMin: FramesBySplit;
  /** Bits in which pictures that look alike differ. */
  readonly hashDistanceMax: number;
};

const HASH_DISTANCE_MAX = 3;

/** What a training is frozen with. */
export const choiceFor = (labels: LabelNeeds): ChoiceSettings => ({
  wanted: bestSplits(labels),
  framesMin: splitSum(neededSplits(labels)),
  splitMin: leastSplits(labels),
  hashDistanceMax: HASH_DISTANCE_MAX,
});

export const choiceDefaults: ChoiceSettings = choiceFor(runDefaults.labels);

export type ChosenFrame = FrameCandidate & { readonly split: Split };

export type Choice =
  | {
      readonly kind: "chosen";
      /** In order of their digests. */
      readonly frames: readonly ChosenFrame[];
      readonly grouping: SplitPlan["grouping"];
      /** Whether GATE has only frames of the random sample. */
      readonly isGateDrawn: boolean;
      readonly leftOut: LeftOutCounts;
    }
  | {
      readonly kind: "too-few";
      /** Usable frames, at least wanted, and best. */
      readonly have: number;
      readonly atLeast: number;
      readonly best: number;
      readonly message: string;
      readonly leftOut: LeftOutCounts;
    };

export type ChoiceRequest = {
  readonly slice: string;
  readonly candidates: readonly FrameCandidate[];
  readonly settings: ChoiceSettings;
  readonly seed: string;
  /** C5. Of the validation set, of earlier datasets and of the base set. */
  readonly used?: readonly UsedFrame[];
  /** C5. Usable frames of the slice that are not among the candidates, since they are judged by themselves. */
  readonly judgedMoments?: readonly JudgedMoment[];
  /** Too few frames are chosen, too: for counting (C4). */
  readonly isCount?: boolean;
};

export function chooseFrames(request: ChoiceRequest): Choice {
  const { slice, candidates, settings, seed, used = [], judgedMoments = [], isCount = false } = request;
  const { wanted, framesMin, splitMin } = settings;
  const best = SPLITS.reduce((sum, split) => sum + wanted[split], 0);
  const { frames: usable, judged, isTrained } = unjudged(candidates, used, settings.hashDistanceMax); // C5
  const distinct = distinctFrames(preferredFirst(usable, seed, isTrained), settings.hashDistanceMax); // C1
  const within = withinShares(distinct.frames, best); // C2
  const tally = new LeftOutTally();
  const judgedFrames = judgedMoments.length + judged.length;
  tally.add("judged-before", judgedFrames);
  tally.add("device-share", within.overShare);
  tally.add("enough", distinct.frames.length - within.overShare - within.frames.length);
  const leftOut = () => sumOfLeftOut(distinct.leftOut, tally.counts());
  const tooFew = (frames: number, why: string, beside = 0, trained = 0): Choice => {
    const history = usedText({ judged: judgedFrames, beside, trained });
    const message = `${slice} has ${frames} labelled frames that can be used${why}; at least ${framesMin} are needed, ${best} are best${history}`;
    return { kind: "too-few", have: frames, atLeast: framesMin, best, message, leftOut: leftOut() };
  };
  if (within.frames.length < framesMin && !isCount) return tooFew(within.frames.length, ""); // C4
  const judgedDevices = new Set([
    ...used.filter(({ use }) => use === "judged").map(({ deviceId }) => deviceId),
    ...judgedMoments.map(({ deviceId }) => deviceId),
  ]);
  const history = { judgedDevices, judgedMoments, isTrained };
  const plan = splitPlan({ frames: within.frames, sizes: settings, seed, history }); // C3
  const short = isCount ? undefined : shortSplit(plan, settings);
  tally.add("not-drawn", plan.notDrawn);
  tally.add("cloud-label", plan.cloudLabels);
  tally.add("beside-judged", plan.besideJudged);
  tally.add("trained-before", plan.trainedBefore);
  if (short !== undefined) {
    const why = `, of which ${plan.frames[short].length} can be ${short} (${splitMin[short]} are needed): a ${plan.grouping === "device" ? "device" : "block of a device's frames"} is in one split only, and ${short === "TRAIN" ? "the others need theirs" : "only people's labels count there"}`;
    return tooFew(within.frames.length, why, plan.besideJudged, within.frames.filter(isTrained).length); // C4
  }
  const chosen = SPLITS.flatMap((split) => plan.frames[split].map((frame): ChosenFrame => ({ ...frame, split })));
  chosen.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const { grouping, isGateDrawn } = plan;
  return { kind: "chosen", frames: chosen, grouping, isGateDrawn, leftOut: leftOut() };
}

/** The order in which frames are chosen: by label and draw, new ones before those that were trained on, then by lot, whatever order they
 * come in. */
export function preferredFirst<F extends UsableFrame>(
  frames: readonly F[],
  seed: string,
  isTrained: (frame: F) => boolean = () => false,
): F[] {
  const ranks = frames.map((frame) => ({
    frame,
    rank: (frame.source === "CLOUD" ? 4 : 0) + (frame.sampleDrawn ? 0 : 2) + (isTrained(frame) ? 1 : 0),
    lot: hashOf(`${seed}\n${frame.frameId}`),
  }));
  ranks.sort((a, b) => a.rank - b.rank || a.lot - b.lot || (a.frame.frameId < b.frame.frameId ? -1 : 1));
  return ranks.map(({ frame }) => frame);
}
