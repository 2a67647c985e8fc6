/** A job to start, for tests of backends. */
import { recipeFor, type TrainingJob } from "@tributary/training";
import type { JobPlaces } from "./backend.ts";

export const someJob = (change: Partial<TrainingJob> = {}): TrainingJob => ({
  runId: "5f0c1d2e",
  model: "edge",
  parentDigest: "ab".repeat(32),
  dataset: "edge/3",
  baseDataset: "edge/1",
  slice: "site=north",
  seed: "1",
  recipe: recipeFor(300),
  ...change,
});

export const somePlaces = (change: Partial<JobPlaces> = {}): JobPlaces => ({
  parent: "http://registry:8084/models/edge",
  datasets: "s3://datasets/dvc",
  datasetMd5: "0123456789abcdef0123456789abcdef",
  baseMd5: "fedcba9876543210fedcba9876543210",
  results: "s3://results/5f0c1d2e/1",
  ...change,
});
