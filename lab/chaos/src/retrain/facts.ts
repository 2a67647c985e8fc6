/** What a world's trainings left: in Kafka, in the trainers' folder, and as processes. Read from outside. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Dataset, Model, ModelAliases, TrainingEvent, topics } from "@tributary/contracts";
import { readTopic } from "@tributary/kafka";
import { waitFor } from "@tributary/testing";
import { folders } from "./origin.ts";
import type { RetrainWorld } from "./world.ts";

export type Facts = {
  /** Ids of trainings. */
  readonly runs: readonly string[];
  /** Kinds of the transitions in the order of the log, and versions that are written twice or left out. */
  readonly kinds: readonly string[];
  readonly versionsWrong: readonly string[];
  readonly end: { readonly phase: string; readonly message: string };
  /** MD5s of the records of retraining datasets. */
  readonly datasets: readonly string[];
  /** Package digests of what trainings listed, each once. */
  readonly candidates: readonly string[];
  /** SHA-256 of the trained networks. */
  readonly networks: readonly string[];
  /** Versions that got the alias challenger, in order. */
  readonly challengers: readonly string[];
  /** Of the set that candidates are judged on from now on. */
  readonly validation: string;
  /** Folders of the backend's jobs, and of results: RUN/ATTEMPT. */
  readonly jobs: readonly string[];
  readonly results: readonly string[];
  /** Files of work in progress. */
  readonly leftovers: readonly string[];
  readonly processes: number;
};

const WORK_FOLDERS = ["scratch", "freezing", "base-sets"];
const TIDY_MS_MAX = 60_000;

export async function factsOf(world: RetrainWorld): Promise<Facts> {
  const processes = await world.processesLeft();
  const runs = await world.runs();
  const { phase = "", message = "" } = runs.at(-1) ?? {};
  return {
    runs: [...new Set(runs.map(({ runId }) => runId))],
    ...(await transitions(world)),
    end: { phase, message },
    datasets: (await decoded(world, topics.datasets.name, (value) => Dataset.decodeConfluent(value))).flatMap(
      ({ kind, md5 }) => (kind === "RETRAINING" ? [md5] : []),
    ),
    ...(await models(world)),
    ...(await inFolders(join(world.dir, folders.trainer))),
    leftovers: await leftovers(world),
    processes,
  };
}

async function decoded<T>(world: RetrainWorld, topic: string, decode: (value: Buffer) => T): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const { value } of readTopic(world.reader, topic)) if (value !== null) all.push(decode(value));
  return all;
}

async function transitions(world: RetrainWorld): Promise<Pick<Facts, "kinds" | "versionsWrong">> {
  const name = topics.trainingRequests.name;
  const events = await decoded(world, name, (value) => TrainingEvent.decodeConfluent(value));
  const newest = new Map<string, bigint>();
  const versionsWrong: string[] = [];
  for (const { runId, version, kind } of events) {
    if (version !== (newest.get(runId) ?? 0n) + 1n) versionsWrong.push(`${runId} v${version} ${kind}`);
    newest.set(runId, version);
  }
  return { kinds: events.map(({ kind }) => kind), versionsWrong };
}

async function models(world: RetrainWorld): Promise<Pick<Facts, "candidates" | "challengers" | "validation">> {
  const all = await decoded(world, topics.models.name, (value) => Model.decodeConfluent(value));
  const aliases = await decoded(world, topics.modelAliases.name, (value) => ModelAliases.decodeConfluent(value));
  const trained = all.filter(({ lineage }) => lineage.trainingRun !== undefined);
  const given = aliases.flatMap(({ aliases: { challenger } }) => challenger ?? []);
  return {
    candidates: [...new Set(trained.map(({ modelDigest }) => modelDigest))],
    challengers: given.filter((version, i) => version !== given[i - 1]),
    validation: aliases.at(-1)?.validation?.digest ?? "",
  };
}

async function inFolders(dir: string): Promise<Pick<Facts, "jobs" | "results" | "networks">> {
  const results = await namesIn(join(dir, "results"));
  const attempts = await Promise.all(
    results.map(async (run) => (await namesIn(join(dir, "results", run))).map((attempt) => `${run}/${attempt}`)),
  );
  const networks = await Promise.all(
    attempts.flat().map(async (place) => {
      const bytes = await readFile(join(dir, "results", place, "model.onnx")).catch(() => undefined);
      return bytes === undefined ? [] : [createHash("sha256").update(bytes).digest("hex")];
    }),
  );
  return { jobs: await namesIn(join(dir, "jobs")), results: attempts.flat(), networks: networks.flat() };
}

/** The last one that was killed may have died a moment ago: the one that takes its place tidies up as it starts. */
async function leftovers({ dir, trainers }: RetrainWorld): Promise<readonly string[]> {
  const folder = join(dir, folders.trainer);
  const left = async () =>
    (await Promise.all(WORK_FOLDERS.map((name) => leftIn(join(folder, name), trainers.pids())))).flat();
  const isTidy = async () => (await left()).length === 0;
  await waitFor(isTidy, { what: "no work in progress", timeoutMs: TIDY_MS_MAX, everyMs: 500 }).catch(() => undefined);
  return left();
}

/** Of each process (work-folder.ts of the trainer): what it works on, or the folder of one that has ended. */
async function leftIn(dir: string, pids: readonly number[]): Promise<readonly string[]> {
  const names = await namesIn(dir);
  const left = names.map(async (name) => {
    const isRunning = pids.some((pid) => name.includes(`-${pid}-`));
    return isRunning ? (await namesIn(join(dir, name))).map((file) => `${name}/${file}`) : [name];
  });
  return (await Promise.all(left)).flat();
}

const namesIn = (dir: string): Promise<readonly string[]> => readdir(dir).catch(() => []);
