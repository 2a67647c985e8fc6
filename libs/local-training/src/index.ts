export { LocalJobs } from "./jobs/local-jobs.ts";
export { type LocalTraining, type LocalTrainingProgress, progressLine } from "./local-training.ts";
export { trainLocally } from "./train-locally.ts";
export { blendFiles } from "./training/blends.ts";
export { train } from "./training/train.ts";
