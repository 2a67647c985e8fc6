export { type Examination, type ExamineSettings, slowdownOf } from "./checking/examine.ts";
export { CORRUPTIONS, type CorruptionName } from "./gating/corruptions.ts";
export { htmlOf } from "./gating/html.ts";
export { marginsSchema } from "./gating/margins.ts";
export { type DriftedSlice, measure } from "./gating/measure.ts";
export { type GatesBefore, seenOf } from "./gating/seen.ts";
export { initKeys, keyFolders, prepareRotation, publishPrepared, signPrepared } from "./keys/key-folder.ts";
export { cameraFaults, faultyJpeg, plainFrame } from "./packing/camera-faults.ts";
export { temperatureOf } from "./packing/documents.ts";
export { tensorsThatFit } from "./packing/fit.ts";
export { type PackOptions, packModel, SPLIT_SEED } from "./packing/pack.ts";
export { learnFirstPolicy, type PolicySettings } from "./packing/policy.ts";
export { suspect } from "./packing/suspect.ts";
export { readSettings } from "./settings-file.ts";
export { runTask } from "./tasks/run-task.ts";
export {
  BASE_SLICE,
  DEVICES_FILE,
  firstHalfOf,
  halvesOf,
  isSlice,
  LABELS_FILE,
  SLICES_FILE,
  type ValidationFrame,
} from "./validation/frames.ts";
export type { HashedPictures } from "./validation/hash-pictures.ts";
export {
  baseSetLimits,
  bytesIn,
  checkManifest,
  countsOf,
  describeFolder,
  parseValidationManifest,
  slicesOf,
  someOf,
  type ValidationManifest,
  validationLimits,
} from "./validation/manifest.ts";
