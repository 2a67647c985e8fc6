/** trainer's own API: what the CLI and the gateway ask of it. */
import { trainerDatasets } from "./datasets.ts";
import { modelRegistryApi } from "./model-registry.ts";

/** Photos of a base set are uploaded as the files of a package are. */
const { has, put } = modelRegistryApi.blobs;

export const trainerApi = {
  datasets: trainerDatasets,
  blobs: { has, put },
};
