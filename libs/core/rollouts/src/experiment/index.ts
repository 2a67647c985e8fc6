export { type ExperimentEvent, isExperimentEvent } from "../events.ts";
export type { ExperimentChange, ExperimentProposal, ExperimentVerdict } from "./events.ts";
export {
  type ArmComparison,
  type ArmEvidence,
  EXPERIMENT_FORMAT,
  type ExperimentEvidence,
  experimentEvidenceOf,
} from "./evidence.ts";
export { applyExperimentEvent, type Experiment } from "./experiment.ts";
export { Experiments } from "./experiments.ts";
export { flipsAt, gridMultiples, gridOf } from "./flips.ts";
export {
  type ArmVerdict,
  ExperimentJudge,
  type ExperimentSettings,
  experimentDefaults,
} from "./judge.ts";
export { type ArmLanes, type LaneName, laneNames, type Rates, unitOf, utilityOf, type Weights } from "./lanes.ts";
export { deviceSdAssumed, hoursToDecide, plannedVariances, withUnequalLabels } from "./plan.ts";
export { logRatioMismatch } from "./sample-ratio.ts";
export { type ExperimentSpec, readExperiment, weightsOf, writtenExperiment } from "./spec.ts";
export { comparisonWords, experimentChangeWords, flipWords, verdictWords } from "./words.ts";
