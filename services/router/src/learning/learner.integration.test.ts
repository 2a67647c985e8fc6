/** Labels arrive on a real Kafka: the router publishes the policies that they prove, once, and counts the outcome of every label. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  CloudResult,
  type EdgePrediction,
  EdgePredictions,
  GroundTruth,
  policyKey,
  RoutingPolicy,
  topics,
} from "@tributary/contracts";
import {
  ensureTributaryTopics,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  type OutRecord,
  readTopic,
} from "@tributary/kafka";
import { seededRandom } from "@tributary/kernel";
import {
  type SpawnedService,
  somePolicy,
  somePrediction,
  somePredictions,
  someResult,
  spawnService,
  testKafka,
  waitFor,
} from "@tributary/testing";

const kafka = { ...testKafka(), clientId: "learner-test" };
const dir = mkdtempSync(join(tmpdir(), "tributary-learner-"));
let sink: KafkajsSink;
let reader: KafkaReader;
let router: SpawnedService;

/** Sends a tenth of the frames, with a guarantee that these labels will refute. */
const first: RoutingPolicy = {
  ...somePolicy(),
  features: ["margin"],
  edgeRight: { bias: -3, weights: [6], labelBias: somePolicy().labels.map(() => 0) },
  cloudRight: { bias: 2, weights: [1], labelBias: somePolicy().labels.map(() => 0) },
  priorityLabels: [],
  scoreMin: 0.8,
  escalationShareMax: 0.6,
  samplePropensityMin: 0.1,
  guarantee: { method: "LEARN_THEN_TEST", epsilon: 0.02, delta: 0.05, n: 1_000, losses: 10, escalationShare: 0.1 },
};
const BOOT = somePredictions().bootId;

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 4 });
  await admin.close();
  sink = new KafkajsSink(kafka);
  reader = new KafkaReader(kafka);
  await sink.send([
    {
      topic: topics.policies.name,
      key: policyKey(first.modelDigest, first.cloudTarget),
      value: RoutingPolicy.encodeConfluent(first),
    },
  ]);
  router = await startRouter();
});

afterAll(async () => {
  await router?.kill();
  await sink.close();
  await reader.close();
  rmSync(dir, { recursive: true, force: true });
});

const startRouter = () =>
  spawnService({
    name: "router",
    main: "services/router/dist/main.js",
    dir,
    config: { kafka: { brokers: kafka.brokers, prefix: kafka.prefix }, learning: { everyMs: 200, labelsMin: 200 } },
    readyMsMax: 60_000,
  });

/** Drawn frames of two devices, the cloud's answers, and the truth: keeping frames of a small margin loses a lot. */
function traffic(from: number, count: number, seed: number) {
  const random = seededRandom(seed);
  const records: OutRecord[] = [];
  const labels: OutRecord[] = [];
  for (const deviceId of ["labelled-a", "labelled-b"]) {
    const predictions: EdgePrediction[] = [];
    for (let i = from; i < from + count; i++) {
      const frameSeq = BigInt(i);
      const margin = random();
      const isRight = random() < 0.5 + margin / 2;
      predictions.push(
        somePrediction({
          frameSeq,
          label: "cat",
          confidence: (1 + margin) / 2,
          margin,
          reason: "SAMPLE",
          escalation: "QUEUED",
          samplePropensity: 0.1,
          sampleDrawn: true,
        }),
      );
      const name = { deviceId, bootId: BOOT, cameraId: "cam", frameSeq };
      const truth = isRight ? "cat" : "dog";
      const result = someResult({ ...name, label: truth });
      records.push({ topic: topics.results.name, key: deviceId, value: CloudResult.encodeConfluent(result) });
      labels.push(labelRecord(name, truth));
    }
    const batch = somePredictions({ deviceId, seq: BigInt(from), predictions });
    records.unshift({ topic: topics.predictions.name, key: deviceId, value: EdgePredictions.encodeConfluent(batch) });
  }
  return { records, labels };
}

function labelRecord(
  name: { readonly deviceId: string; readonly bootId: bigint; readonly cameraId: string; readonly frameSeq: bigint },
  label: string | null,
): OutRecord {
  const truth: GroundTruth = {
    ...name,
    label,
    source: "PERSON",
    labelledBy: "test",
    labelledAt: Date.now(),
    labelSet: null,
    comment: null,
    frameAt: null,
  };
  return { topic: topics.groundTruth.name, key: name.deviceId, value: GroundTruth.encodeConfluent(truth) };
}

async function policies(): Promise<RoutingPolicy[]> {
  const found: RoutingPolicy[] = [];
  for await (const { value } of readTopic(reader, topics.policies.name)) {
    if (value !== null) found.push(RoutingPolicy.decodeConfluent(value));
  }
  return found;
}

async function labelOutcomes(): Promise<Record<string, number>> {
  const metrics = await (await fetch(`http://127.0.0.1:${router.ports.http}/metrics`)).text();
  const found = metrics.matchAll(/^tributary_router_labels_total\{fate="([a-z-]+)"\} (\d+)/gm);
  return Object.fromEntries([...found].map(([, outcome, count]) => [outcome, Number(count)]));
}

describe("relearning", () => {
  test("agreement and disagreement with the cloud move nothing; labels do, and the promise that is kept is published", async () => {
    const { records, labels } = traffic(1, 400, 11);
    await sink.send(records);
    await sink.send(labels.slice(0, 20)); // so that frames and answers are read at all
    await waitFor(async () => (await labelOutcomes()).used === 20, { what: "20 labels used" });
    expect(await policies()).toHaveLength(1);

    await sink.send(labels.slice(20));
    await waitFor(async () => (await policies()).length === 2, { what: "a second policy" });
    const [, second] = await policies();
    expect(second).toMatchObject({
      modelDigest: first.modelDigest,
      cloudTarget: "default",
      edgeRight: first.edgeRight,
    });
    expect(second?.policyVersion).not.toBe(first.policyVersion);
    expect(second?.scoreMin).toBeLessThan(first.scoreMin);
    expect(second?.guarantee.losses).toBeGreaterThan(0);
    expect(second?.guarantee.escalationShare).toBeLessThanOrEqual(0.6);
    expect(router.events().find(({ event }) => event === "policy_relearned")).toMatchObject({ why: "promise-refuted" });
  });

  test("labels for unknown frames and classes are named, counted and kept out, and the next good label is used", async () => {
    const before = (await labelOutcomes()).used ?? 0;
    const name = { deviceId: "labelled-a", bootId: BOOT, cameraId: "cam" };
    const { records, labels } = traffic(1_001, 1, 12);
    await sink.send(records);
    await sink.send([
      labelRecord({ ...name, frameSeq: 777_777n }, "cat"),
      labelRecord({ ...name, deviceId: "nobody", frameSeq: 1n }, "cat"),
      labelRecord({ ...name, frameSeq: 7n }, "unicorn"),
      { ...labelRecord({ ...name, frameSeq: 8n }, "cat"), key: "labelled-b" },
      { topic: topics.groundTruth.name, key: "labelled-a", value: Buffer.from("not Avro") },
      ...labels,
    ]);
    await waitFor(async () => (await labelOutcomes()).used === before + 2, { what: "the good labels used" });
    expect(await labelOutcomes()).toMatchObject({ "frame-unknown": 2, "class-unknown": 1 });
    const refused = router.events().filter(({ event }) => event === "label_refused");
    expect(refused.map(({ frameId }) => String(frameId)).sort()).toEqual([
      `labelled-a:${BOOT}:cam:7`,
      `labelled-a:${BOOT}:cam:777777`,
      `nobody:${BOOT}:cam:1`,
    ]);
    const unreadable = router.events().filter(({ event }) => event === "record_malformed");
    expect(unreadable.map(({ code }) => code).sort()).toEqual(["framing-unknown", "key-mismatch"]);
  });

  test("a restart reads it all again and publishes nothing different", async () => {
    const before = await policies();
    const used = (await labelOutcomes()).used ?? 0;
    await router.kill("SIGKILL");
    router = await startRouter();
    await waitFor(async () => ((await labelOutcomes()).used ?? 0) >= used - 1, { what: "all labels counted again" });
    await new Promise((resume) => setTimeout(resume, 1_000)); // for a policy to show
    expect(await policies()).toEqual(before);
  });
});
