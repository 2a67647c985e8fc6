/** How many labelled frames a training needs, by what they are for. The same numbers are checked when it is asked for, when labels are counted, when
 * the dataset is frozen, and by the training itself: people do not label for one that cannot start. */
import { trainingFramesMin } from "./local/enough.ts";

export type LabelSplits = { readonly TRAIN: number; readonly TUNE: number; readonly GATE: number };

export type LabelNeeds = { readonly wanted: number; readonly trainMin: number; readonly gateMin: number };

/** With less in sum nothing is trained. */
export const neededSplits = ({ trainMin, gateMin }: Omit<LabelNeeds, "wanted">): LabelSplits => ({
  TRAIN: trainMin,
  TUNE: trainingFramesMin.sliceTune,
  GATE: gateMin,
});

/** What each split has at least: a device is in one split, so that splits are not as finely divisible as frames. */
export const leastSplits = ({ trainMin, gateMin }: Omit<LabelNeeds, "wanted">): LabelSplits => ({
  TRAIN: Math.min(trainMin, Math.max(trainingFramesMin.sliceTrain, Math.floor(0.8 * trainMin))),
  TUNE: trainingFramesMin.sliceTune,
  GATE: Math.floor(0.9 * gateMin),
});

/** Half is trained on, an eighth is tuned on, the others are judged on, as far as each still has what it needs at least. */
export function bestSplits({ wanted, ...least }: LabelNeeds): LabelSplits {
  const min = neededSplits(least);
  const tuned = Math.max(min.TUNE, Math.round(wanted / 8));
  const GATE = Math.max(min.GATE, Math.min(wanted - min.TRAIN - min.TUNE, wanted - Math.round(wanted / 2) - tuned));
  const TUNE = Math.max(min.TUNE, Math.min(tuned, wanted - min.TRAIN - GATE));
  return { TRAIN: Math.max(min.TRAIN, wanted - TUNE - GATE), TUNE, GATE };
}

export const splitSum = ({ TRAIN, TUNE, GATE }: LabelSplits): number => TRAIN + TUNE + GATE;

/** For people. */
export const splitWords = ({ TRAIN, TUNE, GATE }: LabelSplits): string =>
  `${TRAIN} to train on, ${TUNE} to choose with, ${GATE} to judge by`;
