/** What changed on a fleet, where, and why: drift of inputs, faults of preprocessing, loss. */

export { FaultNames } from "./camera-faults.ts";
export { type NamedFault, nearestPipelineFault } from "./codebook.ts";
export { decideVerdicts } from "./decide-verdicts.ts";
export {
  type DetectorSettings,
  dayPart,
  detectorDefaults,
  logBar,
  readStream,
  stepStream,
  streamFloats,
} from "./detector.ts";
export { DeviceDrift, type FoldSettings, fleetStreams } from "./device-drift.ts";
export { type DriftDocuments, type DriftReference, driftReferenceOf } from "./drift-reference.ts";
export type { CameraDrift, DeviceFindings } from "./findings.ts";
export { FleetView } from "./fleet-view.ts";
export { classShares, explainedByMix } from "./label-shift.ts";
export { type ClassedDraw, LossTest } from "./loss.ts";
export { hasPast, hasRisen } from "./own-past.ts";
export { locate, type PlacedDevice } from "./place.ts";
export { DriftReviews } from "./reviews/drift-reviews.ts";
export { decideReviewedVerdicts, openByCause } from "./reviews/reviewed-verdicts.ts";
export { type VerdictSettings, verdictDefaults } from "./settings.ts";
