/** What a local training is given, what it reports, and its messages to the process that started it. */
import type { FailureAdvice } from "@tributary/kernel";
import type { TrainingJob, TrainingResult } from "@tributary/training";

export type LocalTraining = {
  readonly job: TrainingJob;
  /** The deployed package. */
  readonly parentDir: string;
  /** Folders with `manifest.jsonl` and the frames that it lists. */
  readonly datasetDir: string;
  readonly baseDir: string;
  /** Of this training alone: results, and what it is resumed from. */
  readonly outDir: string;
  readonly limits: LocalTrainingLimits;
};

export type LocalTrainingLimits = {
  /** Of ONNX Runtime. Another number may round sums differently. */
  readonly threads: number;
  /** Resident memory. It can grow between two checks: the machine's own limits still apply. */
  readonly memoryBytesMax: number;
  /** Of the whole training, over restarts. */
  readonly msMax: number;
  readonly cpuSecondsMax?: number;
};

/** Closed list. Failures of the package and of its graph keep their own codes. */
export type LocalTrainingCode =
  | "training-job-invalid"
  | "training-manifest-invalid"
  | "training-parent-unsupported"
  | "training-label-unknown"
  | "training-labels-contradict"
  | "training-frame-missing"
  | "training-frames-too-few"
  | "training-diverged"
  | "training-cpu-exceeded"
  | "training-time-exceeded"
  | "training-memory-exceeded"
  | "training-superseded"
  | "training-stopped"
  | "training-died"
  | "training-failed";

export type LocalTrainingProgress = {
  readonly phase: "frames" | "training" | "blends";
  /** Frames, steps or blends. */
  readonly done: number;
  readonly all: number;
  /** Mean over the last steps; null before the first one. */
  readonly loss: number | null;
  /** Until the phase ends; null while nothing is known. */
  readonly etaMs: number | null;
};

export type ChildTask = {
  readonly training: LocalTraining;
  /** A folder whose training only one process may run (jobs/process-files.ts); null: nobody else knows `outDir`. */
  readonly processesDir: string | null;
};

export type ChildMessage =
  | { readonly kind: "progress"; readonly progress: LocalTrainingProgress }
  | { readonly kind: "done"; readonly result: TrainingResult }
  | { readonly kind: "failed"; readonly code: string; readonly advice: FailureAdvice; readonly message: string };

/** Of the whole training, 0 to 1: by far the most of its time is spent on steps. */
export function shareDone({ phase, done, all }: LocalTrainingProgress): number {
  const share = all === 0 ? 0 : done / all;
  switch (phase) {
    case "frames":
      return 0.1 * share;
    case "training":
      return 0.1 + 0.8 * share;
    case "blends":
      return 0.9 + 0.1 * share;
    default:
      return phase satisfies never;
  }
}

const UNITS = { frames: "frame", training: "step", blends: "blend" } as const;

/** A line for people. */
export function progressLine({ phase, done, all, loss, etaMs }: LocalTrainingProgress): string {
  const parts = [`${UNITS[phase]} ${done} of ${all}`];
  if (phase === "training" && loss !== null) parts.push(`loss ${loss.toFixed(4)}`);
  if (etaMs !== null && done < all) parts.push(`about ${Math.ceil(etaMs / 1_000)} s left`);
  return parts.join(", ");
}
