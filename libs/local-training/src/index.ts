export { type LocalJobInputs, type LocalJobState, LocalJobs } from "./jobs/local-jobs.ts";
export {
  type LocalTraining,
  type LocalTrainingCode,
  type LocalTrainingLimits,
  type LocalTrainingProgress,
  progressLine,
} from "./local-training.ts";
export { type TrainLocallyOptions, trainLocally } from "./train-locally.ts";
