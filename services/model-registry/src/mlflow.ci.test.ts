/** The registry as it is deployed beside a real MLflow, with models that MLflow's own client logged. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { ensureTributaryTopics, KafkajsAdmin } from "@tributary/kafka";
import { type Mlflow, mlflowEnv, repositoryRoot, startMlflow, tempDir, testKafka, waitFor } from "@tributary/testing";
import { python } from "../../../tools/peers.mjs";
import {
  Client,
  EDGE,
  makeKeys,
  partsOf,
  type RegistryProcess,
  startRegistry,
  validationFolder,
  writePackage,
} from "./registry.test-kit.ts";

const kafka = testKafka();
const dir = tempDir("mlflow");
const dataDir = join(dir.path, "data");
const script = join(repositoryRoot, "services/model-registry/src/testing/log_model.py");
const env = { ...process.env, ...mlflowEnv };
let mlflow: Mlflow;
let config: object;
let service: RegistryProcess;
let client: Client;

type View = {
  gate: { passed: boolean } | null;
  aliases: string[];
  lineage: Record<string, string>;
  edge: boolean;
  pushedBy: string;
};
const version = async (path: string): Promise<View | undefined> => {
  const { status, body } = await client.call("GET", `/models/${path}`);
  return status === 200 ? (body as unknown as View) : undefined;
};
const log = async (name: string, how: string, folder: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(python("mlflow"), [script, mlflow.url, name, how, folder], { env });
  return stdout.trim().split("\n").at(-1) ?? "";
};
const tagOf = async (name: string, of: string): Promise<string | undefined> => {
  const query = new URLSearchParams({ name, version: of });
  const response = await fetch(`${mlflow.url}/api/2.0/mlflow/model-versions/get?${query}`);
  const { model_version } = (await response.json()) as { model_version: { tags?: { key: string; value: string }[] } };
  return model_version.tags?.find(({ key }) => key === "tributary")?.value;
};

beforeAll(async () => {
  mlflow = await startMlflow(join(dir.path, "server"));
  const admin = new KafkajsAdmin({ ...kafka, clientId: "mlflow-test" });
  await ensureTributaryTopics(admin, { partitions: 2 }).finally(() => admin.close());
  await makeKeys(dataDir);
  const frames = await validationFolder(join(dir.path, "frames"), 200);
  config = {
    kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
    dataDir,
    validation: { edge: frames, unused: frames },
    gate: { corrupted: 0, margins: { latency: 1_000 } }, // A busy machine must not decide.
    mlflow: {
      url: mlflow.url,
      models: { "Edge model": "edge", "not there": "unused" },
      pollMs: 300,
      cloud: { edge: join(repositoryRoot, "models/cloud-vgg") },
    },
  };
  service = await startRegistry(dir.path, config);
  client = new Client(service.url);
}, 900_000);
afterAll(async () => {
  await service?.stop();
  await mlflow?.stop();
  dir.remove();
});

test("a package that becomes challenger in MLflow is listed, and is the challenger here", async () => {
  const champion = join(dir.path, "champion");
  await writePackage(champion, await partsOf(EDGE, { name: "edge", version: "1.0.0" }));
  await client.push(champion);
  await client.call("PUT", "/models/edge/aliases/champion", { version: "1.0.0", by: "ada" });
  const retrained = join(dir.path, "retrained");
  await writePackage(retrained, await partsOf(EDGE, { name: "edge", version: "2.0.0" }));
  const logged = await log("Edge model", "package", retrained);
  const judged = await waitFor(
    async () => {
      const found = await version("edge/2.0.0");
      return found?.gate ? found : undefined;
    },
    { what: "the import and the gate", timeoutMs: 120_000, everyMs: 300 },
  );
  expect(judged).toMatchObject({ pushedBy: "mlflow", aliases: ["challenger"], gate: { passed: true } });
  await waitFor(() => tagOf("Edge model", logged), { what: "the tag in MLflow" });
  expect(await tagOf("Edge model", logged)).toMatch(/^challenger edge@2\.0\.0, /);
}, 300_000);

test("an ONNX flavour with labels and preprocessing is packed on our validation frames, with a routing policy", async () => {
  const logged = await log("Edge model", "packable", EDGE);
  const imported = await waitFor(() => version(`edge/mlflow-${logged}`), {
    what: "the import",
    timeoutMs: 180_000,
    everyMs: 300,
  });
  expect(imported).toMatchObject({
    edge: true,
    pushedBy: "mlflow",
    lineage: { mlflowModel: "Edge model", mlflowVersion: logged, mlflowRun: expect.stringMatching(/^[0-9a-f]{32}$/) },
  });
  const aliases = async () => (await version(`edge/mlflow-${logged}`))?.aliases ?? [];
  await waitFor(async () => (await aliases()).length > 0, { what: "the alias" });
  expect(await aliases()).toEqual(["challenger"]);
}, 300_000);

test("one without them is refused with the reason, also in MLflow, and the challenger here stays", async () => {
  const logged = await log("Edge model", "bare", EDGE);
  const tag = await waitFor(() => tagOf("Edge model", logged), { what: "the refusal" });
  expect(tag).toMatch(/^refused: .*lacks labels\.json or labels\.txt and preprocessor_config\.json/);
  const failures = service
    .events()
    .filter(({ event, code }) => event === "mlflow_import_failed" && code === "mlflow-model-unusable");
  expect(failures).toHaveLength(1);
  const { items } = (await client.call("GET", "/models?alias=challenger")).body as { items: { version: string }[] };
  expect(items.map((item) => item.version)).toEqual([`mlflow-${Number(logged) - 1}`]);
});

test("the last change of our alias holds, also after a restart; an unreachable MLflow is retried", async () => {
  await client.call("PUT", "/models/edge/aliases/challenger", { version: "2.0.0", by: "ada" });
  await service.kill();
  service = await startRegistry(dir.path, {
    ...config,
    mlflow: { url: "http://127.0.0.1:9", models: { m: "edge" }, pollMs: 200 },
  });
  client = new Client(service.url);
  await waitFor(() => service.events().some(({ code }) => code === "mlflow-unreachable"), { what: "the failed poll" });
  expect((await version("edge/2.0.0"))?.aliases).toEqual(["challenger"]);
  await service.stop();
  service = await startRegistry(dir.path, config);
  client = new Client(service.url);
  await waitFor(() => service.events().some(({ event }) => event === "mlflow_import_failed"), {
    what: "the next poll",
  });
  expect((await version("edge/2.0.0"))?.aliases).toEqual(["challenger"]);
});
