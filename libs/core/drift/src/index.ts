/** What changed on a fleet, where, and why: drift of inputs, faults of preprocessing, loss. */
export { decideVerdicts, type VerdictSettings, verdictDefaults } from "./decide-verdicts.ts";
export { DeviceDrift, type FoldSettings } from "./device-drift.ts";
export { type DriftDocuments, type DriftReference, type DriftStream, driftReferenceOf } from "./drift-reference.ts";
export type { CameraDrift, CameraFindings, DeviceFindings, LabelledDraw, StreamAlarm } from "./findings.ts";
export { FleetView, type GoldenOutcome } from "./fleet-view.ts";
export type { LabelOutcome, SketchOutcome } from "./outcomes.ts";
