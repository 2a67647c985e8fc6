/**
 * Trainings in processes of the trainer's own machine, without Python: libs/local-training between the inputs that it wants as folders
 * and the place where a run expects its results.
 *
 * A job goes on with the next instance that asks for it, from its checkpoint, if that instance sees the same `dir`.
 *
 * L1. Inputs are complete before the job is: they are written beside, and moved to their place as a whole.
 * L2. `model.onnx` is at the place of results before `result.json`, and both before a status says `succeeded`. */
import { randomUUID } from "node:crypto";
import { access, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure } from "@tributary/kernel";
import { LocalJobs } from "@tributary/local-training";
import { RESULT_FILE, RESULT_MODEL, type TrainingJob } from "@tributary/training";
import { z } from "zod";
import type { JobPlaces, JobState, TrainingBackend } from "./backend.ts";

export const localSchema = z.strictObject({
  kind: z.literal("local"),
  /** Folder of the jobs' folders; left out: `jobs` in dataDir. Instances that share it continue each other's jobs. */
  dir: z.string().min(1).optional(),
  threads: z.number().int().min(1).max(64).default(1),
  /** Resident memory of a training's process. */
  memoryBytesMax: z
    .number()
    .int()
    .min(256 << 20)
    .default(2 * 2 ** 30),
  jobMsMax: z
    .number()
    .int()
    .min(60_000)
    .default(6 * 3_600_000),
  cpuSecondsMax: z.number().int().positive().optional(),
  /** Folders of ended jobs beyond that are removed, the oldest first. */
  jobsKept: z.number().int().min(1).max(1_000).default(5),
});

export type LocalConfig = z.output<typeof localSchema>;

/** Where the inputs of a local training come from. */
export interface LocalSources {
  /** Writes the files of the deployed package into a folder, digests checked. */
  packageInto(digest: string, dir: string, signal: AbortSignal): Promise<void>;
  /** Writes a dataset, MODEL and VERSION, into a folder. */
  datasetInto(model: string, version: string, dir: string, signal: AbortSignal): Promise<void>;
}

const INPUTS = "inputs";
const PLACE_FILE = "results.uri";

export class LocalBackend implements TrainingBackend {
  readonly name = "local";
  readonly #dir: string;
  readonly #jobsKept: number;
  readonly #sources: LocalSources;
  readonly #jobs: LocalJobs;

  constructor(config: LocalConfig, dataDir: string, sources: LocalSources) {
    const { dir = join(dataDir, "jobs"), threads, memoryBytesMax, jobMsMax: msMax, cpuSecondsMax } = config;
    const cpu = cpuSecondsMax === undefined ? {} : { cpuSecondsMax };
    this.#dir = dir;
    this.#jobsKept = config.jobsKept;
    this.#sources = sources;
    this.#jobs = new LocalJobs(dir, { threads, memoryBytesMax, msMax, ...cpu });
  }

  async start(job: TrainingJob, attempt: number, places: JobPlaces, signal: AbortSignal): Promise<string> {
    if (!places.results.startsWith("file:")) {
      const message = `a local training leaves its results in a folder, not at ${places.results}`;
      throw new Failure("training-results-elsewhere", "ask-a-person", message);
    }
    const folder = this.#jobs.folderOf(`${job.runId}-${attempt}`);
    const inputs = join(folder, INPUTS);
    if (!(await isThere(inputs))) {
      await this.#prune();
      await this.#provide(job, places, folder, signal);
    }
    return this.#jobs.start(job, attempt, {
      parentDir: join(inputs, "parent"),
      datasetDir: join(inputs, "dataset"),
      baseDir: join(inputs, "base"),
    });
  }

  async status(jobId: string): Promise<JobState> {
    const state = await this.#jobs.status(jobId);
    if (state.kind === "succeeded") await this.#deliver(jobId);
    return state;
  }

  cancel(jobId: string): Promise<void> {
    return this.#jobs.cancel(jobId);
  }

  logs(jobId: string, linesMax: number): Promise<readonly string[]> {
    return this.#jobs.logs(jobId, linesMax);
  }

  /** Ends the processes; the jobs go on with the next instance. */
  close(): Promise<void> {
    return this.#jobs.close();
  }

  /** L1 */
  async #provide(job: TrainingJob, places: JobPlaces, folder: string, signal: AbortSignal): Promise<void> {
    const beside = join(folder, `${INPUTS}-${randomUUID()}`);
    const { packageInto, datasetInto } = this.#sources;
    const dataset = async (name: string, dir: string) => {
      const [model = "", version = ""] = name.split("/");
      await mkdir(join(beside, dir), { recursive: true });
      await datasetInto.call(this.#sources, model, version, join(beside, dir), signal);
    };
    try {
      await mkdir(join(beside, "parent"), { recursive: true });
      await packageInto.call(this.#sources, job.parentDigest, join(beside, "parent"), signal);
      await dataset(job.dataset, "dataset");
      await dataset(job.baseDataset, "base");
      await writeFile(join(beside, PLACE_FILE), places.results);
      await rename(beside, join(folder, INPUTS)).catch(async (error: NodeJS.ErrnoException) => {
        // Another instance was faster; its inputs are the same.
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      });
    } finally {
      await rm(beside, { recursive: true, force: true });
    }
  }

  /** L2. Each file is moved to its place as a whole; a second delivery changes nothing. */
  async #deliver(jobId: string): Promise<void> {
    const uri = await readFile(join(this.#jobs.folderOf(jobId), INPUTS, PLACE_FILE), "utf8");
    const place = fileURLToPath(uri);
    await mkdir(place, { recursive: true });
    for (const name of [RESULT_MODEL, RESULT_FILE]) {
      const target = join(place, name);
      if (await isThere(target)) continue;
      const beside = `${target}.${randomUUID()}`;
      await copyFile(join(this.#jobs.resultsOf(jobId), name), beside);
      await rename(beside, target);
    }
  }

  async #prune(): Promise<void> {
    const [dir, jobsKept] = [this.#dir, this.#jobsKept];
    const names = await readdir(dir).catch(() => []);
    if (names.length < jobsKept) return;
    const aged = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(dir, name))).mtimeMs })));
    for (const { name } of aged.sort((a, b) => a.at - b.at).slice(0, names.length - jobsKept + 1)) {
      const { kind } = await this.#jobs.status(name);
      // A job that nobody asked for goes on when it is asked for: it is not removed.
      if (kind !== "running") await this.#jobs.remove(name);
    }
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
