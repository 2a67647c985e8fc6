export { LocalJobs } from "./jobs/local-jobs.ts";
export type { LocalTraining, LocalTrainingProgress } from "./local-training.ts";
export { trainLocally } from "./train-locally.ts";
