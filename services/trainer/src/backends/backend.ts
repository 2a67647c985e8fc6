/** The port of training backends. Jobs outlive the trainer: a backend is asked by the job's id, by whichever instance owns the run.
 *
 * P1. `start` is idempotent by the job's `runId` and attempt: a second call returns the same job. */
import type { TrainingJob } from "@tributary/training";

export type JobState =
  /** `progress`: 0 to 1; null: the backend does not say. */
  | { readonly kind: "running"; readonly progress: number | null; readonly line: string }
  /** `model.onnx` and `result.json` are where the job was asked to put them. */
  | { readonly kind: "succeeded" }
  /** `isRetryable`: another attempt may succeed, e.g. after a crash. */
  | { readonly kind: "failed"; readonly reason: string; readonly isRetryable: boolean }
  | { readonly kind: "cancelled" }
  /** The backend does not know the job (any more). */
  | { readonly kind: "unknown" };

/** Where a job finds its inputs and leaves its results. URIs are `file://`, `s3://` or `http://`, as the trainer is configured. */
export type JobPlaces = {
  /** Of the deployed package: a folder, or the model registry's URL for its digest. */
  readonly parent: string;
  /** A DVC remote: `files/md5/ab/cdef…`. */
  readonly datasets: string;
  /** MD5s of the dataset's and the base set's lists of files, for `dvc get`. */
  readonly datasetMd5: string;
  readonly baseMd5: string;
  /** Where `model.onnx` and `result.json` go. */
  readonly results: string;
};

export interface TrainingBackend {
  readonly name: string;
  /** Returns the job's id. */
  start(job: TrainingJob, attempt: number, places: JobPlaces, signal: AbortSignal): Promise<string>;
  status(jobId: string, signal: AbortSignal): Promise<JobState>;
  /** Resolves when the job is asked to end; ending shows in `status`. Of an unknown job: nothing. */
  cancel(jobId: string, signal: AbortSignal): Promise<void>;
  /** The newest lines, oldest first; empty where the backend keeps none. */
  logs(jobId: string, linesMax: number, signal: AbortSignal): Promise<readonly string[]>;
  /** Before this instance ends: ends what cannot go on without it. */
  close?(): Promise<void>;
}

/** TrainingBackend */
export const BACKEND = Symbol("TrainingBackend");
