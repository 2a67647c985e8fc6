export { assignCohorts, type Cohorts, controlOf, type FleetDevice, reachedBy, STRATA_DEVICES_MAX } from "./cohorts.ts";
export { comparisonsOf } from "./comparison.ts";
export {
  type ControllerSettings,
  controllerDefaults,
  type EvidenceState,
  type Proposal,
  RolloutController,
} from "./controller.ts";
export type { Command, Seen } from "./decide.ts";
export { type DesiredChange, DeviceSlots, type DeviceState, UNPINNED, type Wanted } from "./device-slots.ts";
export { type EventRecord, eventOfRecord, isEventKind, recordOfEvent } from "./event-record.ts";
export { isExperimentEvent, type LogEvent, type PauseReason, type RolloutChange, type RolloutEvent } from "./events.ts";
export { type AnalysisEvidence, type AnalysisLook, analysisEvidence, analysisEvidenceOf } from "./evidence.ts";
export { compareGenerations, EPOCH_MAX, epochOf, type Generation, generationOf } from "./generation.ts";
export { type Applied, FINISHED_MAX, RolloutLog } from "./log.ts";
export { nearest } from "./nearest.ts";
export { pathText, type ReadSpec, readSpec, type SpecPath, type SpecProblem } from "./problems.ts";
export { applyEvent, isFinished, type Phase, type Rollout, reachedDevices, stepOf } from "./rollout.ts";
export { segmentsOf } from "./segments.ts";
export {
  type MetricSpec,
  maintenanceWindowOf,
  type RolloutSpec,
  type RolloutStep,
  rolloutSpec,
  writtenSpec,
} from "./spec.ts";
export {
  abandonedWords,
  changeWords,
  crossCheckWords,
  leftWords,
  type PublishedChange,
  pausedWords,
  reachedWords,
  stepWords,
  worstSegmentWords,
} from "./words.ts";
