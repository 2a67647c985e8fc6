/** What changed on a fleet, where, and why: drift of inputs, faults of preprocessing, loss. */

export { nearestCameraFault, sensorOnlyFaults } from "./camera-faults.ts";
export { type NamedFault, nearestPipelineFault } from "./codebook.ts";
export { decideVerdicts } from "./decide-verdicts.ts";
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
export { DeviceDrift, type FoldSettings, fleetStreams } from "./device-drift.ts";
export { type DriftDocuments, type DriftReference, type DriftStream, driftReferenceOf } from "./drift-reference.ts";
export type { CameraDrift, CameraFindings, DeviceFindings, LabelledDraw, StreamAlarm } from "./findings.ts";
export { FleetView } from "./fleet-view.ts";
export type { GoldenOutcome } from "./golden.ts";
export { classShares, explainedByMix } from "./label-shift.ts";
export { type LossVerdict, lossOf } from "./loss.ts";
export type { LabelOutcome, SketchOutcome } from "./outcomes.ts";
export { locate, type Placed, type PlacedDevice } from "./place.ts";
export { type VerdictSettings, verdictDefaults } from "./settings.ts";
