/** The classifier as it is deployed: its own process, a real Kafka, a real model. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type CloudRequest, type CloudResult, dlqOf, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type Following,
  follow,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  readTopic,
} from "@tributary/kafka";
import {
  followContext,
  repositoryRoot,
  type SpawnedService,
  someRequest,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const packageDir = join(repositoryRoot, "models/cloud-vgg");
const golden = JSON.parse(readFileSync(join(packageDir, "golden/index.json"), "utf8")) as {
  frames: { jpeg: string; logits: number[] }[];
};
const parsedLabels: unknown = JSON.parse(readFileSync(join(packageDir, "labels.json"), "utf8"));
const labels = (Array.isArray(parsedLabels) ? parsedLabels : (parsedLabels as { labels: string[] }).labels) as string[];
const pictures = golden.frames.map(({ jpeg, logits }) => ({
  jpeg: readFileSync(join(packageDir, jpeg)),
  label: labels[logits.indexOf(Math.max(...logits))],
}));
const picture = pictures[0] as (typeof pictures)[number];

const kafka = { ...testKafka(), clientId: "classifier-test" };
const dir = tempDir("classifier");
const reader = new KafkaReader(kafka);
const sink = new KafkajsSink(kafka);
const results = new Map<string, CloudResult[]>();
const stop = new AbortController();
let service: SpawnedService;
let following: Following;

const keyOf = (r: { deviceId: string; frameSeq: bigint }) => `${r.deviceId}:${r.frameSeq}`;

const ask = (requests: readonly CloudRequest[], lane: "high" | "normal" = "normal") => {
  const { name: topic, codec } = lane === "high" ? topics.requestsHigh : topics.requestsNormal;
  return sink.send(requests.map((r) => ({ topic, key: r.deviceId, value: codec.encodeConfluent(r) })));
};
const resultOf = (request: { deviceId: string; frameSeq: bigint }) =>
  waitFor(() => results.get(keyOf(request))?.[0], { what: `the result of ${keyOf(request)}` });

let seq = 0n;
const request = (change: Partial<CloudRequest> = {}) =>
  someRequest({ frameSeq: ++seq, jpeg: picture.jpeg, deadlineAt: Date.now() + 20_000, ...change });

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 4 });
  await admin.close();
  service = await spawnService({
    name: "cloud-classifier",
    main: "services/cloud-classifier/dist/main.js",
    dir: dir.path,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      log: { level: "info" },
      targets: { default: { backend: "onnx", package: packageDir, costMicrosPerCall: 120 } },
    },
  });
  following = await follow(followContext(reader, stop.signal), topics.results, (result) => {
    if (result !== null) results.set(keyOf(result), [...(results.get(keyOf(result)) ?? []), result]);
  });
  const warm = request();
  await ask([warm]); // until here the group may still be forming
  await resultOf(warm);
});

afterAll(async () => {
  stop.abort();
  await following.ended;
  const status = await service.stop();
  await Promise.all([reader.close(), sink.close()]);
  dir.remove();
  expect(status.code).toBe(0);
});

describe("the classifier", () => {
  test("answers every golden frame as the package lists it, on both lanes, with the cost", async () => {
    const asked = pictures.map((p, i) => ({
      label: p.label,
      request: request({ jpeg: p.jpeg, deviceId: `d${i % 5}` }),
    }));
    await ask(
      asked.slice(0, 4).map((a) => a.request),
      "high",
    );
    await ask(asked.slice(4).map((a) => a.request));
    let cost = 0n;
    for (const { label, request } of asked) {
      const result = await resultOf(request);
      expect(result).toMatchObject({ outcome: "ANSWERED", label, target: "default", attempts: 1, answeredBy: null });
      cost += result.costMicros;
      expect(result.confidence).toBeGreaterThan(0.1);
      expect(result.modelDigest).toMatch(/^[0-9a-f]{64}$/);
    }
    // A call costs 120, and its frames share that to the last micro.
    expect([cost % 120n, cost >= 120n, cost <= 120n * BigInt(asked.length)]).toEqual([0n, true, true]);
  });

  test("returns why a frame has no answer, and continues", async () => {
    const past = { deadlineAt: Date.now() - 1_000 };
    const corrupt = request({ jpeg: Buffer.from([0xff, 0xd8, 1, 2, 3]) });
    const late = request(past);
    const lateSample = request({ ...past, sampleDrawn: true });
    const lost = request({ target: "nowhere" });
    const good = request();
    await ask([corrupt, late, lateSample, lost, good]);
    expect(await resultOf(corrupt)).toMatchObject({
      outcome: "REFUSED",
      failureCode: expect.stringMatching(/^image-/),
    });
    expect(await resultOf(late)).toMatchObject({ outcome: "EXPIRED", failureCode: "deadline-passed", costMicros: 0n });
    expect(await resultOf(lateSample)).toMatchObject({ outcome: "ANSWERED", label: picture.label });
    expect(await resultOf(lost)).toMatchObject({ outcome: "FAILED", failureCode: "target-unknown" });
    expect(await resultOf(good)).toMatchObject({ outcome: "ANSWERED" });
  });

  test("writes a poison record to the dead letters and answers the ones around it (G8)", async () => {
    const before = request();
    const after = request();
    const { name: topic } = topics.requestsHigh;
    await ask([before], "high");
    await sink.send([{ topic, key: before.deviceId, value: Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff, 0xff]) }]);
    await ask([after], "high");
    await resultOf(before);
    await resultOf(after);
    const dlq = dlqOf(topic, "cloud-classifier");
    const letters = await Array.fromAsync(readTopic(reader, dlq));
    expect(letters).toHaveLength(1);
    expect(letters[0]?.headers["__connect.errors.exception.class.name"]).toMatch(/^record-/);
  });

  test("a model process that is killed is restarted, and no frame is lost", async () => {
    const loaded = () => service.events().filter((event) => event.event === "model_loaded");
    const pid = Number(loaded().at(-1)?.pid);
    const asked = Array.from({ length: 40 }, () => request());
    await ask(asked.slice(0, 20));
    process.kill(pid, "SIGKILL");
    await ask(asked.slice(20));
    for (const each of asked) expect(await resultOf(each)).toMatchObject({ outcome: "ANSWERED" });
    expect(loaded()).toHaveLength(2);
  });

  test("answers one at a time, and a burst at once", async () => {
    for (let i = 0; i < 20; i++) {
      const one = request({ deviceId: `q${i % 4}` });
      await ask([one]);
      expect(await resultOf(one)).toMatchObject({ outcome: "ANSWERED" });
    }
    const burst = Array.from({ length: 100 }, (_, i) => request({ deviceId: `b${i % 8}` }));
    await ask(burst);
    for (const each of burst) expect(await resultOf(each)).toMatchObject({ outcome: "ANSWERED" });
  });
});
