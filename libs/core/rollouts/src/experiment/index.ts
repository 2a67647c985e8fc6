export type { ExperimentChange, ExperimentVerdict } from "./events.ts";
export {
  type ArmComparison,
  type ArmEvidence,
  EXPERIMENT_FORMAT,
  type ExperimentEvidence,
  experimentEvidenceOf,
} from "./evidence.ts";
export {
  applyExperimentEvent,
  type Experiment,
  type ExperimentArm,
  type ExperimentEvent,
  endOf,
  isExperimentEvent,
} from "./experiment.ts";
export { flipsAt, type GridCell, gridMultiples, gridOf } from "./flips.ts";
export {
  type ArmVerdict,
  type Difference,
  ExperimentJudge,
  type ExperimentSettings,
  experimentDefaults,
} from "./judge.ts";
export { type ArmLanes, type LaneName, laneNames, type Rates, unitOf, utilityOf, type Weights } from "./lanes.ts";
export { hoursToDecide, plannedVariances } from "./plan.ts";
export { logRatioMismatch } from "./sample-ratio.ts";
export { type ExperimentSpec, readExperiment, weightsOf, writtenExperiment } from "./spec.ts";
