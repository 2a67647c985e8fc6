/**
 * Trainings as jobs, each in a folder that outlives whoever started it: what it is given (`job.json`), its process, its log, what it is
 * resumed from, and its end. Whoever asks for a job's state sees to it that the job goes on.
 *
 *     JOB/job.json  process.1 …  log.txt  progress.json  cancelled | failure.json  out/{checkpoint.bin, model.onnx, result.json}
 *
 * J1. `start` is idempotent by run and attempt.
 * J2. A job has at most one process, however many instances share the folder (process-files.ts F1).
 * J3. A process ends with the instance that started it; no process is left without one. The next `status` of any instance starts another,
 *     which resumes from the checkpoint. Four deaths at the same step fail the job: a fifth process would die there as well. */
import { access, mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Failure, type FailureAdvice, reasonOf } from "@tributary/kernel";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import { isAlive } from "@tributary/kernel/processes";
import { RESULT_FILE, type TrainingJob } from "@tributary/training";
import {
  type LocalTraining,
  type LocalTrainingLimits,
  type LocalTrainingProgress,
  progressLine,
  shareDone,
} from "../local-training.ts";
import { trainLocally } from "../train-locally.ts";
import { failure } from "../training/failures.ts";
import { JobLog } from "./job-log.ts";
import { CANCELLED_FILE, processesOf } from "./process-files.ts";

export type LocalJobState =
  /** `progress`: 0 to 1; null: nothing is known yet. */
  | { readonly kind: "running"; readonly progress: number | null; readonly line: string }
  | { readonly kind: "succeeded" }
  | { readonly kind: "failed"; readonly reason: string; readonly isRetryable: boolean }
  | { readonly kind: "cancelled" }
  | { readonly kind: "unknown" };

/** Folders, which have to stay until the job has ended. */
export type LocalJobInputs = Pick<LocalTraining, "parentDir" | "datasetDir" | "baseDir">;

const JOB_FILE = "job.json";
const PROGRESS_FILE = "progress.json";
const FAILURE_FILE = "failure.json";
const DOCUMENT_BYTES_MAX = 1 << 20;
const DEATHS_IN_PLACE_MAX = 4;
const DEATHS_MAX = 100;
const PROGRESS_FILE_MS = 2_000;
const LOG_MS = 10_000;

type Running = {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
  progress: LocalTrainingProgress | null;
};

type JobDocument = LocalJobInputs & { readonly job: TrainingJob };
type FailureDocument = { readonly code: string; readonly reason: string; readonly isRetryable: boolean };

export class LocalJobs {
  readonly #dir: string;
  readonly #limits: LocalTrainingLimits;
  readonly #runningMax: number;
  /** Processes of this instance. */
  readonly #running = new Map<string, Running>();
  /** Of processes of this instance, which may have died before they left a trace in the folder. */
  readonly #deaths = new Map<string, number>();
  readonly #logs = new Map<string, JobLog>();
  /** One decision about a job at a time. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #isClosed = false;

  /** `limits` of each job; `runningMax`: jobs that run at a time in this instance, others wait. */
  constructor(dir: string, limits: LocalTrainingLimits, runningMax = 1) {
    this.#dir = resolve(dir);
    this.#limits = limits;
    this.#runningMax = runningMax;
  }

  /** Of a job, also before it is started: a place for its inputs. */
  folderOf(jobId: string): string {
    return join(this.#dir, jobId);
  }

  /** Where `model.onnx` and `result.json` of a job that succeeded are. */
  resultsOf(jobId: string): string {
    return join(this.folderOf(jobId), "out");
  }

  /** J1. Returns the job's id. */
  async start(job: TrainingJob, attempt: number, inputs: LocalJobInputs): Promise<string> {
    const jobId = `${job.runId}-${attempt}`;
    if (!isJobId(jobId)) {
      throw failure("training-job-invalid", "give-up", `"${jobId}" is no name of a job: letters, digits, "-" and "_"`);
    }
    await this.#inTurn(jobId, async () => {
      const path = join(this.folderOf(jobId), JOB_FILE);
      if (await isThere(path)) return;
      const { parentDir, datasetDir, baseDir } = inputs;
      const document: JobDocument = {
        job,
        parentDir: resolve(parentDir),
        datasetDir: resolve(datasetDir),
        baseDir: resolve(baseDir),
      };
      await writeDurably(path, encode(document));
    });
    await this.status(jobId);
    return jobId;
  }

  /** J3 */
  async status(jobId: string): Promise<LocalJobState> {
    if (!isJobId(jobId)) return { kind: "unknown" };
    return this.#inTurn(jobId, () => this.#advance(jobId));
  }

  /** Asks it to end; `status` shows when it has. */
  async cancel(jobId: string): Promise<void> {
    if (!isJobId(jobId)) return;
    await this.#inTurn(jobId, async () => {
      const folder = this.folderOf(jobId);
      if (!(await isThere(join(folder, JOB_FILE))) || (await isThere(join(folder, CANCELLED_FILE)))) return;
      await writeDurably(join(folder, CANCELLED_FILE), Buffer.alloc(0));
      await this.#logOf(jobId).write("cancelled", new Date());
      this.#running.get(jobId)?.abort.abort();
      const { running } = await processesOf(folder);
      if (running?.isLocal && isAlive(running.id)) killQuietly(running.id.pid);
    });
  }

  /** The newest lines, oldest first. */
  async logs(jobId: string, linesMax: number): Promise<readonly string[]> {
    return isJobId(jobId) ? this.#logOf(jobId).tail(linesMax) : [];
  }

  /** Ends the job and removes its folder. */
  async remove(jobId: string): Promise<void> {
    if (!isJobId(jobId)) return;
    await this.cancel(jobId);
    await this.#running.get(jobId)?.ended;
    await rm(this.folderOf(jobId), { recursive: true, force: true });
    for (const known of [this.#running, this.#deaths, this.#logs]) known.delete(jobId);
  }

  /** Ends the processes of this instance; their jobs go on with the next one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#turns.values());
    for (const { abort } of this.#running.values()) abort.abort();
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  async #advance(jobId: string): Promise<LocalJobState> {
    const folder = this.folderOf(jobId);
    const document = await readDocument<JobDocument>(join(folder, JOB_FILE));
    if (document === null) return { kind: "unknown" };
    const own = this.#running.get(jobId);
    const isCancelled = await isThere(join(folder, CANCELLED_FILE));
    // A process that has its result, or was killed, runs until it is gone.
    if (own !== undefined) return runningState(own.progress, isCancelled);
    const { running, deathsInPlace, deaths } = await processesOf(folder);
    if (running !== null) {
      return runningState(await readDocument<LocalTrainingProgress>(join(folder, PROGRESS_FILE)), isCancelled);
    }
    if (await isThere(join(this.resultsOf(jobId), RESULT_FILE))) return { kind: "succeeded" };
    const failed = await readDocument<FailureDocument>(join(folder, FAILURE_FILE));
    if (failed !== null) return { kind: "failed", reason: failed.reason, isRetryable: failed.isRetryable };
    if (isCancelled) return { kind: "cancelled" };
    const inPlace = Math.max(deathsInPlace, this.#deaths.get(jobId) ?? 0);
    if (inPlace >= DEATHS_IN_PLACE_MAX || deaths >= DEATHS_MAX) {
      const [last = ""] = await this.logs(jobId, 1);
      const reason = `its process died ${inPlace} times at the same step; the last line of its log: ${last}`;
      await this.#fail(jobId, { code: "training-died", advice: "retry", message: reason });
      return { kind: "failed", reason, isRetryable: true };
    }
    if (this.#running.size >= this.#runningMax)
      return { kind: "running", progress: null, line: "waits for another training" };
    if (!this.#isClosed) this.#run(jobId, document);
    return runningState(null, false);
  }

  #run(jobId: string, { job, parentDir, datasetDir, baseDir }: JobDocument): void {
    const folder = this.folderOf(jobId);
    const log = this.#logOf(jobId);
    const abort = new AbortController();
    let [loggedAt, writtenAt, loggedPhase] = [0, 0, ""];
    const onProgress = (progress: LocalTrainingProgress) => {
      running.progress = progress;
      const now = Date.now();
      if (now - writtenAt >= PROGRESS_FILE_MS) {
        writtenAt = now;
        void writeDurably(join(folder, PROGRESS_FILE), encode(progress)).catch(() => {});
      }
      if (now - loggedAt < LOG_MS && progress.phase === loggedPhase && progress.done < progress.all) return;
      [loggedAt, loggedPhase] = [now, progress.phase];
      void log.write(progressLine(progress), new Date(now));
    };
    const training = { job, parentDir, datasetDir, baseDir, outDir: this.resultsOf(jobId), limits: this.#limits };
    const ended = mkdir(training.outDir, { recursive: true })
      .then(() => log.write(`started on ${job.dataset} and ${job.baseDataset}`, new Date()))
      .then(() => trainLocally(training, { signal: abort.signal, onProgress, processesDir: folder }))
      .then(
        ({ blend, notes = [] }) => log.write([`succeeded, blend ${blend}`, ...notes].join("; "), new Date()),
        (error: unknown) => this.#ended(jobId, error),
      )
      .finally(() => this.#running.delete(jobId));
    const running: Running = { abort, ended, progress: null };
    this.#running.set(jobId, running);
  }

  async #ended(jobId: string, error: unknown): Promise<void> {
    await this.#logOf(jobId).write(reasonOf(error), new Date());
    const code = error instanceof Failure ? error.code : "training-failed";
    // Of the next instance, or of nobody.
    if (code === "training-superseded" || code === "training-stopped") return;
    if (code === "training-died") {
      this.#deaths.set(jobId, (this.#deaths.get(jobId) ?? 0) + 1);
      return;
    }
    const advice = error instanceof Failure ? error.advice : "ask-a-person";
    await this.#fail(jobId, { code, advice, message: reasonOf(error) });
  }

  async #fail(jobId: string, { code, advice, message }: { code: string; advice: FailureAdvice; message: string }) {
    const document: FailureDocument = { code, reason: message, isRetryable: advice === "retry" };
    await writeDurably(join(this.folderOf(jobId), FAILURE_FILE), encode(document));
  }

  #logOf(jobId: string): JobLog {
    const known = this.#logs.get(jobId);
    if (known !== undefined) return known;
    const log = new JobLog(this.folderOf(jobId));
    this.#logs.set(jobId, log);
    return log;
  }

  #inTurn<T>(jobId: string, decide: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(jobId) ?? Promise.resolve()).then(decide, decide);
    const settled = turn.then(
      () => {},
      () => {},
    );
    this.#turns.set(jobId, settled);
    void settled.then(() => {
      if (this.#turns.get(jobId) === settled) this.#turns.delete(jobId);
    });
    return turn;
  }
}

/** Also a plain name of a folder. */
const isJobId = (text: string): boolean => /^[A-Za-z0-9_-]{1,200}$/.test(text);

function runningState(progress: LocalTrainingProgress | null, isCancelled: boolean): LocalJobState {
  const line = isCancelled ? "is being cancelled" : progress === null ? "starting" : progressLine(progress);
  return { kind: "running", progress: progress === null ? null : shareDone(progress), line };
}

const encode = (document: unknown): Buffer => Buffer.from(`${JSON.stringify(document)}\n`);

/** null: there is none, or not a whole one. */
async function readDocument<T>(path: string): Promise<T | null> {
  const bytes = await readBounded(path, DOCUMENT_BYTES_MAX);
  if (bytes === undefined || bytes === "too-large") return null;
  try {
    return JSON.parse(bytes.toString()) as T;
  } catch {
    return null;
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended in between.
  }
}
