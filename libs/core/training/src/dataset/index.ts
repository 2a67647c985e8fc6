/** Which frames become a dataset version, and what a version is. Pure. */
export { type BaseCounts, baseCountsMin, tunedPhotos, whatBaseLacks } from "./base-splits.ts";
export {
  type FrameCandidate,
  type FrameLabel,
  type LabelledFrame,
  type LeftOutCounts,
  LeftOutTally,
  sumOfLeftOut,
  type UsableFrame,
} from "./candidate.ts";
export {
  type ChoiceSettings,
  type ChosenFrame,
  choiceDefaults,
  choiceFor,
  chooseFrames,
  preferredFirst,
} from "./choose-frames.ts";
export { withinShares } from "./device-share.ts";
export { type DatasetDifference, datasetDifference } from "./difference.ts";
export { DATASET_FRAMES_MAX, frameFile, isOfSlice, manifestText, parseDatasetManifest } from "./manifest.ts";
export { differenceHashOf, HASH_HEIGHT, HASH_WIDTH } from "./picture-hash.ts";
export { DatasetTable, datasetContents, datasetDetail, datasetReference, datasetView } from "./record.ts";
export { type LabelRules, usableFrames } from "./usable-labels.ts";
export { type UsedFrame, unjudged, usesOf } from "./used-frames.ts";
