/**
 * A training as a command of yours on the trainer's machine, e.g. PyTorch's (training/README.md): no shell, a process group of its own, a
 * folder a job.
 *
 * It gets the order of job-order.ts on its standard input and as the file `{{jobFile}}`, and leaves `model.onnx` and `result.json` at
 * `places.results`. A line `progress 0.42 epoch 3` of its output shows as progress. It does not outlive its trainer (command-host.ts
 * D1): the job is `failed` then, and the run's next attempt starts it again. A command that keeps checkpoints finds them below a path
 * made of `{{runId}}`.
 *
 * M1. Whoever creates the job's folder starts the job: a second start finds the folder (backend.ts P1). */
import { fork } from "node:child_process";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Clock, exitFlags, Failure, reasonOf } from "@tributary/kernel";
import type { TrainingJob } from "@tributary/training";
import { z } from "zod";
import type { JobPlaces, JobState, TrainingBackend } from "./backend.ts";
import { CommandFolder, SILENT_MS } from "./command-folder.ts";
import type { CommandSpec } from "./command-host.ts";
import { jobNameOf } from "./job-order.ts";
import { commandTemplate, filled, variablesOf } from "./template.ts";

const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected a variable's name");

export const commandSchema = z.strictObject({
  kind: z.literal("command"),
  /** Program and arguments; each may hold `{{variables}}`. */
  argv: z.array(commandTemplate).min(1).max(1_000),
  env: z.record(variable, commandTemplate).default({}),
  /** Variables of the trainer's own environment that it gets, too. */
  envNames: z.array(variable).max(100).default(["PATH", "HOME", "LANG", "TZ", "TMPDIR"]),
  /** Folder of the jobs' folders; left out: `commands` in dataDir. */
  dir: z.string().min(1).optional(),
  /** Working directory; left out: the job's folder. */
  cwd: z.string().min(1).optional(),
  jobMsMax: z
    .number()
    .int()
    .min(1_000)
    .default(6 * 3_600_000),
  logBytesMax: z
    .number()
    .int()
    .min(4_096)
    .max(64 << 20)
    .default(4 << 20),
  /** Folders of ended jobs beyond that are removed, the oldest first. */
  jobsKept: z.number().int().min(1).max(1_000).default(20),
});

export type CommandConfig = z.output<typeof commandSchema>;

// From source as from the build, the child is the built script: plain JavaScript, outside any test's realm.
const HOST = fileURLToPath(new URL("../../dist/backends/command-host.js", import.meta.url));
const JOB_ID = /^tributary-[A-Za-z0-9-]{1,100}$/;

export class CommandBackend implements TrainingBackend {
  readonly name = "command";
  readonly #config: CommandConfig;
  readonly #dir: string;
  readonly #clock: Clock;

  constructor(config: CommandConfig, dataDir: string, clock: Clock) {
    this.#config = config;
    this.#dir = resolve(config.dir ?? join(dataDir, "commands"));
    this.#clock = clock;
  }

  async start(job: TrainingJob, attempt: number, places: JobPlaces): Promise<string> {
    const name = jobNameOf(job.runId, attempt);
    const folder = new CommandFolder(join(this.#dir, name));
    await mkdir(this.#dir, { recursive: true });
    await this.#prune();
    const isOurs = await mkdir(folder.path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST") return false; // M1
        throw new Failure("training-folder-unusable", "retry", `${folder.path}: ${reasonOf(error)}`);
      },
    );
    if (!isOurs) return name;
    const spec = this.#specOf({ ...job, attempt, places }, folder);
    await writeFile(folder.file("order"), spec.input);
    const host = fork(HOST, [folder.path], { stdio: ["ignore", "ignore", "ignore", "ipc"], execArgv: [...exitFlags] });
    host.on("error", () => {}); // Then the job is silent, and `status` says so.
    host.send(spec, () => {});
    host.unref();
    host.channel?.unref();
    return name;
  }

  async status(jobId: string): Promise<JobState> {
    const folder = this.#folderOf(jobId);
    const found = await folder?.read(this.#clock.now());
    if (folder === undefined || found === undefined) return { kind: "unknown" };
    const { record, ageMs } = found;
    if (record !== undefined && record.kind !== "running") return record;
    if (ageMs <= SILENT_MS) return record ?? { kind: "running", progress: null, line: "starting" };
    if (await folder.isCancelled()) return { kind: "cancelled" };
    const reason = "its process is gone: it ended with its trainer or its machine";
    return { kind: "failed", reason, isRetryable: true };
  }

  async cancel(jobId: string): Promise<void> {
    if ((await this.status(jobId)).kind === "running") await this.#folderOf(jobId)?.cancel();
  }

  async logs(jobId: string, linesMax: number): Promise<readonly string[]> {
    return (await this.#folderOf(jobId)?.lines(linesMax)) ?? [];
  }

  /** A job's id never names another folder. */
  #folderOf(jobId: string): CommandFolder | undefined {
    return JOB_ID.test(jobId) ? new CommandFolder(join(this.#dir, jobId)) : undefined;
  }

  #specOf(order: TrainingJob & { attempt: number; places: JobPlaces }, folder: CommandFolder): CommandSpec {
    const { argv, env, envNames, cwd, jobMsMax, logBytesMax } = this.#config;
    const variables = new Map([...variablesOf(order), ["jobFile", folder.file("order")]]);
    const own = envNames.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const configured = Object.entries(env).map(([name, text]) => [name, filled(text, variables)] as const);
    const { results } = order.places;
    return {
      argv: argv.map((text) => filled(text, variables)),
      env: Object.fromEntries([...own, ...configured]),
      cwd: cwd ?? folder.path,
      input: JSON.stringify(order),
      msMax: jobMsMax,
      logBytesMax,
      resultsDir: results.startsWith("file:") ? fileURLToPath(results) : null,
    };
  }

  async #prune(): Promise<void> {
    const names = (await readdir(this.#dir)).filter((name) => JOB_ID.test(name));
    if (names.length < this.#config.jobsKept) return;
    const aged = await Promise.all(
      names.map(async (name) => ({
        name,
        at: (await stat(join(this.#dir, name)).catch(() => undefined))?.mtimeMs ?? 0,
      })),
    );
    const oldest = aged.sort((a, b) => a.at - b.at).slice(0, names.length - this.#config.jobsKept + 1);
    for (const { name } of oldest) {
      if ((await this.status(name)).kind === "running") continue;
      await rm(join(this.#dir, name), { recursive: true, force: true });
    }
  }
}
