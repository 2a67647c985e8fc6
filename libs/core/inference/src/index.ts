export { anyHardware, fitsHardware } from "./hardware.ts";
export { jpegEncoder, jpegHeader, jpegQuality } from "./jpeg.ts";
export { type ListedModel, listedPartOf } from "./listed-model.ts";
export {
  isPackagePath,
  isWorld,
  type ModelManifest,
  type PackageFile,
  type PackageManifest,
  packageFiles,
  packageLimits,
  parseAnyManifest,
  parseManifest,
  type WorldManifest,
} from "./manifest.ts";
export type { ModelPackage, OpenPackage } from "./package.ts";
export {
  CONFUSION_CLASSES_MAX,
  type Confusion,
  type FaultCodebook,
  type FaultExample,
  type FaultExamples,
  type GoldenFrame,
  goldenReportFrames,
  parseCalibration,
  parseCameraFaults,
  parseConfusion,
  parseFaults,
  parseGoldenIndex,
  parseLabels,
} from "./package-documents.ts";
export { CELL_BYTES, CELL_COLUMNS, CELL_ROWS, CELLS, pictureCells, RIPPLE_SCALE } from "./picture-cells.ts";
export { type Appearance, appearanceOf, type PictureChange, pictureChange } from "./picture-change.ts";
export {
  addFrameGrid,
  FRAME_GRID,
  frameGrid,
  GRID_CELLS,
  GRID_SIDE,
  GRID_SUMS,
  gridParts,
  noPicture,
} from "./picture-grid.ts";
export type {
  Inference,
  InferenceResult,
  InferenceWant,
  LoadedModel,
  LoadOptions,
  ModelHost,
  PictureStatistics,
  RealTime,
} from "./ports.ts";
export {
  type ChannelOrder,
  channelsOf,
  inputShape,
  type Preprocessing,
  packagedPreprocessing,
  parsePreprocessing,
  type ResizeKernel,
  repackedPreprocessing,
} from "./preprocessing.ts";
export { shiftParts } from "./shift-parts.ts";
export {
  binOf,
  buildReferenceSketch,
  classFeatures,
  emptySketch,
  observe,
  parseReferenceSketch,
  type ReferenceSketch,
  SKETCH_BINS,
  type SketchObservation,
  type SketchWindow,
  sketchValue,
} from "./sketch.ts";
export { softmax } from "./softmax.ts";
export { comparePixels, PIXEL_BAND, quantiseTensor } from "./tensor.ts";
