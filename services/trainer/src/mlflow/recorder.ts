/**
 * Shows trainings in MLflow as they change, beside them: no training waits for it, and none fails with it.
 *
 * R1. Of a training only its newest state waits to be shown, and at most RUNS_MAX trainings wait: beyond them the one that waits longest is
 *     dropped, and counted (G9).
 * R2. While MLflow does not answer, everything waits; the pause between two attempts grows to PAUSE_MS_MAX. What MLflow refuses is counted,
 *     and left until the training changes again.
 * R3. Whoever takes the trainings over shows what the owner before may not have shown: open ones, and those that ended within RECENT_MS.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { TrainingRun } from "@tributary/contracts";
import { packageFiles } from "@tributary/inference";
import { type Clock, Failure, reasonOf, repeat } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import type { Telemetry } from "@tributary/telemetry";
import type { Datasets } from "../datasets/port.ts";
import { mlflowDropped, mlflowFailed, mlflowRecorded } from "../events.ts";
import { downloadPackage, type ModelRegistry } from "../registry/blobs.ts";
import type { MlflowLog } from "./mlflow-log.ts";
import { mlflowRecordOf } from "./record.ts";

export type MlflowRecorderOptions = {
  readonly log: Pick<MlflowLog, "record">;
  readonly datasets: Pick<Datasets, "get" | "remote">;
  readonly registry: Pick<ModelRegistry, "blobs">;
  /** Folder for packages on their way. */
  readonly scratch: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly pauseMsMin?: number;
};

/** MlflowRecorder, or null: none is configured. */
export const MLFLOW = Symbol("MlflowRecorder");

const RUNS_MAX = 1_000;
const RECENT_MS = 86_400_000;
const PAUSE_MS_MIN = 1_000;
const PAUSE_MS_MAX = 300_000;
/** Of one training: a version's files are uploaded within it. */
const RECORD_MS_MAX = 1_800_000;

export class MlflowRecorder {
  readonly #options: MlflowRecorderOptions;
  /** By run, in the order in which they came. */
  readonly #due = new Map<string, TrainingRun>();
  readonly #stop = new AbortController();
  #ended: Promise<void> = Promise.resolve();
  #pauseMs = 0;
  #resumeAtMs = 0;

  constructor(options: MlflowRecorderOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, pauseMsMin = PAUSE_MS_MIN } = this.#options;
    this.#ended = repeat(() => this.#show(), { clock, everyMs: pauseMsMin, signal: this.#stop.signal });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** R1 */
  note(run: TrainingRun): void {
    this.#due.delete(run.runId);
    this.#due.set(run.runId, run);
    const [oldest] = this.#due.keys();
    if (this.#due.size <= RUNS_MAX || oldest === undefined) return;
    this.#due.delete(oldest);
    this.#options.telemetry.emit(mlflowDropped, { runId: oldest });
  }

  /** R3 */
  noteAll(runs: Iterable<TrainingRun>): void {
    const since = this.#options.clock.now() - RECENT_MS;
    for (const run of runs) if ((run.endedAt ?? since) >= since) this.note(run);
  }

  /** R2 */
  async #show(): Promise<void> {
    const { clock, telemetry, pauseMsMin = PAUSE_MS_MIN } = this.#options;
    for (const [runId, run] of [...this.#due]) {
      if (this.#stop.signal.aborted || clock.monotonicMs() < this.#resumeAtMs) return;
      if (this.#due.get(runId) !== run) continue;
      try {
        await this.#record(run);
        telemetry.emit(mlflowRecorded, { runId });
        this.#pauseMs = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const isAway = !(error instanceof Failure) || error.advice === "retry";
        telemetry.emit(mlflowFailed, { runId, outcome: isAway ? "away" : "refused", reason: reasonOf(error) });
        if (isAway) {
          this.#pauseMs = Math.min(PAUSE_MS_MAX, Math.max(pauseMsMin, 2 * this.#pauseMs));
          this.#resumeAtMs = clock.monotonicMs() + this.#pauseMs;
          return;
        }
      }
      if (this.#due.get(runId) === run) this.#due.delete(runId);
    }
  }

  async #record(run: TrainingRun): Promise<void> {
    const { log, datasets } = this.#options;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(RECORD_MS_MAX)]);
    const dataset = datasets.get(run.model, run.datasetVersion);
    const base = dataset === undefined ? undefined : datasets.get(run.model, dataset.baseVersion);
    const frozen = { dataset, base, remote: datasets.remote };
    await log.record(
      mlflowRecordOf(run, frozen, () => this.#files(run, signal)),
      signal,
    );
  }

  /** The candidate's package, as the registry has it. */
  async #files({ runId, candidateDigest }: TrainingRun, signal: AbortSignal): Promise<ReadonlyMap<string, Uint8Array>> {
    const { registry, scratch } = this.#options;
    await mkdir(scratch, { recursive: true });
    const dir = await mkdtemp(join(scratch, `${runId}-mlflow-`));
    try {
      await downloadPackage(registry.blobs, candidateDigest, dir, signal);
      const found = await loadPackage(dir);
      const files = new Map<string, Uint8Array>();
      for (const path of Object.keys(found.manifest.files)) files.set(path, await readPackageFile(found, path));
      return files.set(packageFiles.manifest, await readFile(join(dir, packageFiles.manifest)));
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
}
