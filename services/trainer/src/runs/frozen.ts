import type { TrainingRun } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import type { Datasets } from "../datasets/port.ts";

/** The run's dataset and its base set. Throws a Failure to retry while their records are not read yet. */
export function frozenOf(datasets: Datasets, { model, datasetVersion }: TrainingRun) {
  const dataset = datasets.get(model, datasetVersion);
  const base = dataset === undefined ? undefined : datasets.get(model, dataset.baseVersion);
  if (dataset !== undefined && base !== undefined) return { dataset, base };
  throw new Failure("dataset-unread", "retry", `the record of dataset ${model}/${datasetVersion} is not read yet`);
}
