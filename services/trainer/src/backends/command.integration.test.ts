/** Commands as jobs: real processes, and the process beside them from the build. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { repositoryRoot, tempDir, waitFor } from "@tributary/testing";
import type { JobState } from "./backend.ts";
import { opened, someJob, somePlaces } from "./jobs.test-kit.ts";

const dir = tempDir("command");
afterAll(() => dir.remove());
const whole = new AbortController().signal;

const WRITE = `
const { writeFileSync, appendFileSync } = require("node:fs");
const { fileURLToPath } = require("node:url");
const job = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const out = fileURLToPath(job.places.results);
`;
/** `sleeps` and its child, whose pids it writes. */
const SLEEP = `
const child = require("node:child_process").spawn("sleep", ["600"]);
require("node:fs").writeFileSync(process.argv[1], process.pid + " " + child.pid);
console.log("progress 0.25 asleep");
process.on("SIGTERM", () => {});
setInterval(() => {}, 1000);
`;

const backend = (script: string, more: object = {}, args: readonly string[] = []) => {
  const argv = [process.execPath, "-e", script, ...args];
  return opened({ kind: "command", argv, dir: join(dir.path, "jobs"), ...more });
};
const placesOf = (name: string) => somePlaces({ results: pathToFileURL(join(dir.path, name)).href });
const start = (of: ReturnType<typeof backend>, runId: string, attempt = 1) =>
  of.start(someJob({ runId }), attempt, placesOf(runId), whole);
const isEnded = (state: JobState) => state.kind !== "running";
const ended = (of: ReturnType<typeof backend>, id: string) =>
  waitFor(
    async () => {
      const state = await of.status(id, whole);
      return isEnded(state) ? state : undefined;
    },
    { what: `the end of ${id}`, everyMs: 50 },
  );
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
};
const pidsIn = async (file: string) => {
  await waitFor(async () => existsSync(file) && readFileSync(file, "utf8").includes(" "), { what: file, everyMs: 50 });
  return readFileSync(file, "utf8").split(" ").map(Number);
};

test("a command gets its order, shows progress, and succeeds with its results; a second start is the same job", async () => {
  const script = `${WRITE}
    console.log("progress 0.5 epoch 3");
    console.log(process.env.MODEL, process.argv[1], process.env.SECRET_OF_THE_TRAINER);
    appendFileSync(out + "/starts", "x");
    writeFileSync(out + "/result.json", JSON.stringify({ formatVersion: 1 }));
    setTimeout(() => writeFileSync(out + "/model.onnx", "m"), 300);`;
  process.env.SECRET_OF_THE_TRAINER = "s3cret";
  const one = backend(script, { env: { MODEL: "{{model}} of {{runId}}" } }, ["{{jobFile}}"]);
  const id = await start(one, "good");
  expect(await start(one, "good")).toBe(id);
  const running = await waitFor(
    async () => {
      const state = await one.status(id, whole);
      return state.kind === "running" && state.progress === null ? undefined : state;
    },
    { what: "progress", everyMs: 20 },
  );
  expect([0.5, undefined]).toContain(running.kind === "running" ? running.progress : undefined);
  expect(await ended(one, id)).toEqual({ kind: "succeeded" });
  expect(readFileSync(join(dir.path, "good/starts"), "utf8")).toBe("x");
  const [, line = ""] = await one.logs(id, 10, whole);
  expect(line).toBe(`edge of good ${join(dir.path, "jobs", id, "job.json")} undefined`);
  expect(JSON.parse(readFileSync(line.split(" ")[3] ?? "", "utf8"))).toMatchObject({ runId: "good", attempt: 1 });
});

test("one that ends badly, without results, or never, is failed with the reason", async () => {
  const bad = backend(`console.log("no CUDA device"); process.exit(3);`);
  expect(await ended(bad, await start(bad, "bad"))).toEqual({
    kind: "failed",
    reason: "it ended with exit code 3; its last line: no CUDA device",
    isRetryable: true,
  });
  const empty = backend("");
  expect(await ended(empty, await start(empty, "empty"))).toMatchObject({
    kind: "failed",
    reason: expect.stringContaining("model.onnx is not in"),
    isRetryable: false,
  });
  const missing = backend("", { argv: ["/nowhere/python", "-m", "train"] });
  expect(await ended(missing, await start(missing, "missing"))).toMatchObject({ kind: "failed", isRetryable: false });
  const hanging = backend("setInterval(() => {}, 1000)", { jobMsMax: 1_000 });
  expect(await ended(hanging, await start(hanging, "hanging"))).toMatchObject({
    kind: "failed",
    reason: "it did not end within 1000 ms",
  });
});

test("a cancelled command ends with its children, and output without an end stays within its bound", async () => {
  const file = join(dir.path, "pids");
  const talks = `${SLEEP} setInterval(() => console.log("x".repeat(5000)), 1);`;
  const one = backend(talks, { logBytesMax: 100_000 }, [file]);
  const id = await start(one, "cancelled");
  const pids = await pidsIn(file);
  await waitFor(async () => (await one.logs(id, 100, whole)).length > 8, { what: "a full log", everyMs: 50 });
  // Another trainer's instance may cancel it.
  await backend("").cancel(id, whole);
  expect(await ended(one, id)).toEqual({ kind: "cancelled" });
  expect(pids.map(isAlive)).toEqual([false, false]);
  expect(Math.max(...(await one.logs(id, 100, whole)).map((line) => line.length))).toBeLessThanOrEqual(1_000);
  expect(await one.status("tributary-never-1", whole)).toEqual({ kind: "unknown" });
  expect(await one.status("../../etc", whole)).toEqual({ kind: "unknown" });
});

test("a command ends with its trainer, however that ends; the next attempt starts it again", async () => {
  const file = join(dir.path, "orphans");
  const trainer = `
    const { backendOf, backendSchema } = await import("./services/trainer/dist/backends/index.js");
    const { systemClock, seededRandom } = await import("./libs/kernel/dist/index.js");
    const { config, job, places } = JSON.parse(process.argv[1]);
    const backend = backendOf(backendSchema.parse(config), { clock: systemClock, random: seededRandom(1) });
    await backend.start(job, 1, places, new AbortController().signal);
    setInterval(() => {}, 1000);`;
  const config = { kind: "command", argv: [process.execPath, "-e", SLEEP, file], dir: join(dir.path, "jobs") };
  const order = JSON.stringify({ config, job: someJob({ runId: "orphan" }), places: placesOf("orphan") });
  const args = ["--input-type=module", "-e", trainer, order];
  const host: ChildProcess = spawn(process.execPath, args, { cwd: repositoryRoot, stdio: "inherit" });
  const pids = await pidsIn(file);
  host.kill("SIGKILL");
  const next = backend("");
  const state = await ended(next, "tributary-orphan-1");
  expect(state).toMatchObject({ kind: "failed", isRetryable: true, reason: expect.stringContaining("trainer") });
  await waitFor(() => pids.every((pid) => !isAlive(pid)), { what: "the end of both processes" });
  expect(await start(next, "orphan", 2)).toBe("tributary-orphan-2");
});

test("a job whose machine went is failed once it was silent for long (command-folder.ts F1)", async () => {
  const one = backend("setInterval(() => {}, 1000)");
  const id = await start(one, "silent");
  const state = join(dir.path, "jobs", id, "state.json");
  await waitFor(() => existsSync(state), { what: "its state", everyMs: 50 });
  const later = { ...systemClock, now: () => Date.now() + 60_000 };
  const elsewhere = opened({ kind: "command", argv: ["x"], dir: join(dir.path, "jobs") }, later);
  expect(await elsewhere.status(id, whole)).toMatchObject({ kind: "failed", isRetryable: true });
  utimesSync(state, new Date(), new Date());
  await one.cancel(id, whole);
  expect(await ended(one, id)).toEqual({ kind: "cancelled" });
});
