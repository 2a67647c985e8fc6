/** `tributary world` as people run it: the first table, the next one from frames on a real Kafka, and both through a real registry's gate. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type EdgePrediction, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { initKeys } from "@tributary/model-packaging";
import { loadWorld, writeWorld } from "@tributary/model-store";
import {
  repositoryRoot,
  type SpawnedService,
  someBootId,
  somePrediction,
  somePredictions,
  someResult,
  spawnService,
  testKafka,
} from "@tributary/testing";
import { classesIn } from "@tributary/world";
import { type Ran, runHere } from "../run.test-kit.ts";

const TOKEN = "a-token-for-the-tests";
const EDGE = join(repositoryRoot, "models/edge-resnet8");
const kafka = { ...testKafka(), clientId: "cli-world-test" };
let dir: string;
let registry: SpawnedService;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-cli-world-"));
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 }).finally(() => admin.close());
  await initKeys({ dataDir: join(dir, "data"), offlineDir: join(dir, "offline"), now: Date.now() });
  registry = await spawnService({
    name: "model-registry",
    main: "services/model-registry/dist/main.js",
    dir,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      dataDir: join(dir, "data"),
      auth: { tokens: [TOKEN] },
    },
  });
});
afterAll(async () => {
  await registry?.stop();
  await rm(dir, { recursive: true, force: true });
});

const world = (...argv: string[]): Promise<Ran> => runHere(["world", ...argv]);
const atRegistry = () => ["--registry", `http://127.0.0.1:${registry.ports.http}`, "--registry-token", TOKEN];
const models = (...argv: string[]): Promise<Ran> => runHere(["models", ...argv, ...atRegistry()]);
const fromKafka = ["--brokers", kafka.brokers.join(","), "--prefix", kafka.prefix];
const at = (name: string): string => join(dir, name);

/** A frame at sea or on land, drawn with this propensity, with the cloud's answer or a person's label. */
type Logged = {
  readonly context: string | null;
  readonly propensity?: number;
  readonly drawn?: boolean;
  readonly cloud?: string;
  readonly label?: string;
};

async function logged(frames: readonly Logged[]): Promise<void> {
  const sink = new KafkajsSink(kafka);
  const put = <T>(topic: Topic<T>, value: T) => ({
    ...{ topic: topic.name, key: "cam-01", timestamp: Date.now() },
    value: topic.codec.encodeConfluent(value),
  });
  const predictions: EdgePrediction[] = [];
  const records = [];
  for (const [i, { context, propensity = 0.5, drawn = true, cloud, label }] of frames.entries()) {
    const frameSeq = BigInt(i + 1);
    predictions.push(somePrediction({ frameSeq, context, samplePropensity: propensity, sampleDrawn: drawn }));
    const name = { deviceId: "cam-01", bootId: someBootId, cameraId: "cam", frameSeq };
    if (cloud !== undefined) records.push(put(topics.results, someResult({ ...name, label: cloud })));
    if (label === undefined) continue;
    const person = {
      source: "PERSON",
      labelledBy: "",
      labelledAt: Date.now(),
      labelSet: null,
      comment: null,
      frameAt: null,
    } as const;
    records.push(put(topics.groundTruth, { ...name, label, ...person }));
  }
  records.push(put(topics.predictions, somePredictions({ deviceId: "cam-01", seq: 1n, predictions })));
  await sink.send(records);
  await sink.close();
}

test("the first table has no counts; factors that cannot be are refused by name", async () => {
  await writeFile(at("factors.json"), JSON.stringify([{ name: "place", kind: "text", values: ["sea", "land"] }]));
  const made = await world("init", at("first"), "--like", EDGE, "--factors", at("factors.json"), "--name", "roads");
  expect(made).toMatchObject({ code: 0, text: expect.stringMatching(/^[0-9a-f]{64}$/) });
  const { table, manifest } = await loadWorld(at("first"));
  expect([...classesIn(table, { place: "sea" })]).toEqual([...table.prior]);
  expect(manifest).toMatchObject({ name: "roads", version: "0.0.0", kind: "world" });
  await writeFile(at("wrong.json"), JSON.stringify([{ name: "hour", kind: "number", min: 0, max: 24, edges: [9, 6] }]));
  const wrong = await world("init", at("none"), "--like", EDGE, "--factors", at("wrong.json"));
  expect(wrong.text).toContain("factors[0].edges: expected ascending numbers");
  expect(wrong.code).not.toBe(0);
});

test("without frames of the sample there is nothing to train from", async () => {
  const early = await world("train", at("none"), "--from", at("first"), ...fromKafka);
  expect(early).toMatchObject({ code: 1, text: expect.stringContaining("Do devices have world.context") });
});

test("the next one comes from drawn frames by their propensity, and passes the gate; other classes do not", async () => {
  expect(await models("push", at("first"), "--alias", "champion")).toMatchObject({
    code: 0,
    text: expect.stringContaining("a world model of 0 contexts"),
  });
  const [sea, land] = ['{"place":"sea"}', '{"place":"land"}'];
  await logged([
    ...Array.from({ length: 40 }, () => ({ context: sea, cloud: "ship" })),
    // As frequent as ten of the others.
    ...Array.from({ length: 4 }, () => ({ context: land, propensity: 0.05, cloud: "cat", label: "dog" })),
    { context: land, drawn: false, cloud: "truck" },
    { context: land, cloud: "unicorn" },
    { context: '{"place":"moon"}', cloud: "cat" },
    { context: "{", cloud: "cat" },
    { context: null, cloud: "cat" },
  ]);
  const trained = await world("train", at("next"), "--from", "roads@champion", ...fromKafka, ...atRegistry());
  expect(trained).toMatchObject({ code: 0 });
  expect(trained.text).toContain("left out 1 frames: context-invalid");
  expect(trained.text).toContain("left out 1 frames: class-unknown");
  const { table, manifest } = await loadWorld(at("next"));
  expect(manifest.name).toBe("roads");
  expect(manifest.version).toMatch(/^\d{4}\.\d\d\.\d\d-\d{4}$/);
  const count = (path: string, label: string) => Math.round(table.cells[path]?.[table.labels.indexOf(label)] ?? 0);
  expect([count("sea", "ship"), count("land", "dog"), count("land", "cat"), count("land", "truck")]).toEqual([
    80, 80, 0, 0,
  ]);
  const pushed = await models("push", at("next"), "--alias", "challenger", "--wait");
  expect(pushed).toMatchObject({ code: 0, text: expect.stringContaining("passed") });

  const labels = table.labels.map((label) => `other-${label}`);
  await writeWorld(at("other"), {
    ...{ name: "roads", version: "9", hardwareClass: "generic", metrics: {}, lineage: {} },
    table: { ...table, labels },
  });
  const other = await models("push", at("other"), "--alias", "challenger", "--wait");
  expect(other).toMatchObject({ code: 1, text: expect.stringContaining("its classes are not those of 0.0.0") });
});

test("a package that was altered is refused", async () => {
  const file = at("next/world.json");
  await writeFile(file, (await readFile(file, "utf8")).replace('"strength":20', '"strength":21'));
  const altered = await models("push", at("next"));
  expect(altered.code).not.toBe(0);
  expect(altered.text).toMatch(/world\.json: SHA-256 is .* the manifest lists/);
});
