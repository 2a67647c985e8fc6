/** Jobs in their real processes: who runs them, who succeeds whom, and that nothing is left running. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { isAlive, type ProcessId } from "@tributary/kernel/processes";
import { waitFor } from "@tributary/testing";
import { writeTraining } from "../digits.test-kit.ts";
import { LocalJobs, type LocalTraining } from "../index.ts";

const PACKAGE = fileURLToPath(new URL("../../dist/index.js", import.meta.url));

let dir: string;
let training: LocalTraining;
const open: LocalJobs[] = [];
const hosts: ChildProcess[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-local-jobs-"));
  training = await writeTraining(dir, join(dir, "unused"));
});
afterAll(async () => {
  for (const host of hosts) host.kill("SIGKILL");
  await Promise.all(open.map((jobs) => jobs.close()));
  await rm(dir, { recursive: true, force: true });
});

function openJobs(): LocalJobs {
  const jobs = new LocalJobs(join(dir, "jobs"), training.limits);
  open.push(jobs);
  return jobs;
}

const processIn = async (folder: string, number: number): Promise<ProcessId> =>
  JSON.parse(await readFile(join(folder, `process.${number}`), "utf8")).id;
const processesIn = async (folder: string) => (await readdir(folder)).filter((name) => name.startsWith("process."));

/** Another instance, which starts the job and can be killed. */
function host(attempt: number): ChildProcess {
  const { job, limits } = training;
  const program = `
    const { LocalJobs } = await import(${JSON.stringify(PACKAGE)});
    const jobs = new LocalJobs(${JSON.stringify(join(dir, "jobs"))}, ${JSON.stringify(limits)});
    await jobs.start(${JSON.stringify(job)}, ${attempt}, ${JSON.stringify(training)});
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "ignore" });
  hosts.push(child);
  return child;
}

test("local-jobs.ts J2, J3: a job's process dies with its instance, and the next instance resumes it", async () => {
  const first = host(1);
  const jobs = openJobs();
  const folder = jobs.folderOf("digits-1");
  const id = await waitFor(() => processIn(folder, 1), { what: "the job's process" });
  expect(await jobs.start(training.job, 1, training)).toBe("digits-1");
  expect(await jobs.status("digits-1")).toMatchObject({ kind: "running" });
  await waitFor(async () => (await readdir(join(folder, "out"))).includes("checkpoint.bin"), { what: "a checkpoint" });
  expect(await processesIn(folder)).toEqual(["process.1"]);

  first.kill("SIGKILL");
  await waitFor(() => !isAlive(id), { what: "the process to die with its instance" });
  const state = await waitFor(
    async () => {
      const now = await jobs.status("digits-1");
      return now.kind === "running" ? null : now;
    },
    { what: "the end of the job" },
  );
  expect(state).toEqual({ kind: "succeeded" });
  expect((await processesIn(folder)).sort()).toEqual(["process.1", "process.2"]);
  expect((await readdir(jobs.resultsOf("digits-1"))).sort()).toEqual(["model.onnx", "result.json"]);
  const log = await jobs.logs("digits-1", 100);
  expect(log.at(-1)).toMatch(/succeeded, blend/);
  expect(log.some((line) => /step \d+ of 250, loss 0\.\d+/.test(line))).toBe(true);
  expect(await jobs.logs("digits-1", 1)).toHaveLength(1);
  // A result stays, whoever asks to end what has ended.
  await jobs.cancel("digits-1");
  expect(await jobs.status("digits-1")).toEqual({ kind: "succeeded" });
  await jobs.remove("digits-1");
  expect(await jobs.status("digits-1")).toEqual({ kind: "unknown" });
});

test("a cancelled job leaves no process, in whichever instance it runs", async () => {
  const other = host(2);
  const jobs = openJobs();
  const own = await jobs.start({ ...training.job, runId: "own" }, 1, training);
  const waiting = await jobs.start({ ...training.job, runId: "waiting" }, 1, training);
  expect(await jobs.status(waiting)).toMatchObject({ kind: "running", line: "waits for another training" });
  await jobs.cancel(waiting);
  expect(await jobs.status(waiting)).toEqual({ kind: "cancelled" });
  const ids = await Promise.all(
    ["digits-2", own].map((jobId) => waitFor(() => processIn(jobs.folderOf(jobId), 1), { what: "the job's process" })),
  );
  for (const jobId of ["digits-2", own]) {
    await jobs.cancel(jobId);
    await waitFor(async () => (await jobs.status(jobId)).kind === "cancelled", { what: "the job to end" });
    expect(await processesIn(jobs.folderOf(jobId))).toEqual(["process.1"]);
  }
  expect(ids.map(isAlive)).toEqual([false, false]);
  other.kill("SIGKILL");
});

test("a job that is refused fails with the reason, and is not tried again", async () => {
  const jobs = openJobs();
  const jobId = await jobs.start({ ...training.job, runId: "other", parentDigest: "0".repeat(64) }, 1, training);
  const state = await waitFor(
    async () => {
      const now = await jobs.status(jobId);
      return now.kind === "running" ? null : now;
    },
    { what: "the refusal" },
  );
  expect(state).toMatchObject({ kind: "failed", isRetryable: false, reason: expect.stringMatching(/wanted 0{64}/) });
  expect(await processesIn(jobs.folderOf(jobId))).toEqual(["process.1"]);
});
