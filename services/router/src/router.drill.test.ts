/** The router as a process on a real Kafka: its input, its output, and its state after kill -9. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  CloudRequest,
  CloudResult,
  dlqOf,
  EdgeFrame,
  type EdgePrediction,
  EdgePredictions,
  type FinalAnswer,
  RoutingPolicy,
  topics,
} from "@tributary/contracts";
import {
  ensureTributaryTopics,
  follow,
  type InRecord,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  type OutRecord,
  readTopic,
} from "@tributary/kafka";
import {
  followContext,
  freePort,
  repositoryRoot,
  type SpawnedService,
  someFrame,
  somePrediction,
  somePredictions,
  someResult,
  spawnProcess,
  spawnService,
  testKafka,
  waitFor,
} from "@tributary/testing";

const PARTITIONS = 8;
const kafka = { ...testKafka(), clientId: "router-test" };
const dir = mkdtempSync(join(tmpdir(), "tributary-router-"));
const stop = new AbortController();
let sink: KafkajsSink;
let reader: KafkaReader;
const routers: SpawnedService[] = [];

type Answer = FinalAnswer & { readonly frame: string; readonly at: number };
const answers: Answer[] = [];
const requests: { readonly lane: string; readonly request: CloudRequest; readonly at: number }[] = [];
/** What the stand-in for the classifier does. */
let classify: (request: CloudRequest) => Partial<CloudResult> | null = () => ({});

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: PARTITIONS });
  await admin.close();
  sink = new KafkajsSink(kafka);
  reader = new KafkaReader(kafka);
  const context = followContext(reader, stop.signal);
  await follow(context, topics.classifications, (value, record) => {
    if (value === null) return;
    const { deviceId, bootId } = value;
    for (const answer of value.answers) {
      const frame = `${deviceId}:${bootId}:${answer.cameraId}:${answer.frameSeq}`;
      answers.push({ ...answer, frame, at: record.timestamp });
    }
  });
  for (const [lane, topic] of [["high", topics.requestsHigh] as const, ["normal", topics.requestsNormal] as const]) {
    await follow(context, topic, (request, record) => {
      if (request === null) return;
      requests.push({ lane, request, at: record.timestamp });
      const answer = classify(request);
      if (answer === null) return;
      const { deviceId, bootId, cameraId, frameSeq } = request;
      const result = someResult({ deviceId, bootId, cameraId, frameSeq, ...answer });
      void sink.send([{ topic: topics.results.name, key: deviceId, value: CloudResult.encodeConfluent(result) }]);
    });
  }
});

afterAll(async () => {
  stop.abort();
  await Promise.all(routers.map((router) => router.kill()));
  await sink.close();
  await reader.close();
  rmSync(dir, { recursive: true, force: true });
});

async function startRouter(): Promise<SpawnedService> {
  const router = await spawnService({
    name: `router-${routers.length}`,
    main: "services/router/dist/main.js",
    dir,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      packages: [resolve(repositoryRoot, "models/edge-resnet8")],
      // Every frame here may be sent, however slow the machine.
      budget: { fleetShareMax: 1, inTimeMin: 0 },
    },
    readyMsMax: 60_000,
  });
  routers.push(router);
  return router;
}

const frameRecord = (frame: EdgeFrame): OutRecord => ({
  topic: topics.frames.name,
  key: frame.deviceId,
  value: EdgeFrame.encodeConfluent(frame),
  timestamp: Date.now(),
});
const predictionsRecord = (batch: EdgePredictions): OutRecord => ({
  topic: topics.predictions.name,
  key: batch.deviceId,
  value: EdgePredictions.encodeConfluent(batch),
  timestamp: Date.now(),
});

const queued = (change: Partial<EdgePrediction>): EdgePrediction =>
  somePrediction({ escalation: "QUEUED", reason: "AMBIGUOUS", score: 0.4, ...change });
const of = (deviceId: string) => answers.filter((answer) => answer.frame.startsWith(`${deviceId}:`));
const answersOf = (deviceId: string) =>
  of(deviceId)
    .sort((a, b) => Number(a.frameSeq - b.frameSeq))
    .map((a) => `${a.frameSeq}:${a.source}/${a.settledBy}/${a.label}`);
const answered = (deviceId: string, count: number, timeoutMs = 10_000) =>
  waitFor(() => of(deviceId).length >= count, {
    what: `${count} answers of ${deviceId}, now ${answersOf(deviceId)}`,
    timeoutMs,
  });

describe("one router", () => {
  beforeAll(async () => {
    await startRouter();
  });

  test("kept frames by their prediction, sent ones by the cloud on their lane, each once though sent twice", async () => {
    const deviceId = "answers";
    const deadlineMs = 30_000; // The router has just started.
    const batch = somePredictions({
      deviceId,
      predictions: [
        somePrediction({ frameSeq: 1n }),
        somePrediction({ frameSeq: 2n, escalation: "DROPPED", dropReason: "BUDGET" }),
        queued({ frameSeq: 3n, deadlineMs }),
        queued({ frameSeq: 4n, deadlineMs, reason: "PRIORITY" }),
      ],
    });
    const frames = [
      frameRecord(someFrame({ deviceId, seq: 1n, frameSeq: 3n, deadlineMs })),
      frameRecord(someFrame({ deviceId, seq: 2n, frameSeq: 4n, deadlineMs, reason: "PRIORITY" })),
    ];
    await sink.send([...frames, predictionsRecord(batch)]);
    await sink.send([...frames, predictionsRecord(batch)]);
    await answered(deviceId, 4);
    await sink.send([
      predictionsRecord(somePredictions({ deviceId, seq: 2n, predictions: [somePrediction({ frameSeq: 5n })] })),
    ]);
    await answered(deviceId, 5);
    expect(answersOf(deviceId)).toEqual([
      "1:EDGE/KEPT/cat",
      "2:EDGE/DEVICE_DROPPED/cat",
      "3:CLOUD/CLOUD_ANSWER/dog",
      "4:CLOUD/CLOUD_ANSWER/dog",
      "5:EDGE/KEPT/cat",
    ]);
    const asked = requests.filter(({ request }) => request.deviceId === deviceId);
    expect(asked.map(({ lane, request }) => `${lane}:${request.frameSeq}`).sort()).toEqual(["high:4", "normal:3"]);
  });

  test("with no classifier and no further input, the clock settles every sent frame in time", async () => {
    classify = () => null;
    const deviceId = "clock";
    const sentAt = Date.now();
    const frames = [1n, 2n, 3n].map((n) =>
      frameRecord(someFrame({ deviceId, seq: n, frameSeq: n, ageMs: 0, deadlineMs: 1_500 })),
    );
    const announced = queued({ frameSeq: 4n, ageMs: 0, deadlineMs: 1_500 }); // its frame never comes
    await sink.send([...frames, predictionsRecord(somePredictions({ deviceId, predictions: [announced] }))]);
    await answered(deviceId, 4);
    expect(answersOf(deviceId)).toEqual([1, 2, 3, 4].map((n) => `${n}:EDGE/DEADLINE/cat`));
    for (const { at, latencyMs } of of(deviceId)) {
      expect(at - sentAt).toBeGreaterThanOrEqual(1_500 - 5);
      expect(latencyMs).toBeLessThan(10_000);
    }
    classify = () => ({});
  });

  test("records that cannot be used go to the dead letters, and their neighbours are answered", async () => {
    const deviceId = "poison";
    const good = (seq: bigint) =>
      predictionsRecord(somePredictions({ deviceId, seq, predictions: [somePrediction({ frameSeq: seq })] }));
    const another = {
      ...good(9n),
      value: EdgePredictions.encodeConfluent(somePredictions({ deviceId: "someone-else" })),
    };
    await sink.send([good(1n), { ...good(2n), value: Buffer.from("not avro at all") }, good(3n), another, good(4n)]);
    await answered(deviceId, 3);
    expect(answersOf(deviceId)).toEqual([1, 3, 4].map((n) => `${n}:EDGE/KEPT/cat`));
    let letters: InRecord[] = [];
    const topic = dlqOf(topics.predictions.name, "router");
    await waitFor(
      async () => {
        letters = await Array.fromAsync(readTopic(reader, topic));
        return letters.length === 2;
      },
      { what: "two dead letters" },
    );
    const codes = letters.map((letter) => letter.headers["__connect.errors.exception.class.name"]);
    expect(codes.sort()).toEqual(["framing-unknown", "key-mismatch"]);
  });

  test("publishes the first policy of its edge package, and reports its state", async () => {
    const { name } = topics.policies;
    const policies: RoutingPolicy[] = [];
    for await (const { value } of readTopic(reader, name)) {
      policies.push(RoutingPolicy.decodeConfluent(value as Buffer));
    }
    expect(policies).toHaveLength(1);
    expect(policies[0]).toMatchObject({
      cloudTarget: "default",
      policyVersion: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const response = await fetch(`http://127.0.0.1:${routers[0]?.ports.http}/metrics`);
    const metrics = await response.text();
    expect(metrics).toMatch(
      /tributary_router_answers_total\{source="CLOUD",settled_by="CLOUD_ANSWER",reason="PRIORITY"\} 1/,
    );
    expect(metrics).toMatch(/tributary_router_duplicates_total\{stream="frames"\} 2/);
    expect(metrics).toMatch(/tributary_router_partitions 8/);
  });
});

/** Frames from several devices at a steady pace; every third is sent. Returns their names. */
async function stream(devices: readonly string[], count: number, everyMs: number): Promise<string[]> {
  const names: string[] = [];
  for (let n = 1; n <= count; n++) {
    const records = devices.flatMap((deviceId) => {
      const frameSeq = BigInt(n);
      names.push(`${deviceId}:${somePredictions().bootId}:cam:${n}`);
      const isSent = n % 3 === 0;
      const prediction = isSent ? queued({ frameSeq, deadlineMs: 3_000 }) : somePrediction({ frameSeq });
      const batch = predictionsRecord(somePredictions({ deviceId, seq: BigInt(n), predictions: [prediction] }));
      if (!isSent) return [batch];
      return [frameRecord(someFrame({ deviceId, seq: BigInt(n / 3), frameSeq, deadlineMs: 3_000 })), batch];
    });
    await sink.send(records);
    await new Promise((resume) => setTimeout(resume, everyMs));
  }
  return names;
}

const byFrame = (names: readonly string[]): Map<string, Answer[]> => {
  const wanted = new Set(names);
  return Map.groupBy(
    answers.filter((answer) => wanted.has(answer.frame)),
    (answer) => answer.frame,
  );
};

async function heldBy(router: SpawnedService): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${router.ports.http}/metrics`)).text();
  return Number(/^tributary_router_partitions (\d+)/m.exec(metrics)?.[1]);
}

const LAST_FRAME_SEQ = 1_000_000n;

async function everyFrameOnce(names: readonly string[]): Promise<void> {
  await waitFor(() => byFrame(names).size === names.length, {
    what: `${names.length} answered frames, now ${byFrame(names).size}`,
  });
  // One more frame of each device: a repeated answer of an earlier frame would arrive before its answer.
  const devices = [...new Set(names.map((name) => name.slice(0, name.indexOf(":"))))];
  const last = devices.map((deviceId) => {
    const frameSeq = LAST_FRAME_SEQ;
    return predictionsRecord(
      somePredictions({ deviceId, seq: LAST_FRAME_SEQ, predictions: [somePrediction({ frameSeq })] }),
    );
  });
  await sink.send(last);
  const isLast = (deviceId: string) => of(deviceId).some(({ frameSeq }) => frameSeq === LAST_FRAME_SEQ);
  await waitFor(() => devices.every(isLast), { what: "the answers that come last" });
  const repeated = [...byFrame(names)]
    .filter(([, all]) => all.length > 1)
    .map(([frame, all]) => [frame, all.map((a) => a.settledBy)]);
  expect(repeated).toEqual([]);
}

test("a router that starts before its topics waits for them, live but not ready, and then works", async () => {
  const late = testKafka();
  const port = await freePort();
  const router = spawnProcess({
    name: "router-late",
    main: "services/router/dist/main.js",
    dir,
    config: {
      kafka: { brokers: late.brokers, prefix: late.prefix },
      http: { host: "127.0.0.1", port },
      packages: [resolve(repositoryRoot, "models/edge-resnet8")],
    },
  });
  try {
    const eventOf = (name: string) => router.events().find(({ event }) => event === name);
    const waiting = await waitFor(() => eventOf("waits_for_kafka"), { what: "it to wait" });
    expect(waiting).toMatchObject({ reason: expect.stringContaining("no such topic") });
    const health = async (path: string) => (await fetch(`http://127.0.0.1:${port}/health/${path}`)).status;
    expect([await health("live"), await health("ready")]).toEqual([200, 503]);
    const admin = new KafkajsAdmin({ ...late, clientId: "router-test-late" });
    await ensureTributaryTopics(admin, { partitions: 1 });
    await admin.close();
    await waitFor(() => eventOf("ready"), { what: "it to be ready" });
  } finally {
    expect(await router.stop()).toEqual({ code: 0, signal: null });
  }
});

describe("routers that are killed", () => {
  test("kill -9 in mid-stream: another takes over, nothing is lost, nothing is answered twice", async () => {
    const [first] = routers;
    const streaming = stream(["kill-a", "kill-b", "kill-c", "kill-d"], 120, 15);
    await waitFor(() => of("kill-a").length > 30, { what: "the stream to flow" });
    await first?.kill("SIGKILL");
    const second = startRouter();
    const names = await streaming;
    await second;
    await everyFrameOnce(names);
    expect(of("kill-a").length).toBe(120 + 1);
  });

  test("two routers share the partitions; when one freezes the other takes them over, and the first does no harm afterwards", async () => {
    await startRouter();
    const [, second, third] = routers as [SpawnedService, SpawnedService, SpawnedService];
    const share = (each: readonly number[]) =>
      waitFor(
        async () => {
          const held = await Promise.all([second, third].map((router) => heldBy(router)));
          return JSON.stringify(held) === JSON.stringify(each);
        },
        { what: `partitions held: ${each}` },
      );
    await share([4, 4]);
    const devices = Array.from({ length: 6 }, (_, i) => `shared-${i}`);
    const streaming = stream(devices, 60, 15);
    await waitFor(() => devices.every((device) => of(device).length > 5), { what: "the stream to flow" });
    process.kill(third.pid, "SIGSTOP");
    const names = await streaming;
    await waitFor(() => byFrame(names).size === names.length, { what: "every frame answered" });
    const before = new Map([...byFrame(names)].map(([frame, [first]]) => [frame, first]));

    process.kill(third.pid, "SIGCONT");
    await share([4, 4]);
    // It gave up its partitions at once, and stored nothing of the batches in progress (G12).
    expect(third.events().filter(({ event }) => event === "kafka_membership_lost").length).toBeGreaterThan(0);
    expect([...byFrame(names)].filter(([, all]) => all.length > 1)).toEqual([]);
    for (const [frame, [first]] of byFrame(names)) expect(first).toBe(before.get(frame));
    await everyFrameOnce(await stream(["thawed-0", "thawed-1", "thawed-2", "thawed-3"], 9, 5));
    expect(await Promise.all([second, third].map((router) => router.stop()))).toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ]);
  });
});
