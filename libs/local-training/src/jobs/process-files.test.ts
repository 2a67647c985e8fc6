import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "@jest/globals";
import { identify, type ProcessId } from "@tributary/kernel/processes";
import { tempDir, waitFor } from "@tributary/testing";
import { LocalJobs } from "./local-jobs.ts";
import { processesOf, takeProcess } from "./process-files.ts";

const root = tempDir("process-files");
afterAll(() => root.remove());
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

let folders = 0;
function folder(): string {
  const path = join(root.path, `job-${++folders}`);
  mkdirSync(path);
  return path;
}

function sleeper(): ProcessId {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  children.push(child);
  return identify(child.pid as number) as ProcessId;
}

/** As another process would leave it: with the place of this one's own file. */
async function leave(dir: string, number: number, id: ProcessId, change: object = {}): Promise<void> {
  const scratch = folder();
  await takeProcess(scratch, 0);
  const { readFileSync } = await import("node:fs");
  const own = JSON.parse(readFileSync(join(scratch, "process.1"), "utf8"));
  writeFileSync(join(dir, `process.${number}`), JSON.stringify({ ...own, id, ...change }));
}

const gone: ProcessId = { pid: 4_194_303, startedAt: "1" };

test("process-files.ts F1: of many that want a folder, one gets it", async () => {
  const dir = folder();
  const taken = await Promise.all(Array.from({ length: 8 }, () => takeProcess(dir, 0)));
  expect(taken.filter((one) => one !== null)).toHaveLength(1);
  expect(readdirSync(dir)).toEqual(["process.1"]);
});

test("process-files.ts F1: of many that find a dead process, one succeeds it", async () => {
  const dir = folder();
  await leave(dir, 1, gone);
  const taken = await Promise.all(Array.from({ length: 8 }, () => takeProcess(dir, 0)));
  expect(taken.filter((one) => one !== null)).toHaveLength(1);
  expect(readdirSync(dir).sort()).toEqual(["process.1", "process.2"]);
});

test("a running process keeps its folder; process-files.ts F2: a reused pid does not", async () => {
  const dir = folder();
  const other = sleeper();
  await leave(dir, 1, other);
  expect(await takeProcess(dir, 0)).toBeNull();
  expect(await processesOf(dir)).toMatchObject({ running: { id: other, isLocal: true }, deaths: 0 });
  await leave(dir, 1, { pid: other.pid, startedAt: "1" });
  expect(await takeProcess(dir, 0)).not.toBeNull();
});

test("a process elsewhere counts as running while it touches its file, and ends itself when it was succeeded", async () => {
  const dir = folder();
  await leave(dir, 1, gone, { place: "another machine" });
  expect(await processesOf(dir)).toMatchObject({ running: { isLocal: false } });
  expect(await takeProcess(dir, 0)).toBeNull();
  const long = new Date(Date.now() - 120_000);
  utimesSync(join(dir, "process.1"), long, long);
  const owned = await takeProcess(dir, 0);
  expect(await owned?.beat()).toBe(true);
  await leave(dir, 3, sleeper());
  expect(await owned?.beat()).toBe(false);
});

test("a file that a loss of power left empty is succeeded after a minute", async () => {
  const dir = folder();
  writeFileSync(join(dir, "process.1"), "");
  expect(await takeProcess(dir, 0)).toBeNull();
  const long = new Date(Date.now() - 120_000);
  utimesSync(join(dir, "process.1"), long, long);
  expect(await takeProcess(dir, 0)).not.toBeNull();
});

test("local-jobs.ts J3: a job whose processes die at the same step fails; one that advances goes on", async () => {
  const jobs = new LocalJobs(root.path, { threads: 1, memoryBytesMax: 2 ** 30, msMax: 60_000 });
  const make = async (steps: readonly number[]) => {
    const dir = folder();
    writeFileSync(join(dir, "job.json"), JSON.stringify({ job: {}, parentDir: "/", datasetDir: "/", baseDir: "/" }));
    for (const [i, step] of steps.entries()) await leave(dir, i + 1, gone, { step });
    return `job-${folders - steps.length}`;
  };
  const stuck = await make([0, 50, 50, 50, 50]);
  expect(await jobs.status(stuck)).toMatchObject({ kind: "failed", isRetryable: true });
  expect(await jobs.status(stuck)).toMatchObject({ reason: expect.stringMatching(/died 4 times at the same step/) });
  const advancing = await make([0, 25, 50, 75, 100]);
  expect(await jobs.status(advancing)).toMatchObject({ kind: "running" });
  const state = await waitFor(
    async () => {
      const now = await jobs.status(advancing);
      return now.kind === "running" ? null : now;
    },
    { what: "the malformed job to be refused" },
  );
  expect(state).toMatchObject({ kind: "failed", isRetryable: false });
  await jobs.close();
});

test("a job that nobody started is unknown, and ending it is nothing", async () => {
  const jobs = new LocalJobs(root.path, { threads: 1, memoryBytesMax: 2 ** 30, msMax: 60_000 });
  expect(await jobs.status("never")).toEqual({ kind: "unknown" });
  expect(await jobs.status("../job-1")).toEqual({ kind: "unknown" });
  await jobs.cancel("never");
  expect(await jobs.logs("never", 10)).toEqual([]);
  await jobs.close();
});
