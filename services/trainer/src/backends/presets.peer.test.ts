/** Kubeflow's and Azure ML's requests, judged by the models that their makers publish on PyPI. No server of theirs is run. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { repositoryRoot } from "@tributary/testing";
import { python } from "../../../../tools/peers.mjs";
import type { TrainingBackend } from "./backend.ts";
import { backendSchema } from "./index.ts";
import { opened, someJob, somePlaces } from "./jobs.test-kit.ts";
import { httpJobOf, type PresetConfig } from "./presets.ts";

const whole = new AbortController().signal;
let server: ChildProcess;
let url: string;
let states: { readonly kubeflow: readonly string[]; readonly azure: readonly string[] };

beforeAll(async () => {
  const script = join(repositoryRoot, "services/trainer/src/testing/scheduler_apis.py");
  server = spawn(python("apis"), [script], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: server.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  url = `http://127.0.0.1:${(await lines.next()).value}`;
  states = JSON.parse((await lines.next()).value ?? "{}");
}, 300_000);
afterAll(() => void server.kill());

const token = { value: "token" };
const kubeflow = () => ({
  kind: "kubeflow",
  url,
  pipelineId: "p-1",
  pipelineVersionId: "v-1",
  experimentId: "e-1",
  token,
});
const azureMl = () => ({
  ...{ kind: "azure-ml", url, subscription: "0000-1111", resourceGroup: "group_(1)", workspace: "ws-1", token },
  ...{ environmentId: "azureml:env:1", computeId: "/subscriptions/0000-1111/computes/cpu" },
  command: "python -m tributary_training.finetune",
});
type Seen = { method: string; path: string; status: number; problems: string[] };
const seen = async () => (await (await fetch(`${url}/seen`)).json()) as Seen[];

async function lifeOf(backend: TrainingBackend): Promise<readonly string[]> {
  const start = (attempt: number) => backend.start(someJob(), attempt, somePlaces(), whole);
  const id = await start(1);
  expect(await start(1)).toBe(id);
  const kinds: string[] = [];
  while (kinds.length < 10 && kinds.at(-1) !== "succeeded") kinds.push((await backend.status(id, whole)).kind);
  const second = await start(2);
  expect(second).not.toBe(id);
  await backend.cancel(second, whole);
  while (kinds.length < 20 && kinds.at(-1) !== "cancelled") kinds.push((await backend.status(second, whole)).kind);
  kinds.push((await backend.status("never-started", whole)).kind);
  return kinds;
}

test.each([
  ["Kubeflow Pipelines", kubeflow, "kubeflow"],
  ["Azure ML", azureMl, "azure"],
] as const)(
  "%s: no request has a problem, a start is idempotent, every published state is known",
  async (_, config, of) => {
    const parsed = backendSchema.parse(config());
    const backend = opened(config());
    const kinds = await lifeOf(backend);
    expect(new Set(kinds.slice(0, kinds.indexOf("succeeded") + 1))).toEqual(new Set(["running", "succeeded"]));
    expect(kinds.slice(-2)).toEqual(["cancelled", "unknown"]);
    const requests = await seen();
    expect(requests.flatMap(({ problems }) => problems)).toEqual([]);
    expect(requests.filter(({ status }) => ![200, 201, 202, 404].includes(status))).toEqual([]);
    const { running, succeeded, failed, cancelled } = httpJobOf(parsed as PresetConfig).status.states;
    expect([...running, ...succeeded, ...failed, ...cancelled].sort()).toEqual([...states[of]].sort());
  },
);

test("the models refuse what they do not have, so the tests above say something", async () => {
  const headers = { authorization: "Bearer token", "content-type": "application/json" };
  const send = async (method: string, path: string, body: object) => {
    const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
    return response.status;
  };
  const run = { display_name: "x", runtime_config: { parameter: { job: {} } } };
  expect(await send("POST", "/apis/v2beta1/runs", run)).toBe(422);
  const path =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/ws1/jobs/j?api-version=2024-04-01";
  expect(await send("PUT", path, { properties: { jobType: "Command", command: "x" } })).toBe(422);
  const known = { jobType: "Command", command: "x", environmentId: "e" };
  expect(await send("PUT", path, { properties: { ...known, commandLine: "x" } })).toBe(422);
  expect(await send("PUT", path, { properties: known })).toBe(201);
});
