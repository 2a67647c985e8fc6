export { nearestCameraFault, sensorOnlyFaults } from "./camera-faults.ts";
export { type NamedFault, nearestPipelineFault } from "./codebook.ts";
export {
  type DetectorSettings,
  type DetectorWindow,
  dayPart,
  detectorDefaults,
  logBar,
  readStream,
  type StreamReading,
  stepStream,
  streamFloats,
} from "./detector.ts";
export { classShares, explainedByMix } from "./label-shift.ts";
export { type LossVerdict, lossOf } from "./loss.ts";
export { locate, type Placed, type PlacedDevice } from "./place.ts";
