/** What was here before a poll of MLflow. What is imported anew is tested beside a real MLflow: mlflow.ci.test.ts. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Model } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { createTelemetry } from "@tributary/telemetry";
import { someModel, waitFor } from "@tributary/testing";
import { MlflowImporter } from "./importer.ts";

/** By MLflow's name: the version that is challenger there. */
let challengers: Record<string, { version: string; run_id: string }> = {};
let tags: string[] = [];
const mlflow = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://mlflow");
  const body = (await request.toArray()).join("");
  if (pathname.endsWith("/registered-models/alias")) {
    const found = challengers[searchParams.get("name") ?? ""];
    response.statusCode = found === undefined ? 404 : 200;
    response.end(JSON.stringify({ model_version: found }));
    return;
  }
  const { name, version, value } = JSON.parse(body) as { name: string; version: string; value: string };
  tags.push(`${name} ${version}: ${value.replace(/, [^,]+$/, "")}`);
  response.end("{}");
});
let url: string;
beforeAll(async () => {
  await once(mlflow.listen(0, "127.0.0.1"), "listening");
  url = `http://127.0.0.1:${(mlflow.address() as AddressInfo).port}`;
});
afterAll(() => void mlflow.close());
beforeEach(() => {
  challengers = {};
  tags = [];
});

const PUSHED_AT = 1_000_000;
const imported = (version: string, mlflowModel: string, mlflowRun: string, change: Partial<Model> = {}) =>
  someModel({
    version: `mlflow-${version}`,
    modelDigest: version.padStart(64, "0"),
    lineage: { mlflowModel, mlflowVersion: version, mlflowRun },
    pushedAt: PUSHED_AT,
    ...change,
  });
const judged = {
  passed: true,
  championDigest: "one",
  failed: [],
  unsure: [],
  reportDigest: "",
  pageDigest: "",
  judgedAt: 1,
  forcedBy: "",
  forcedReason: "",
  validationDigest: "",
  validationGates: 0,
  sliceDigest: "",
  sliceGates: 0,
};

const unpacked = () => Promise.reject(new Error("nothing is packed here"));

/** A registry that starts and polls MLflow: its log messages, and the aliases it gives. */
async function poll(models: readonly Model[], aliases: { given: Record<string, string>; at: number } | undefined) {
  const table = new ModelTable();
  for (const model of models) table.applyModel(model);
  if (aliases)
    table.applyAliases({
      name: "edge",
      aliases: aliases.given,
      changedBy: "ada",
      changedAt: aliases.at,
      validation: null,
    });
  const given: string[] = [];
  const messages: string[] = [];
  const importer = new MlflowImporter({
    settings: { url, models: { Edge: "edge" }, pollMs: 60_000, cloud: {}, timeoutMs: 5_000 },
    table,
    registry: {
      alias: async (name, alias, version) => void given.push(`${name}@${version} ${alias}`),
      push: () => Promise.reject(new Error("nothing is pushed here")),
    },
    packages: { withScratch: () => Promise.reject(new Error("nothing is downloaded here")) },
    checks: { packageBytesMax: 1_000, threads: 1, hardwareClasses: {} },
    blobBytesMax: 1,
    packMsMax: 1,
    validation: { withFrames: unpacked },
    blobs: {} as never,
    clock: systemClock,
    telemetry: createTelemetry({
      service: "test",
      defaultMetrics: false,
      write: (line) => void messages.push(JSON.parse(line).msg),
    }),
  });
  importer.start();
  await waitFor(() => tags.length > 0, { what: "a tag in MLflow" });
  await importer.stop();
  return { given, messages };
}

test("a version of another MLflow model, or of one made anew, is not the one imported under its name: it is refused with the reason", async () => {
  for (const [model, run] of [
    ["Edge north", "r-1"], // Two models there are one here.
    ["Edge", "r-last-year"], // Deleted there and made anew, it starts at version 1 again.
  ] as const) {
    tags = [];
    challengers = { Edge: { version: "1", run_id: "r-2" } };
    const { given, messages } = await poll([imported("1", model, run)], undefined);
    const why =
      `edge mlflow-1 is here already and is MLflow's ${model} of run ${run}, this one is Edge of run r-2: ` +
      "log it as a package with a version of its own (tributary models pack)";
    expect(given).toEqual([]);
    expect(messages).toEqual([`MLflow's Edge: ${why}`]);
    expect(tags).toEqual([`Edge 1: refused: ${why} (mlflow-version-taken)`]);
  }
});

test("what was imported before does not become challenger again, and nothing reports that it did", async () => {
  // In MLflow, the alias was moved from 4 to 3.
  challengers = { Edge: { version: "3", run_id: "r-3" } };
  const models = [imported("3", "Edge", "r-3", { gate: judged }), imported("4", "Edge", "r-4", { gate: judged })];
  const { given, messages } = await poll(models, { given: { challenger: "mlflow-4" }, at: PUSHED_AT + 1 });
  const what =
    "is here since before as edge@mlflow-3, the challenger is edge@mlflow-4; " +
    "to change that: tributary models alias edge@mlflow-3 challenger";
  expect(given).toEqual([]);
  expect(messages).toEqual([`MLflow's Edge 3 ${what}`]);
  expect(tags).toEqual([`Edge 3: ${what}`]);
});

test("a change of our alias before the gate finished holds, also after a restart", async () => {
  challengers = { Edge: { version: "3", run_id: "r-3" } };
  const models = [imported("3", "Edge", "r-3"), someModel({ version: "2.0.0", pushedAt: 1 })];
  const { given } = await poll(models, { given: { challenger: "2.0.0" }, at: PUSHED_AT + 1 });
  expect(given).toEqual([]);
  expect(tags).toEqual([expect.stringContaining("the challenger is edge@2.0.0")]);
  tags = [];
  await poll(models, { given: {}, at: PUSHED_AT + 1 });
  expect(tags).toEqual([expect.stringContaining("nobody is challenger")]);
  tags = [];
  expect((await poll(models, { given: { challenger: "mlflow-3" }, at: PUSHED_AT + 1 })).given).toEqual([]);
  expect(tags).toEqual(["Edge 3: challenger edge@mlflow-3"]);
});

test("what a registry listed that was killed before it gave the alias gets it at the next start", async () => {
  challengers = { Edge: { version: "3", run_id: "r-3" } };
  for (const aliases of [undefined, { given: { champion: "2.0.0" }, at: PUSHED_AT - 1 }]) {
    tags = [];
    const { given, messages } = await poll([imported("3", "Edge", "r-3")], aliases);
    expect(given).toEqual(["edge@mlflow-3 challenger"]);
    expect(messages).toEqual(["MLflow's Edge 3 is edge mlflow-3, the challenger"]);
    expect(tags).toEqual(["Edge 3: challenger edge@mlflow-3"]);
  }
});
