/** What runs need of datasets: labels are counted, versions are frozen, and their frames are read. */
import type { Dataset, TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { LabelCount } from "@tributary/training";

/** It cannot be done with what there is; the text names what would do. */
export type Refused = { readonly refused: string };

export type FrozenDatasets = {
  readonly dataset: Dataset;
  /** A version of the base set that the dataset is trained with, whose record is not written yet; null: the one that is there. */
  readonly base: Dataset | null;
};

export interface Datasets {
  /** The DVC remote as backends reach it: `file://` or `s3://`. */
  readonly remote: string;
  /** Resolves when what Kafka held at the start was read. */
  readonly caughtUp: Promise<void>;
  /** Usable labels of the run's slice, as `freeze` would take them now. Refused where no number of labels would do, e.g. without a
   * base set. */
  count(run: TrainingRun, signal: AbortSignal): Promise<LabelCount | Refused>;
  /** What the model's base set lacks for any training of it, with what would do; null: nothing. */
  baseLacks(model: string): string | null;
  /** Idempotent by the run: another call, also of another instance, gives the same version as long as its frames and labels are the
   * same. The frames are stored when it resolves; the records are written by the caller. */
  freeze(run: TrainingRun, signal: AbortSignal): Promise<FrozenDatasets | Refused>;
  /** A version's record. */
  get(model: string, version: string): Dataset | undefined;
  /** Writes the frames, `manifest.jsonl` and `labels.json` into a folder. */
  materialise(model: string, version: string, dir: string, signal: AbortSignal): Promise<void>;
  /** Labels of a model's archived frames that came after this moment. */
  labelsSince(model: string, at: Instant): number;
}

/** Datasets */
export const DATASETS = Symbol("Datasets");
