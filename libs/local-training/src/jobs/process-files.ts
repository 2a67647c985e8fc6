/**
 * Which process works on a job's folder: `process.1`, `process.2`, … each made by the process that it names, whole and at once, after the
 * one before it was found dead. Nothing is ever removed, so two that find the same process dead cannot both succeed it.
 *
 * F1. Of the processes that see the folder, one works on it. A process of another machine or container cannot be asked for; it counts as
 *     dead when its file was not touched for a minute, and it ends itself when it finds a later file.
 * F2. A pid is compared with its start time: a reused one is no mistake. */

import { link, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { identify, isAlive, type ProcessId, placeOfProcesses } from "@tributary/kernel/processes";

/** Present: the job is to end. */
export const CANCELLED_FILE = "cancelled";
const PREFIX = "process.";
const SILENT_MS_MAX = 60_000;

type ProcessFile = {
  readonly number: number;
  readonly id: ProcessId;
  /** Machine and namespace in which the pid has a meaning. */
  readonly place: string;
  /** Of the checkpoint that it started from. */
  readonly step: number;
};

export type OwnedProcess = {
  /** Shows that it is alive. False: another process has taken over. */
  beat(): Promise<boolean>;
};

export type JobProcesses = {
  /** The one that works on the folder; null: none does. */
  readonly running: { readonly id: ProcessId; readonly isLocal: boolean } | null;
  /** Processes that died, the last ones from the same checkpoint. */
  readonly deathsInPlace: number;
  readonly deaths: number;
};

export async function processesOf(dir: string): Promise<JobProcesses> {
  const files = await readProcessFiles(dir);
  const newest = files.at(-1);
  if (newest === undefined) return { running: null, deathsInPlace: 0, deaths: 0 };
  const isLocal = newest.place === placeOfProcesses();
  const running = (await isRunning(dir, newest)) ? { id: newest.id, isLocal } : null;
  const dead = running === null ? files : files.slice(0, -1);
  const firstElsewhere = dead.toReversed().findIndex(({ step }) => step !== newest.step);
  return { running, deathsInPlace: firstElsewhere === -1 ? dead.length : firstElsewhere, deaths: dead.length };
}

/** Makes this process the one that works on the folder; null: another one does. */
export async function takeProcess(dir: string, step: number): Promise<OwnedProcess | null> {
  const own = { id: identify(process.pid) ?? { pid: process.pid, startedAt: "" }, place: placeOfProcesses(), step };
  const beside = join(dir, `new-process.${process.pid}.${own.id.startedAt}`);
  await writeFile(beside, JSON.stringify(own));
  try {
    for (;;) {
      const newest = (await readProcessFiles(dir)).at(-1);
      if (newest !== undefined && (await isRunning(dir, newest))) return null;
      const number = (newest?.number ?? 0) + 1;
      const isTaken = await link(beside, fileOf(dir, number)).then(
        () => false,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== "EEXIST") throw error;
          return true;
        },
      );
      if (!isTaken) return owned(dir, number);
    }
  } finally {
    await rm(beside, { force: true });
  }
}

function owned(dir: string, number: number): OwnedProcess {
  return {
    beat: async () => {
      const now = new Date();
      await utimes(fileOf(dir, number), now, now);
      return (await readProcessFiles(dir)).at(-1)?.number === number;
    },
  };
}

const fileOf = (dir: string, number: number): string => join(dir, `${PREFIX}${number}`);

async function readProcessFiles(dir: string): Promise<readonly ProcessFile[]> {
  const numbers = (await readdir(dir))
    .filter((name) => /^process\.[1-9]\d{0,8}$/.test(name))
    .map((name) => Number(name.slice(PREFIX.length)))
    .sort((a, b) => a - b);
  return Promise.all(
    numbers.map(async (number) => {
      const text = await readFile(fileOf(dir, number), "utf8");
      try {
        return { ...(JSON.parse(text) as Omit<ProcessFile, "number">), number };
      } catch {
        // A loss of power left it empty: it counts as a process elsewhere, which is dead once it is silent.
        return { number, id: { pid: 0, startedAt: "" }, place: "", step: 0 };
      }
    }),
  );
}

async function isRunning(dir: string, { id, place, number }: ProcessFile): Promise<boolean> {
  if (place === placeOfProcesses()) return isAlive(id); // F2
  return Date.now() - (await stat(fileOf(dir, number))).mtimeMs < SILENT_MS_MAX;
}
