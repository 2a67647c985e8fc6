/** A training as a DAG run of Airflow 3 itself: its API server, scheduler and DAG processor, on SQLite. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { freePort, repositoryRoot, tempDir, waitFor } from "@tributary/testing";
import { python } from "../../../../tools/peers.mjs";
import type { TrainingBackend } from "./backend.ts";
import { opened, someJob, somePlaces } from "./jobs.test-kit.ts";

const whole = new AbortController().signal;
const dir = tempDir("airflow");
const processes: ChildProcess[] = [];
let backend: TrainingBackend;
let url: string;

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  mkdirSync(join(dir.path, "dags"));
  cpSync(join(repositoryRoot, "services/trainer/src/testing/retrain_dag.py"), join(dir.path, "dags/retrain.py"));
  const passwords = join(dir.path, "passwords.json");
  writeFileSync(passwords, JSON.stringify({ ada: "s3cret" }));
  const secret = "0123456789abcdef".repeat(4);
  const env = {
    ...process.env,
    AIRFLOW_HOME: dir.path,
    AIRFLOW__CORE__LOAD_EXAMPLES: "False",
    AIRFLOW__CORE__DAGS_FOLDER: join(dir.path, "dags"),
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: "ada:admin",
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: passwords,
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${url}/execution/`,
    AIRFLOW__CORE__PARALLELISM: "2",
    AIRFLOW__API__HOST: "127.0.0.1",
    AIRFLOW__API__PORT: `${port}`,
    AIRFLOW__API__WORKERS: "1",
    AIRFLOW__API_AUTH__JWT_SECRET: secret,
    AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC: "1",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED: "False",
    DO_NOT_TRACK: "true",
  };
  const made = spawnSync(python("airflow"), ["-m", "airflow", "db", "migrate"], { env, encoding: "utf8" });
  expect(made.status).toBe(0);
  for (const program of ["api-server", "scheduler", "dag-processor"]) {
    const log = openSync(join(dir.path, `${program}.log`), "w");
    // Groups of their own: their workers end with them.
    const stdio = ["ignore", log, log] as const;
    processes.push(spawn(python("airflow"), ["-m", "airflow", program], { env, stdio: [...stdio], detached: true }));
    closeSync(log);
  }
  const auth = { username: "ada", password: { value: "s3cret" } };
  backend = opened({ kind: "airflow", url, dag: "retrain", auth, logsTask: "train" });
  await waitFor(isReady, { what: "Airflow and its DAG", timeoutMs: 300_000, everyMs: 300 });
}, 600_000);
afterAll(() => {
  for (const { pid } of processes) if (pid !== undefined) process.kill(-pid, "SIGKILL");
  dir.remove();
});

async function isReady(): Promise<boolean> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ username: "ada", password: "s3cret" });
  const { access_token } = (await (await fetch(`${url}/auth/token`, { method: "POST", headers, body })).json()) as {
    access_token: string;
  };
  return (await fetch(`${url}/api/v2/dags/retrain`, { headers: { authorization: `Bearer ${access_token}` } })).ok;
}

const parent = pathToFileURL(join(repositoryRoot, "models/edge-resnet8/model.onnx")).href;
const results = pathToFileURL(join(dir.path, "results")).href;
const places = somePlaces({ parent, results });
const until = (id: string, kind: string) =>
  waitFor(async () => (await backend.status(id, whole)).kind === kind, {
    what: `${id} to be ${kind}`,
    timeoutMs: 400_000,
    everyMs: 200,
  });

test("a DAG run gets the order, is started once, and leaves a model that is read; another is cancelled", async () => {
  const start = (attempt: number, slice: string) => backend.start(someJob({ slice }), attempt, places, whole);
  const id = await start(1, "site=north");
  expect(await start(1, "site=north")).toBe(id);
  const slow = await start(2, "slow");
  await until(id, "succeeded");
  expect(JSON.parse(readFileSync(join(dir.path, "results/result.json"), "utf8"))).toEqual({ formatVersion: 1 });
  expect(existsSync(join(dir.path, "results/model.onnx"))).toBe(true);
  expect((await backend.logs(id, 100, whole)).join("\n")).toContain("training edge on edge/3, attempt 1");
  expect(await backend.status(slow, whole)).toMatchObject({ kind: "running" });
  await backend.cancel(slow, whole);
  await until(slow, "cancelled");
  // What has succeeded stays so (http-job.ts H3).
  await backend.cancel(id, whole);
  expect(await backend.status(id, whole)).toEqual({ kind: "succeeded" });
  expect(await backend.status("tributary-never-1", whole)).toEqual({ kind: "unknown" });
}, 900_000);

test("a DAG that does not exist is a person's, with Airflow's words", async () => {
  const auth = { username: "ada", password: { value: "s3cret" } };
  const missing = opened({ kind: "airflow", url, dag: "nothing", auth });
  await expect(missing.start(someJob(), 1, places, whole)).rejects.toMatchObject({
    code: "server-refused",
    advice: "ask-a-person",
    message: expect.stringContaining("nothing"),
  });
});
