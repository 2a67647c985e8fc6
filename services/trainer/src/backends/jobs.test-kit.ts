/** A job to start, for tests of backends. */
import { type Clock, seededRandom, systemClock } from "@tributary/kernel";
import { recipeFor, type TrainingJob } from "@tributary/training";
import type { JobPlaces, TrainingBackend } from "./backend.ts";
import { backendOf, backendSchema } from "./index.ts";
import type { LocalSources } from "./local.ts";

export const someJob = (change: Partial<TrainingJob> = {}): TrainingJob => ({
  runId: "5f0c1d2e",
  model: "edge",
  parentDigest: "ab".repeat(32),
  dataset: "edge/3",
  baseDataset: "edge/1",
  slice: "site=north",
  seed: "1",
  recipe: recipeFor(300, 20_000),
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

const none = (): Promise<never> => Promise.reject(new Error("not asked for here"));
const noSources: LocalSources = { packageInto: none, datasetInto: none };

export const opened = (config: unknown, clock: Clock = systemClock): TrainingBackend =>
  backendOf(backendSchema.parse(config), { clock, random: seededRandom(1), dataDir: "", sources: noSources });
