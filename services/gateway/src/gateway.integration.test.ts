/** The gateway as it is deployed: its own process and a real Kafka, seen through plain HTTP. */
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { pathOf, publicApi, type Route } from "@tributary/api";
import { DriftReview, type FinalAnswer, type GroundTruth, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { ExternalSchemaRegistry } from "@tributary/schema-registry";
import { createTelemetry } from "@tributary/telemetry";
import {
  type SpawnedService,
  someAnswer,
  someBootId,
  someDriftVerdict,
  someFrame,
  somePolicy,
  somePrediction,
  somePredictions,
  someRequest,
  someResult,
  spawnProcess,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const TOKEN = "a-token-for-the-test";
const PARTITIONS = 4;
const kafka = { ...testKafka(), clientId: "gateway-test" };
const dir = tempDir("gateway");
const reader = new KafkaReader(kafka);
const sink = new KafkajsSink(kafka);
const config = {
  kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
  http: { host: "127.0.0.1", port: 0 },
  answers: { recentMax: 4 },
  events: { clientBytesMax: 20_000 },
};
let open: SpawnedService;
let base: string;

async function call(path: string, init: RequestInit = {}, at = base) {
  const response = await fetch(at + path, init);
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return { status: response.status, type, body: type.includes("json") ? JSON.parse(text) : text };
}
const post = (path: string, body: unknown, method = "POST") =>
  call(path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });

const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);
const answer = (deviceId: string, answers: readonly Partial<FinalAnswer>[]) =>
  put(topics.classifications, deviceId, { deviceId, bootId: someBootId, answers: answers.map((a) => someAnswer(a)) });
const someSketches = ({ deviceId, seq, bin, n }: { deviceId: string; seq: bigint; bin: number; n: bigint }) => ({
  deviceId,
  bootId: someBootId,
  seq,
  windowMs: 60_000,
  ageMs: 0,
  clockState: "SYNCHRONIZED" as const,
  modelDigest: "ab".repeat(32),
  preprocessingDigest: "cd".repeat(32),
  histograms: [{ feature: "luminance", counts: Array.from({ length: 32 }, (_, i) => (i === bin ? n : 0n)) }],
  labels: { cat: n },
  cameraId: "front",
  temperature: 1,
  grid: [],
  encoders: {},
  qualitySum: 0n,
  byClass: {},
});
const frameIdOf = (deviceId: string, seq: number) => `${deviceId}:${someBootId}:cam:${seq}`;

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: PARTITIONS });
  await admin.close();
  await answer("early", [{ frameSeq: 1n, label: "frog" }]);
  open = await spawnService({ name: "gateway", main: "services/gateway/dist/main.js", dir: dir.path, config });
  base = `http://127.0.0.1:${open.ports.http}`;
});

afterAll(async () => {
  const status = await open.stop();
  await Promise.all([reader.close(), sink.close()]);
  dir.remove();
  expect(status.code).toBe(0);
});

describe("devices", () => {
  test("are registered once Kafka has them, with a password whose hash fits, and revoked as a record", async () => {
    const made = await post("/api/v1/devices", { deviceId: "cam-01", hardwareClass: "rpi5", site: "north gate" });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ deviceId: "cam-01", status: "ACTIVE", reported: null });

    const [stored] = await registrations("cam-01");
    const [scheme, salt, hash] = (stored?.passwordHash ?? "").split("$");
    expect(scheme).toBe("hmac-sha256");
    const derived = createHmac("sha256", Buffer.from(salt ?? "", "base64"))
      .update(made.body.password)
      .digest();
    expect(derived.toString("base64")).toBe(hash);

    expect((await post("/api/v1/devices", { deviceId: "cam-01" })).body).toMatchObject({
      status: 409,
      code: "device-exists",
    });
    const listed = await call("/api/v1/devices?status=ACTIVE");
    expect(JSON.stringify(listed.body)).not.toContain("hmac-sha256");
    expect(listed.body.items.map((d: { deviceId: string }) => d.deviceId)).toEqual(["cam-01"]);

    const revoked = await call("/api/v1/devices/cam-01", { method: "DELETE" });
    expect(revoked).toMatchObject({ status: 200, body: { status: "REVOKED", site: "north gate" } });
    expect((await registrations("cam-01")).map((record) => record.status)).toEqual(["ACTIVE", "REVOKED"]);
    const again = await post("/api/v1/devices", { deviceId: "cam-01" });
    expect(again.status).toBe(201);
    expect(again.body.password).not.toBe(made.body.password);
  });

  test("have labels, changed as a merge patch does, and are requested to check themselves", async () => {
    const made = await post("/api/v1/devices", { deviceId: "cam-03", labels: { lens: "acme-1", rack: "7" } });
    expect(made.body).toMatchObject({ labels: { lens: "acme-1", rack: "7" }, checkRequestedAt: null });
    const bad = await post("/api/v1/devices", { deviceId: "cam-04", labels: { "-x": "1", ok: "y".repeat(64) } });
    expect(bad).toMatchObject({
      status: 400,
      body: { errors: [{ where: "body.labels.-x" }, { where: "body.labels.ok" }] },
    });

    const patch = (labels: object) => post("/api/v1/devices/cam-03", { labels }, "PATCH");
    expect((await patch({ lens: "acme-2", rack: null })).body.labels).toEqual({ lens: "acme-2" });
    const many = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, "v"]));
    expect(await patch(many)).toMatchObject({ status: 422, body: { code: "device-labels-exceeded" } });

    const times: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { status, body } = await post("/api/v1/devices/cam-03/check", {});
      expect([status, body.labels]).toEqual([202, { lens: "acme-2" }]);
      times.push(body.checkRequestedAt);
    }
    expect(times[1]?.localeCompare(times[0] ?? "")).toBe(1);
    const last = (await registrations("cam-03")).at(-1);
    expect(last).toMatchObject({ labels: { lens: "acme-2" }, checkRequestedAt: Date.parse(times[1] ?? "") });
    await call("/api/v1/devices/cam-03", { method: "DELETE" });
    expect((await post("/api/v1/devices/cam-03/check", {})).body).toMatchObject({
      status: 409,
      code: "device-revoked",
    });
  });

  test("show what they report and when they were last heard", async () => {
    await post("/api/v1/devices", { deviceId: "cam-02" });
    await put(topics.reported, "cam-02", {
      deviceId: "cam-02",
      bootId: someBootId,
      seq: 1n,
      agentVersion: "0.1.0",
      hardwareClass: "rpi4",
      clockState: "SYNCHRONIZED",
      generation: 0n,
      slots: { perception: { modelDigest: "ab".repeat(32), modelName: "edge", modelVersion: "1" } },
      policyVersion: "",
      acceptedSchemas: [],
      cameras: ["front"],
      update: null,
      goldenPassed: null,
      golden: { at: 1_700_000_000_000, modelDigest: "ab".repeat(32), frames: 8, failed: 1, logits: [1, 2] },
      driving: null,
    });
    const device = await waitFor(
      async () => {
        const { body } = await call("/api/v1/devices/cam-02");
        return body.reported === null ? undefined : body;
      },
      { what: "the reported state" },
    );
    expect(device.reported).toMatchObject({ bootId: `${someBootId}`, cameras: ["front"] });
    const golden = { at: "2023-11-14T22:13:20.000Z", modelDigest: "ab".repeat(32), frames: 8, failed: 1 };
    expect(device.reported.golden).toEqual(golden);
    expect(Date.parse(device.lastSeenAt)).toBeGreaterThan(Date.now() - 60_000);
  });

  const registrations = async (deviceId: string) => {
    const found = [];
    const { name, codec } = topics.registry;
    for await (const { key, value } of readTopic(reader, name)) {
      if (key === deviceId && value !== null) found.push(codec.decodeConfluent(value));
    }
    return found;
  };
});

/** Newer answers of a device leave no room in memory for its older ones. */
async function pushOut(deviceId: string, older: readonly bigint[], newer: readonly bigint[]): Promise<void> {
  await answer(
    deviceId,
    newer.map((frameSeq) => ({ frameSeq })),
  );
  const kept = async () => {
    const { items } = (await call(`/api/v1/classifications?deviceId=${deviceId}`)).body;
    return items.map(({ frameSeq }: { frameSeq: string }) => BigInt(frameSeq)) as bigint[];
  };
  const isOver = async () => {
    const left = await kept();
    return left.includes(newer.at(-1) as bigint) && !older.some((frameSeq) => left.includes(frameSeq));
  };
  await waitFor(isOver, { what: "newer answers only" });
}

describe("answers", () => {
  test("that were there before the start are served, newer ones of their device push them out, and are still found in Kafka", async () => {
    expect((await call("/api/v1/classifications?deviceId=early")).body.items).toHaveLength(1);
    const events = await listen("/api/v1/classifications/events?source=CLOUD");
    await answer("ring", [
      { frameSeq: 1n },
      { frameSeq: 2n, source: "CLOUD", settledBy: "CLOUD_ANSWER", label: "ship" },
      { frameSeq: 3n },
      { frameSeq: 4n },
    ]);
    const event = await waitFor(() => events.received()[0], { what: "the event" });
    expect(event).toMatchObject({ frameId: frameIdOf("ring", 2), label: "ship", source: "CLOUD" });
    events.close();

    const { body } = await call("/api/v1/classifications?limit=2");
    expect(body.items.map((a: { frameSeq: string }) => a.frameSeq)).toEqual(["4", "3"]);
    expect((await call("/api/v1/classifications?settledBy=CLOUD_ANSWER")).body.items).toHaveLength(1);
    await pushOut("early", [1n], [2n, 3n, 4n, 5n]);
    const found = await call(`/api/v1/classifications/${frameIdOf("early", 1)}`);
    expect(found).toMatchObject({ status: 200, body: { label: "frog" } });
  });

  test("of one frame: the lowest offset is final, in memory and in Kafka (G2)", async () => {
    await answer("twice", [{ frameSeq: 1n, label: "cat" }]);
    await answer("twice", [{ frameSeq: 1n, label: "dog" }]);
    await waitFor(async () => (await call("/api/v1/classifications?deviceId=twice")).body.items.length > 0, {
      what: "the answer",
    });
    expect((await call("/api/v1/classifications?deviceId=twice")).body.items).toMatchObject([{ label: "cat" }]);
    await pushOut("twice", [1n], [2n, 3n, 4n, 5n]);
    expect((await call(`/api/v1/classifications/${frameIdOf("twice", 1)}`)).body).toMatchObject({ label: "cat" });
    const unknown = await call(`/api/v1/classifications/${frameIdOf("twice", 99)}`);
    expect(unknown).toMatchObject({ status: 404, body: { code: "answer-unknown" } });
    expect(unknown.body.detail).toContain("all it retains");
  });
});

test("verdicts of drift are listed, described, shown as a page, and sent as they change", async () => {
  const camera = someDriftVerdict();
  const world = someDriftVerdict({ verdictId: "w1", cause: "WORLD", openedAt: camera.openedAt + 1 });
  await put(topics.driftVerdicts, camera.verdictId, camera);
  await put(topics.driftVerdicts, "w1", world);
  const ids = async (query = "") =>
    (await call(`/api/v1/drift${query}`)).body.items.map((one: { verdictId: string }) => one.verdictId);
  await waitFor(async () => (await ids()).length === 2, { what: "the verdicts" });
  expect([await ids(), await ids("?cause=CAMERA"), await ids("?state=closed")]).toEqual([
    ["w1", camera.verdictId],
    [camera.verdictId],
    [],
  ]);
  const { body } = await call(`/api/v1/drift/${camera.verdictId}`);
  expect(body).toMatchObject({ version: 3, since: "2026-01-01T00:00:00.000Z", loss: { state: "LOST" } });
  expect(body.devices[1]).toEqual({ deviceId: "cam-2", cameras: ["front"], since: "2026-01-01T00:00:00.000Z" });
  expect([body.features.length, body.timeline.length, body.steps.length]).toEqual([4, 30, 2]);
  const page = await call(`/api/v1/drift/${camera.verdictId}/report`);
  expect([page.status, page.type]).toEqual([200, "text/html; charset=utf-8"]);
  expect(page.body).toContain("swapped channels");

  const events = await listen("/api/v1/drift/watch?state=all&cause=WORLD");
  const closed = {
    state: "CLOSED",
    version: 4n,
    closedAt: world.updatedAt,
    closedBecause: "no evidence is left",
  } as const;
  await put(topics.driftVerdicts, "w1", { ...world, ...closed });
  const states = await waitFor(() => (events.received().length === 2 ? events.received() : undefined), {
    what: "events",
  });
  expect(states).toMatchObject([{ state: "OPEN" }, { state: "CLOSED", closedBecause: "no evidence is left" }]);
  events.close();
  expect([await ids(), await ids("?state=all")]).toEqual([[camera.verdictId], ["w1", camera.verdictId]]);
  expect(await call("/api/v1/drift/none")).toMatchObject({ status: 404, body: { code: "verdict-unknown" } });

  const review = (verdictId: string, body: object) =>
    post(`/api/v1/drift/${verdictId}/reviews`, { by: "ann", ...body });
  const refused = async (verdictId: string, body: object) => {
    const { status, body: problem } = await review(verdictId, body);
    return `${status} ${problem.code}`;
  };
  const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
  const preprocessing = someDriftVerdict({
    verdictId: "p1",
    cause: "PREPROCESSING",
    devices: [{ deviceId: "cam-1", cameras: [], since: 1 }],
  });
  await put(topics.driftVerdicts, "p1", preprocessing);
  await waitFor(async () => (await ids("?cause=PREPROCESSING")).length === 1, { what: "the third verdict" });
  expect(
    await Promise.all([
      refused("none", { kind: "ACCEPT" }),
      refused("w1", { kind: "ACCEPT" }),
      refused("p1", { kind: "ACCEPT" }),
      refused(camera.verdictId, { kind: "WITHDRAW" }),
      refused(camera.verdictId, { kind: "ACCEPT", version: 2 }),
      refused(camera.verdictId, { kind: "CORRECT", cause: "MOON" }),
      refused(camera.verdictId, { kind: "KNOWN", until: day(-1) }),
      refused(camera.verdictId, { kind: "KNOWN", until: day(400) }),
    ]),
  ).toEqual([
    "404 verdict-unknown",
    "409 verdict-closed",
    "422 verdict-not-acceptable",
    "409 review-missing",
    "409 verdict-changed",
    "400 request-invalid",
    "400 until-invalid",
    "400 until-invalid",
  ]);
  const reviews = async () =>
    (await Array.fromAsync(readTopic(reader, topics.driftReviews.name))).map(({ value }) =>
      DriftReview.decodeConfluent(value as Buffer),
    );
  const correction = { kind: "CORRECT", cause: "WORLD", fault: "", note: "new lamps", version: 3 };
  const answers = [await review(camera.verdictId, correction), await review(camera.verdictId, correction)];
  for (const answer of answers) {
    expect(answer).toMatchObject({
      status: 200,
      body: { cause: "CAMERA", review: { kind: "CORRECT", cause: "WORLD", by: "ann", note: "new lamps", version: 3 } },
    });
  }
  expect(await ids("?cause=WORLD")).toEqual([camera.verdictId]);
  expect((await call(`/api/v1/drift/${camera.verdictId}/report`)).body).toContain("new lamps");
  const counts = async () => (await call("/api/v1/drift/reviews")).body.items;
  expect(await counts()).toEqual([{ found: "CAMERA", kind: "CORRECT", cause: "WORLD", verdicts: 1 }]);
  expect((await review(camera.verdictId, { kind: "ACCEPT" })).body.review).toMatchObject({
    kind: "ACCEPT",
    cause: "UNKNOWN",
  });
  // Accepted, it closes; that alone can be withdrawn afterwards, and names the same cameras.
  await put(topics.driftVerdicts, camera.verdictId, { ...camera, ...closed });
  await waitFor(async () => !(await ids()).includes(camera.verdictId), { what: "the closed verdict" });
  expect(await refused(camera.verdictId, { kind: "KNOWN", until: day(1) })).toBe("409 verdict-closed");
  expect((await review(camera.verdictId, { kind: "WITHDRAW" })).status).toBe(200);
  expect(await counts()).toEqual([]);
  const devices = camera.devices.map(({ deviceId, cameras }) => ({ deviceId, cameras }));
  expect(await reviews()).toMatchObject([
    { kind: "CORRECT", devices: [], found: "CAMERA" },
    { kind: "ACCEPT", devices },
    { kind: "WITHDRAW", devices },
  ]);
  expect((await call("/metrics")).body).toMatch(
    /drift_reviews_total\{.*kind="CORRECT",found="CAMERA",cause="WORLD"\} 1/,
  );
});

test("sketches of a day are merged exactly by what devices have in common, and repeated ones count once", async () => {
  const day = new Date().toISOString().slice(0, 10);
  const sketch = (deviceId: string, seq: bigint, bin: number, n = 10n) =>
    put(topics.sketches, deviceId, someSketches({ deviceId, seq, bin, n }));
  for (const [deviceId, lens] of [
    ["sk-1", "a"],
    ["sk-2", "a"],
    ["sk-3", "b"],
  ] as const) {
    await post("/api/v1/devices", { deviceId, labels: { lens } });
  }
  await sketch("sk-1", 1n, 3);
  await sketch("sk-1", 2n, 4);
  await sketch("sk-1", 2n, 4);
  await sketch("sk-2", 1n, 3, 5n);
  await sketch("sk-3", 1n, 31);
  const { body } = await call(`/api/v1/drift/profiles?day=${day}&by=label:lens`);
  expect(body).toMatchObject({ sketches: 4, repeated: 1, malformed: 0 });
  type Row = { group: string; feature: string; devices: number; windows: number; frames: number; counts: number[] };
  const rows = body.items.map(({ group, feature, devices, windows, frames, counts }: Row) =>
    [group, feature, devices, windows, frames, counts.flatMap((n, i) => (n > 0 ? [`${i}:${n}`] : [])).join()].join(" "),
  );
  expect(rows).toEqual([
    "a label 2 3 25 0:25",
    "a luminance 2 3 25 3:15,4:10",
    "b label 1 1 10 0:10",
    "b luminance 1 1 10 31:10",
  ]);
  expect((await call("/api/v1/drift/profiles?day=2020-01-01")).body.items).toEqual([]);
  const bad = await call("/api/v1/drift/profiles?day=yesterday&by=moon");
  expect(bad.body.errors.map(({ where }: { where: string }) => where)).toEqual(["query.day", "query.by"]);
});

test("an explanation joins everything Kafka has of a frame", async () => {
  const deviceId = "explained";
  const policy = somePolicy();
  await put(topics.policies, "k", policy);
  const prediction = somePrediction({ frameSeq: 7n, reason: "AMBIGUOUS", escalation: "QUEUED" });
  await put(topics.predictions, deviceId, somePredictions({ deviceId, predictions: [prediction] }));
  await put(topics.frames, deviceId, someFrame({ deviceId, frameSeq: 7n }));
  await put(topics.requestsHigh, deviceId, someRequest({ deviceId, frameSeq: 7n }));
  await put(topics.results, deviceId, someResult({ deviceId, frameSeq: 7n }));
  const admission = { lambda: 0.01, utility: 0.35, reachProbability: 0.995, tokens: 12 };
  await answer(deviceId, [
    {
      frameSeq: 7n,
      reason: "AMBIGUOUS",
      source: "CLOUD",
      settledBy: "CLOUD_ANSWER",
      cloudTarget: "default",
      admission,
    },
  ]);
  const path = `/api/v1/frames/${frameIdOf(deviceId, 7)}/explanation`;
  const body = await waitFor(
    async () => {
      const { body } = await call(path);
      return body.answer && body.policy ? body : undefined;
    },
    { what: "the explanation" },
  );
  expect(body).toMatchObject({
    prediction: { frameSeq: "7", reason: "AMBIGUOUS", modelDigest: prediction ? policy.modelDigest : "" },
    frame: { jpegBytes: 4 },
    request: { lane: "high", target: "default", deadlineAt: expect.stringMatching(/Z$/) },
    result: { outcome: "ANSWERED", costMicros: 120 },
    answer: { settledBy: "CLOUD_ANSWER", admission },
    missing: [],
  });
  expect(JSON.stringify(body)).not.toContain('"jpeg"');
  expect(body.steps.map((s: { name: string }) => s.name)).toEqual(
    expect.arrayContaining(["score", "sample", "outcome"]),
  );
  expect(body.routerSteps.map((s: { name: string }) => s.name)).toEqual(["reach", "price", "budget", "outcome"]);
  expect(body.routerSteps[1]).toMatchObject({ values: { utility: 0.35, lambda: 0.01 } });
  expect(body.timeline).toHaveLength(5);
  const key = encodeURIComponent(`${policy.modelDigest}|default`);
  expect(await call(`/api/v1/policies/${key}`)).toMatchObject({ status: 200, body: { scoreMin: policy.scoreMin } });
  const nothing = await call(`/api/v1/frames/${frameIdOf("nobody", 1)}/explanation`);
  expect(nothing).toMatchObject({ status: 404, body: { code: "frame-unknown" } });
});

describe("labels", () => {
  const deviceId = "labelled";
  const label = (seq: number, text: string | null, more: object = {}) => ({
    frameId: frameIdOf(deviceId, seq),
    label: text,
    ...more,
  });
  const stored = async () => {
    const { name, codec } = topics.groundTruth;
    const found: GroundTruth[] = [];
    for await (const { key, value } of readTopic(reader, name)) {
      if (key === deviceId && value !== null) found.push(codec.decodeConfluent(value));
    }
    return found;
  };

  test("are stored once, each bad one is named, and the good ones of its batch are taken", async () => {
    const policy = somePolicy();
    await put(topics.policies, "labels", policy);
    const { policyVersion, modelDigest } = policy;
    const both = { policyVersion, modelDigest };
    await put(topics.frames, deviceId, someFrame({ deviceId, frameSeq: 1n }));
    await answer(deviceId, [
      { frameSeq: 1n, sampleDrawn: true, ...both },
      { frameSeq: 2n, edgeLabel: "cat", cloudLabel: "dog", source: "CLOUD", settledBy: "CLOUD_ANSWER", ...both },
      { frameSeq: 3n, ...both },
    ]);
    const next = () => call("/api/v1/labels/next").then(({ body }) => body.items.filter(isOurs));
    const isOurs = (item: { frameId: string }) => item.frameId.startsWith(`${deviceId}:`);
    const items = await waitFor(async () => ((await next()).length === 2 ? next() : undefined), { what: "the frames" });
    expect(items).toMatchObject([
      { why: "SAMPLE", frameId: frameIdOf(deviceId, 1), classes: policy.labels },
      { why: "DISAGREEMENT", answer: { edgeLabel: "cat", cloudLabel: "dog" } },
    ]);
    const picture = await fetch(base + items[0].image);
    expect([picture.status, picture.headers.get("content-type")]).toEqual([200, "image/jpeg"]);
    expect(await call(items[1].image)).toMatchObject({ status: 404, body: { code: "picture-unknown" } });
    // The frames left the memory of recent answers: they are found in Kafka.
    await pushOut(deviceId, [1n, 2n, 3n], [91n, 92n, 93n, 94n]);

    const labels = [
      label(1, "cat", { labelledBy: "ada", labelledAt: "2026-01-02T03:04:05Z" }),
      label(999, "cat"),
      { frameId: "nonsense", label: "cat" },
      label(2, "zebra"),
      label(2, "dog"),
      label(3, null, { comment: "too dark" }),
    ];
    const refused = [
      { index: 1, code: "frame-unknown" },
      { index: 2, code: "frame-id-malformed" },
      { index: 3, code: "label-unknown" },
    ];
    expect((await post("/api/v1/labels", { labels, dryRun: true })).body).toMatchObject({ accepted: 3, refused });
    expect(await stored()).toEqual([]);
    const taken = await post("/api/v1/labels", { labels });
    expect(taken).toMatchObject({ status: 200, body: { accepted: 3, repeated: 0, unchecked: 0, refused } });
    expect(await stored()).toMatchObject([
      { frameSeq: 1n, label: "cat", source: "PERSON", labelledBy: "ada", labelledAt: 1767323045000 },
      { frameSeq: 2n, label: "dog" },
      { frameSeq: 3n, label: null, comment: "too dark" },
    ]);
    const known = (await stored()).map(({ frameAt }) => Math.abs((frameAt ?? 0) - Date.now()) < 15 * 60_000);
    expect(known).toEqual([true, true, true]);
    expect(await next()).toEqual([]);

    const again = await post("/api/v1/labels", { labels: [...labels, label(1, "dog")] });
    expect(again.body).toMatchObject({ accepted: 1, repeated: 3 });
    const unknown = await post("/api/v1/labels", { labels: [label(999, "cat")], allowUnknown: true });
    expect(unknown.body).toMatchObject({ accepted: 1, unchecked: 1, refused: [] });
    expect(await stored()).toHaveLength(5);
    expect((await stored()).at(-1)).toMatchObject({ frameSeq: 999n, frameAt: null });
    const { body } = await call("/metrics");
    expect(body).toMatch(/tributary_gateway_labels_refused_total\{code="frame-unknown"\} 3/);
  });

  test("batches that cannot be read are refused whole", async () => {
    const { body } = await post("/api/v1/labels", { labels: [{ frameId: "x", label: 7, why: "" }], force: true });
    expect(body.errors.map((e: { where: string }) => e.where).sort()).toEqual([
      "body.force",
      "body.labels.0.label",
      "body.labels.0.why",
    ]);
    expect((await post("/api/v1/labels", { labels: [] })).status).toBe(400);
  });
});

describe("refusals", () => {
  test("are problem details that name every wrong part", async () => {
    const wrong = await call("/api/v1/classifications?colour=red&limit=0");
    expect(wrong).toMatchObject({ status: 400, type: expect.stringContaining("application/problem+json") });
    expect(wrong.body.code).toBe("request-invalid");
    expect(wrong.body.errors.map((e: { where: string }) => e.where).sort()).toEqual(["query.colour", "query.limit"]);
    const body = await post("/api/v1/devices", { deviceId: "no spaces", admin: true });
    expect(body.body.errors.map((e: { where: string }) => e.where).sort()).toEqual(["body.admin", "body.deviceId"]);
    const malformed = await call("/api/v1/devices", {
      method: "POST",
      body: "{",
      headers: { "content-type": "application/json" },
    });
    expect(malformed).toMatchObject({ status: 400, body: { code: "request-malformed" } });
    expect(await call("/api/v1/nothing")).toMatchObject({ status: 404, body: { code: "path-unknown" } });
    expect(await call("/api/v1/devices/ghost")).toMatchObject({ status: 404, body: { code: "device-unknown" } });
    expect(await call("/api/v1/classifications/x")).toMatchObject({
      status: 400,
      body: { code: "frame-id-malformed" },
    });
  });

  test("a slow event client is dropped and counted, the gateway continues (G9)", async () => {
    const stuck = new AbortController();
    const response = await fetch(`${base}/api/v1/classifications/events?deviceId=flood`, { signal: stuck.signal });
    expect(response.status).toBe(200); // and is never read
    const many = Array.from({ length: 1_000 }, (_, i) => ({ frameSeq: BigInt(i + 1) }));
    await waitFor(
      async () => {
        await answer(
          "flood",
          many.map(({ frameSeq }) => ({ frameSeq: frameSeq + BigInt(Date.now()) * 1_000n })),
        );
        const { body } = await call("/metrics");
        return /tributary_gateway_event_clients_dropped_total\{reason="slow"\} 1/.test(body);
      },
      { what: "the slow client to be dropped", everyMs: 100 },
    );
    stuck.abort();
  });
});

test("OpenAPI describes every path that is served", async () => {
  const { body } = await call("/api/v1/openapi.json");
  expect(Object.keys(body.paths).sort()).toEqual([
    "/api/v1/archive/frames",
    "/api/v1/classifications",
    "/api/v1/classifications/events",
    "/api/v1/classifications/{frameId}",
    "/api/v1/datasets",
    "/api/v1/datasets/{model}/{version}",
    "/api/v1/datasets/{model}/{version}/dvc",
    "/api/v1/datasets/{model}/{version}/manifest",
    "/api/v1/devices",
    "/api/v1/devices/{deviceId}",
    "/api/v1/devices/{deviceId}/check",
    "/api/v1/drift",
    "/api/v1/drift/profiles",
    "/api/v1/drift/reviews",
    "/api/v1/drift/watch",
    "/api/v1/drift/{verdictId}",
    "/api/v1/drift/{verdictId}/report",
    "/api/v1/drift/{verdictId}/reviews",
    "/api/v1/experiments",
    "/api/v1/experiments/{uid}",
    "/api/v1/experiments/{uid}/events",
    "/api/v1/experiments/{uid}/report",
    "/api/v1/experiments/{uid}/stop",
    "/api/v1/frames/{frameId}/explanation",
    "/api/v1/frames/{frameId}/image",
    "/api/v1/labels",
    "/api/v1/labels/next",
    "/api/v1/models",
    "/api/v1/models/{name}",
    "/api/v1/models/{name}/aliases/{alias}",
    "/api/v1/models/{name}/{version}",
    "/api/v1/models/{name}/{version}/gate",
    "/api/v1/models/{name}/{version}/gate/force",
    "/api/v1/models/{name}/{version}/revoke",
    "/api/v1/policies",
    "/api/v1/policies/versions",
    "/api/v1/policies/{key}",
    "/api/v1/rollouts",
    "/api/v1/rollouts/watch",
    "/api/v1/rollouts/{uid}",
    "/api/v1/rollouts/{uid}/commands",
    "/api/v1/rollouts/{uid}/devices",
    "/api/v1/rollouts/{uid}/events",
    "/api/v1/rollouts/{uid}/report",
    "/api/v1/trainings",
    "/api/v1/trainings/watch",
    "/api/v1/trainings/{runId}",
    "/api/v1/trainings/{runId}/cancel",
    "/api/v1/trainings/{runId}/events",
    "/api/v1/trainings/{runId}/logs",
    "/api/v1/trainings/{runId}/report",
    "/api/v1/trainings/{runId}/resume",
    "/health/live",
    "/health/ready",
    "/metrics",
  ]);
  expect(body.paths["/api/v1/devices"].post.responses["201"].content["application/json"].schema.required).toContain(
    "password",
  );
  expect((await call("/api/v1/docs")).status).toBe(200);
});

test("every route of the API is served", async () => {
  for (const { method, path, body, response } of Object.values(publicApi).flatMap<Route>(Object.values)) {
    if (response.kind === "events") continue; // read above
    const at = pathOf(path, Object.fromEntries([...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => [name, "x"])));
    const init = { method, ...(body && { body: "{}", headers: { "content-type": "application/json" } }) };
    const answer = await call(at, init);
    expect([method, path, answer.body.code]).not.toEqual([method, path, "path-unknown"]);
  }
});

test("the schema registry answers as Confluent's clients expect", async () => {
  const subject = `${kafka.prefix}edge.frames.v1-value`;
  const subjects = await call("/subjects");
  expect(subjects.type).toContain("application/vnd.schemaregistry.v1+json");
  expect(subjects.body).toContain(subject);
  expect((await call(`/subjects/${subject}/versions`)).body).toEqual([1, 2]);
  const latest = (await call(`/subjects/${subject}/versions/latest`)).body;
  expect(latest).toMatchObject({ subject, version: 2, id: topics.frames.codec.current.id });
  expect((await call(`/schemas/ids/${latest.id}`)).body).toEqual({ schema: latest.schema });
  expect(JSON.parse(latest.schema).name).toBe("EdgeFrame");
  expect((await call(`/schemas/ids/${latest.id}/versions`)).body).toEqual([{ subject, version: 2 }]);
  const shared = topics.requestsHigh.codec.current.id;
  expect((await call(`/schemas/ids/${shared}/versions`)).body).toHaveLength(2);
  expect(await call("/subjects/none/versions")).toMatchObject({ status: 404, body: { error_code: 40401 } });
  expect(await call(`/subjects/${subject}/versions/9`)).toMatchObject({ status: 404, body: { error_code: 40402 } });
  expect(await call(`/subjects/${subject}/versions/x`)).toMatchObject({ status: 422, body: { error_code: 42202 } });
  expect(await call("/schemas/ids/999")).toMatchObject({ status: 404, body: { error_code: 40403 } });
  expect((await call(`/schemas/ids/${latest.id}/subjects`)).body).toEqual([subject]);
  for (const path of [`/schemas/ids/${latest.id}/schema`, `/subjects/${subject}/versions/latest/schema`]) {
    expect((await call(path)).body).toEqual(JSON.parse(latest.schema));
  }
  expect((await call(`/schemas?subjectPrefix=${subject}&latestOnly=true`)).body).toEqual([latest]);
  for (const path of ["/config", `/config/${subject}`, "/config/none?defaultToGlobal=true"]) {
    expect((await call(path)).body).toEqual({ compatibilityLevel: "FULL_TRANSITIVE" });
  }
  for (const path of ["/mode", `/mode/${subject}`]) expect((await call(path)).body).toEqual({ mode: "READONLY" });
  expect(await call("/config/none")).toMatchObject({ status: 404, body: { error_code: 40408 } });
  const send = (method: string, path: string, body?: object, type = "application/vnd.schemaregistry.v1+json") =>
    call(path, { method, headers: { "content-type": type }, ...(body && { body: JSON.stringify(body) }) });
  for (const type of ["application/vnd.schemaregistry.v1+json", "application/json"]) {
    const found = await send("POST", `/subjects/${subject}`, { schema: latest.schema }, type);
    expect(found).toMatchObject({ status: 200, body: latest });
  }
  const registered = await send("POST", `/subjects/${subject}/versions`, { schema: latest.schema });
  expect(registered).toMatchObject({ status: 200, body: { id: latest.id } });
  const readOnly = { status: 422, body: { error_code: 42205, message: expect.stringContaining("read-only") } };
  expect(await send("POST", `/subjects/${subject}/versions`, { schema: '"string"' })).toMatchObject(readOnly);
  expect(await send("PUT", "/config", { compatibility: "NONE" })).toMatchObject(readOnly);
  expect(await send("PUT", `/mode/${subject}`, { mode: "READWRITE" })).toMatchObject(readOnly);
  expect(await send("DELETE", `/subjects/${subject}`)).toMatchObject(readOnly);
  expect(await send("DELETE", `/subjects/${subject}/versions/1`)).toMatchObject(readOnly);
  // An unknown path and a malformed body are answered in Confluent's form as well.
  for (const [method, path, status] of [
    ["GET", "/schemas/nothing", 404],
    ["PATCH", "/subjects", 404],
  ] as const) {
    expect(await send(method, path)).toMatchObject({
      status,
      body: { error_code: status, message: expect.any(String) },
    });
  }
  const malformed = { method: "POST", headers: { "content-type": "application/json" }, body: "{" };
  expect(await call(`/subjects/${subject}`, malformed)).toMatchObject({ status: 400, body: { error_code: 400 } });
  const form = await send("POST", `/subjects/${subject}`, {}, "text/plain");
  expect(form).toMatchObject({
    status: 415,
    type: "application/vnd.schemaregistry.v1+json",
    body: { error_code: 415 },
  });
});

test("our own services can use the gateway's schema registry", async () => {
  const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
  const registry = new ExternalSchemaRegistry({
    schemaRegistry: { url: base, autoRegister: false },
    prefix: kafka.prefix,
    telemetry,
  });
  registry.start();
  await registry.ready();
  for (const { name, codec } of Object.values(topics)) {
    expect(registry.idOf(name, codec.current.id)).toBe(codec.current.id);
  }
  telemetry.close();
});

test("the topics are described under this deployment's names, for people and for programs", async () => {
  const page = await fetch(`${base}/asyncapi`);
  expect(page.headers.get("content-type")).toContain("text/html");
  expect(await page.text()).toContain(`<code>${kafka.prefix}${topics.classifications.name}</code>`);
  const yaml = await fetch(`${base}/asyncapi.yaml`);
  expect(yaml.headers.get("content-type")).toContain("application/yaml");
  expect(await yaml.text()).toMatch(/^asyncapi: 3\.0\.0$/m);
});

describe("tokens", () => {
  test("are needed where they are configured; probes, metrics and descriptions stay open", async () => {
    const auth = { tokens: [TOKEN] };
    const closed = await spawnService({
      name: "gateway-closed",
      main: "services/gateway/dist/main.js",
      dir: dir.path,
      config: { ...config, auth },
    });
    const at = `http://127.0.0.1:${closed.ports.http}`;
    expect(await call("/api/v1/devices", {}, at)).toMatchObject({ status: 401, body: { code: "token-missing" } });
    expect(await call("/subjects", {}, at)).toMatchObject({ status: 401, body: { error_code: 401 } });
    expect((await call("/health/ready", {}, at)).status).toBe(200);
    expect((await fetch(`${at}/asyncapi.yaml`)).status).toBe(200);
    expect((await call("/metrics", {}, at)).status).toBe(200);
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await call("/api/v1/devices", { headers }, at)).status).toBe(200);
    await closed.stop();
  });

  test("an open gateway beyond loopback does not start", async () => {
    const http = { host: "0.0.0.0", port: 0 };
    const process = spawnProcess({
      name: "gateway-world",
      main: "services/gateway/dist/main.js",
      dir: dir.path,
      config: { ...config, http },
    });
    expect((await process.exited).code).toBe(2);
    expect(process.lines().join("\n")).toContain("auth.tokens");
  });
});

async function listen(path: string) {
  const abort = new AbortController();
  const response = await fetch(base + path, { signal: abort.signal });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  let text = "";
  void (async () => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
  })().catch(() => {});
  return {
    received: () => [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? "")),
    close: () => abort.abort(),
  };
}
