/** How many frames a training needs at least. Fewer say too little: an accuracy on 20 frames is off by 10 points as often as not. */

export type FrameCounts = {
  readonly sliceTrain: number;
  readonly sliceTune: number;
  readonly baseTrain: number;
  readonly baseTune: number;
};

export const trainingFramesMin: FrameCounts = { sliceTrain: 50, sliceTune: 20, baseTrain: 200, baseTune: 50 };

const NAMES: Readonly<Record<keyof FrameCounts, string>> = {
  sliceTrain: "labelled frames of the slice to train on",
  sliceTune: "labelled frames of the slice to choose the blend on (TUNE)",
  baseTrain: "base photos to train on",
  baseTune: "base photos to choose the blend on (TUNE)",
};

/** One line for each number that is too small, with the number that would do. */
export function missingFrames(counts: FrameCounts): readonly string[] {
  return (Object.keys(NAMES) as (keyof FrameCounts)[])
    .filter((key) => counts[key] < trainingFramesMin[key])
    .map((key) => `${counts[key]} ${NAMES[key]}; at least ${trainingFramesMin[key]} are needed`);
}
