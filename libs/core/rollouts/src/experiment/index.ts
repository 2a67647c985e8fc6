export { flipsAt, gridMultiples, gridOf } from "./flips.ts";
export { type ArmVerdict, ExperimentJudge, type ExperimentSettings, experimentDefaults } from "./judge.ts";
export { type ArmLanes, type LaneName, laneNames, type Rates, unitOf, utilityOf, type Weights } from "./lanes.ts";
export { hoursToDecide, plannedVariances } from "./plan.ts";
export { logRatioMismatch } from "./sample-ratio.ts";
export { type ExperimentSpec, readExperiment, weightsOf, writtenExperiment } from "./spec.ts";
