/** Rollouts, models and trainings through the gateway's own process: it shows what Kafka holds of them, and forwards commands. A
 * server with the HTTP APIs of rollout-manager, model-registry, trainer and frame-archive stands in for these, and real records in Kafka for what they write. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { NextLabel } from "@tributary/api";
import { type ArchivedFrame, type RolloutEvent as EventRecord, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { type RolloutChange, recordOfEvent, rolloutSpec } from "@tributary/rollouts";
import {
  type SpawnedService,
  someArchivedFrame,
  someBootId,
  someModel,
  someReported,
  someRollout,
  someTrainingRun,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const kafka = { ...testKafka(), clientId: "gateway-rollouts-test" };
const dir = tempDir("gateway-rollouts");
const sink = new KafkajsSink(kafka);
const [candidate, champion] = ["cd".repeat(32), "ab".repeat(32)];
const written = {
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "edge-2" },
  spec: {
    model: "edge@2",
    strategy: {
      canary: {
        steps: [{ setWeight: 10 }, { analysis: { duration: "1h" } }, { setWeight: 100 }],
        controlsPerCanary: 2,
      },
    },
  },
};
const order = Array.from({ length: 20 }, (_, i) => `d${i}`);
const created: RolloutChange = {
  kind: "created",
  spec: rolloutSpec.parse(written),
  modelDigest: candidate,
  stableDigest: champion,
  order,
};
const evidence = {
  format: "tributary.analysis/1",
  startedAtMs: 1_767_225_900_000,
  sinceMs: 240_000,
  burnInMs: 180_000,
  why: "worse in accuracy",
  control: { devices: 4, heard: 4, onModel: 4 },
  canary: { devices: 2, heard: 2, onModel: 2 },
  metrics: [],
  looks: [],
};

const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xd9]);
/** What reaches the services behind the gateway. */
const asked: { method: string; url: string; body: unknown }[] = [];
let upstream: Server;
let gateway: SpawnedService;
let alone: SpawnedService;

async function call(path: string, init: RequestInit = {}, at = gateway) {
  const response = await fetch(`http://127.0.0.1:${at.ports.http}/api/v1/${path}`, init);
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return { status: response.status, type, body: type.includes("json") ? JSON.parse(text) : text };
}
const send = (method: string, path: string, body: unknown, at = gateway) =>
  call(path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } }, at);
const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);
const happens = (uid: string, version: number, change: RolloutChange, more: Partial<EventRecord> = {}) =>
  put(topics.rolloutEvents, uid, {
    ...recordOfEvent({ uid, version, at: 1_767_225_600_000 + version * 60_000, by: "service", change }),
    ...more,
  });
const eventually = <T>(what: string, look: () => Promise<T | undefined | false>) => waitFor(look, { what });

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  upstream = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { method = "", url = "" } = request;
    asked.push({ method, url, body: text === "" ? null : JSON.parse(text) });
    if (url.startsWith("/frames/")) {
      response.end(jpeg);
      return;
    }
    const problem = {
      type: "urn:tributary:problem:rollout-spec-invalid",
      title: "Bad request",
      status: 400,
      code: "rollout-spec-invalid",
      detail: "1 problem",
      advice: "give-up",
      problems: [{ path: ["spec", "model"], message: "no model edge@9" }],
    };
    const isWrong = text.includes("edge@9");
    const [status, answer] = isWrong
      ? [400, problem]
      : url === "/rollouts"
        ? [201, { uid: "r-9" }]
        : [200, { ok: true }];
    response.writeHead(status, { "content-type": isWrong ? "application/problem+json" : "application/json" });
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((done) => upstream.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  await put(topics.models, "edge/1", someModel({ version: "1", modelDigest: champion, pushedAt: 1e12 }));
  await happens("r-1", 1, created);
  await put(topics.rollouts, "r-1", someRollout({ name: "edge-2", devices: 20, spec: JSON.stringify(written) }));
  const shared = { kafka: { brokers: kafka.brokers, prefix: kafka.prefix }, http: { host: "127.0.0.1", port: 0 } };
  const main = "services/gateway/dist/main.js";
  [gateway, alone] = await Promise.all([
    spawnService({
      name: "gateway",
      main,
      dir: dir.path,
      config: {
        ...shared,
        rolloutManager: { url },
        modelRegistry: { url },
        trainer: { url },
        frameArchive: { url },
        rollouts: { historyBytesMax: 500 },
      },
    }),
    spawnService({ name: "gateway-alone", main, dir: dir.path, config: shared }),
  ]);
});

afterAll(async () => {
  upstream.close().closeAllConnections();
  await Promise.all([gateway.stop(), alone.stop()]);
  await sink.close();
  dir.remove();
});

describe("a rollout", () => {
  test("is shown as it stands, with the model that it rolls out and the one that it rolls back to", async () => {
    const { status, body } = await call("rollouts/r-1");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      phase: "Progressing",
      analysis: "Pending",
      generation: "1",
      actualWeight: 0,
      model: { digest: candidate, name: "edge", version: "2" },
      stable: { digest: champion, name: "edge", version: "1" },
      spec: { metadata: { name: "edge-2" }, spec: { burnIn: "3m", when: "any" } },
    });
    expect((await call("rollouts?name=edge-2&phase=Progressing")).body.items).toMatchObject([{ uid: "r-1" }]);
    expect((await call("rollouts?phase=Healthy")).body.items).toEqual([]);
    expect(await call("rollouts/none")).toMatchObject({ status: 404, body: { code: "rollout-unknown" } });
    expect(await call("rollouts?phase=Fine")).toMatchObject({ status: 400, body: { code: "request-invalid" } });
  });

  test("has a history of the events that count, and of no others (events.ts V1)", async () => {
    await happens("r-1", 2, { kind: "step-started", step: 0 });
    await happens("r-1", 2, { kind: "paused", reason: "person", untilMs: null, evidence: {} }); // came second
    await happens("r-1", 4, { kind: "completed", evidence: {} }); // skips one
    await happens("r-1", 3, { kind: "resumed", evidence: {} }, { details: "{" }); // no evidence: not of the contract
    const stray = recordOfEvent({
      uid: "r-1",
      version: 3,
      at: 1,
      by: "eve",
      change: { kind: "completed", evidence: {} },
    });
    await put(topics.rolloutEvents, "another", stray); // under another's key
    await happens("r-0", 1, created); // takes devices that r-1 holds
    await happens("r-1", 3, { kind: "step-finished", step: 0, evidence: { updated: 2 } });
    await happens("r-1", 4, { kind: "step-started", step: 1 });
    const events = await eventually("the last event", async () => {
      const { body } = await call("rollouts/r-1/events");
      return body.items.length === 4 && body.items;
    });
    expect(events.map((e: { version: number; kind: string }) => [e.version, e.kind])).toEqual([
      [1, "created"],
      [2, "step-started"],
      [3, "step-finished"],
      [4, "step-started"],
    ]);
    expect(events[0]).toMatchObject({ devices: 20, by: "service", at: "2026-01-01T00:01:00.000Z" });
    expect(events[0].order).toBeUndefined();
    expect((await call("rollouts/r-1/events?after=3")).body.items).toHaveLength(1);
    const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.http}/metrics`)).text();
    expect(metrics).toMatch(/events_passed_over_total\{code="rollout-event-stale"\} 2/);
    expect(metrics).toMatch(/events_passed_over_total\{code="rollout-event-unusable"\} 2/);
    expect(metrics).toMatch(/events_passed_over_total\{code="rollout-event-conflicts"\} 1/);
    expect(await call("rollouts/r-0/events")).toMatchObject({ status: 404, body: { code: "rollout-unknown" } });
  });

  test("shows its devices in their order, arm by arm, with the model that each reports", async () => {
    const slots = { perception: { modelDigest: candidate, modelName: "edge", modelVersion: "2" } };
    const update = { slot: "perception", modelDigest: candidate, code: "", reason: "", bytesDone: 9n, bytesAll: 9n };
    const report = (deviceId: string, change: object) =>
      put(topics.reported, deviceId, someReported({ deviceId, ...change }));
    await report("d0", { slots, update: { ...update, generation: 2n, phase: "COMMITTED" } });
    await report("d1", {
      update: { ...update, generation: 2n, phase: "REFUSED", code: "golden", reason: "it sees red" },
    });
    await report("d19", {});
    const { items, arms } = await eventually("the last device", async () => {
      const { body } = await call("rollouts/r-1/devices");
      return body.items[19].runs === "stable" && body.items[1].update !== null && body;
    });
    expect(items.map((d: { arm: string }) => d.arm[2]).join("")).toBe(`nn${"s".repeat(14)}nnnn`);
    expect(items[0]).toMatchObject({
      deviceId: "d0",
      reached: true,
      runs: "model",
      update: { phase: "COMMITTED", generation: "2" },
    });
    expect(items[1]).toMatchObject({ runs: "stable", update: { phase: "REFUSED", code: "golden" } });
    expect(items[2]).toMatchObject({ arm: "rest", reached: false, runs: "unknown", update: null, reportedAt: null });
    expect(arms.canary).toEqual({ devices: 2, onModel: 1, phases: { COMMITTED: 1, REFUSED: 1 } });
    expect(arms.control).toMatchObject({ devices: 4, onModel: 0 });
    const refused = await call("rollouts/r-1/devices?updatePhase=REFUSED");
    expect(refused.body).toMatchObject({ total: 1, items: [{ deviceId: "d1" }] });
    const page = await call("rollouts/r-1/devices?arm=control&from=1&limit=2");
    expect(page.body.items.map((d: { deviceId: string }) => d.deviceId)).toEqual(["d17", "d18"]);
  });

  test("is watched: as it stands, then each change; an older record changes nothing", async () => {
    const abort = new AbortController();
    const at = `http://127.0.0.1:${gateway.ports.http}/api/v1/rollouts/watch?name=edge-2`;
    const response = await fetch(at, { signal: abort.signal });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    let text = "";
    const reading = (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    })().catch(() => {});
    const change = { name: "edge-2", devices: 20, spec: JSON.stringify(written), evidence: JSON.stringify(evidence) };
    await put(
      topics.rollouts,
      "r-1",
      someRollout({ ...change, version: 5n, phase: "DEGRADED", weight: 10, updated: 2 }),
    );
    await put(topics.rollouts, "r-1", someRollout({ ...change, version: 4n, phase: "PROGRESSING" }));
    await put(topics.rollouts, "r-2", someRollout({ uid: "r-2", name: "other" }));
    await put(
      topics.rollouts,
      "r-1",
      someRollout({ ...change, version: 6n, phase: "DEGRADED", isBack: true, weight: 0 }),
    );
    await waitFor(() => text.includes('"version":6'), { what: "the last change" });
    abort.abort();
    await reading;
    const ids = [...text.matchAll(/^event: rollout\nid: (\S+)$/gm)].map(([, id]) => id);
    expect(ids).toEqual(["r-1-1", "r-1-5", "r-1-6"]);
    expect(text).toContain('"actualWeight":10');
    expect((await call("rollouts/r-1")).body).toMatchObject({ isBack: true, evidence: { why: "worse in accuracy" } });
  });

  test("has a report for people, also when its history is no longer in memory", async () => {
    await happens("r-1", 5, { kind: "analysed", step: 1, verdict: "Failed", evidence });
    await happens("r-1", 6, { kind: "aborted", why: "the analysis failed", evidence });
    await happens("r-1", 7, { kind: "rolled-back", evidence: { onModel: 0 } });
    await happens("r-3", 1, created); // more than this gateway remembers
    await put(topics.rollouts, "r-3", someRollout({ uid: "r-3", name: "edge-2", createdAt: 1_767_225_700_000 }));
    await eventually("the newer one", async () => (await call("rollouts/r-3/events")).status === 200);
    expect((await call("rollouts/r-1/events")).body.items).toHaveLength(7);
    const { status, type, body } = await call("rollouts/r-1/report");
    expect([status, type]).toEqual([200, "text/html; charset=utf-8"]);
    expect(body).toContain("worse in accuracy");
    expect(await call("rollouts/none/report")).toMatchObject({ status: 404, body: { code: "rollout-unknown" } });
    expect((await call("rollouts?name=edge-2")).body.items.map((r: { uid: string }) => r.uid)).toEqual(["r-3", "r-1"]);
  });

  test("is started and commanded through rollout-manager alone", async () => {
    asked.length = 0;
    expect(await send("POST", "rollouts", { spec: written, by: "ann" })).toMatchObject({
      status: 201,
      body: { uid: "r-9" },
    });
    expect(await send("POST", "rollouts/r-1/commands", { command: "undo" })).toMatchObject({ status: 200 });
    expect(asked).toEqual([
      { method: "POST", url: "/rollouts", body: { spec: written, by: "ann" } },
      { method: "POST", url: "/rollouts/r-1/commands", body: { command: "undo", by: "gateway" } },
    ]);
    const wrong = { ...written, spec: { ...written.spec, model: "edge@9" } };
    expect(await send("POST", "rollouts", { spec: wrong })).toMatchObject({
      status: 400,
      type: "application/problem+json",
      body: { code: "rollout-spec-invalid", problems: [{ path: ["spec", "model"], message: "no model edge@9" }] },
    });
    expect(await send("POST", "rollouts/r-1/commands", { command: "explode" })).toMatchObject({ status: 400 });
    expect(asked).toHaveLength(3);
  });
});

test("models are shown with their versions, aliases and gate; commands on them go to model-registry", async () => {
  const gate = {
    ...{
      passed: false,
      championDigest: champion,
      failed: ["class cat: 4 points worse"],
      reportDigest: "",
      pageDigest: "",
    },
    unsure: [],
    judgedAt: 1_767_225_600_000,
    forcedBy: "",
    forcedReason: "",
    validationDigest: "",
    validationGates: 0,
    sliceDigest: "",
    sliceGates: 0,
  };
  await put(topics.models, "edge/2", someModel({ gate }));
  await put(topics.modelAliases, "edge", {
    ...{
      name: "edge",
      aliases: { champion: "1", challenger: "2" },
      changedBy: "ann",
      changedAt: 1e12,
      validation: null,
    },
  });
  const model = await eventually("the aliases", async () => {
    const { body } = await call("models/edge");
    return body.aliases?.challenger === "2" && body.versions.length === 2 && body;
  });
  expect(model.versions).toMatchObject([
    { version: "2", aliases: ["challenger"], packageBytes: 1_234_567, gate: { failed: ["class cat: 4 points worse"] } },
    { version: "1", aliases: ["champion"], gate: null },
  ]);
  expect((await call("models")).body.items).toMatchObject([{ name: "edge" }]);
  expect((await call("models/edge/1")).body).toMatchObject({
    modelDigest: champion,
    pushedAt: "2001-09-09T01:46:40.000Z",
  });
  expect(await call("models/edge/9")).toMatchObject({ status: 404, body: { code: "model-unknown" } });
  expect(await call("models/none")).toMatchObject({ status: 404, body: { code: "model-unknown" } });
  asked.length = 0;
  await send("PUT", "models/edge/aliases/champion", { version: "2", by: "ann" });
  await send("POST", "models/edge/2/gate/force", { reason: "labels were wrong", by: "ann" });
  await send("POST", "models/edge/2/gate", { by: "ann" });
  await send("DELETE", "models/edge/aliases/challenger", { by: "ann" });
  await send("POST", "models/edge/1/revoke", { reason: "leaks", by: "ann" });
  expect(asked).toEqual([
    { method: "PUT", url: "/models/edge/aliases/champion", body: { version: "2", by: "ann" } },
    { method: "POST", url: "/models/edge/2/gate/force", body: { reason: "labels were wrong", by: "ann" } },
    { method: "POST", url: "/models/edge/2/gate", body: { by: "ann" } },
    { method: "DELETE", url: "/models/edge/aliases/challenger", body: { by: "ann" } },
    { method: "POST", url: "/models/edge/1/revoke", body: { reason: "leaks", by: "ann" } },
  ]);
  expect(await send("POST", "models/edge/2/gate/force", {})).toMatchObject({ status: 400 });
});

describe("a training", () => {
  const archived = (frameSeq: bigint, change: Partial<ArchivedFrame> = {}) => {
    const digest = `${frameSeq}`.padStart(64, "0");
    const expiresAt = Date.now() + 86_400_000;
    const frame = someArchivedFrame({ deviceId: "cam-1", frameSeq, digest, expiresAt, ...change });
    return put(topics.archivedFrames, frame.deviceId, frame);
  };
  const frameIdOf = (frameSeq: number) => `cam-1:${someBootId}:front:${frameSeq}`;
  const next = async (query = "") =>
    (await call(`labels/next${query}`)).body.items.map(({ frameId, why, training }: NextLabel) => [
      frameId,
      why,
      training,
    ]);

  beforeAll(async () => {
    const run = someTrainingRun({ runId: "t-1", devices: ["cam-1"] });
    await archived(1n, { receivedAt: run.since + 10_000 });
    await archived(2n, { receivedAt: run.since + 20_000 });
    await archived(3n, { receivedAt: run.since - 1 });
    const event = { runId: "t-1", version: 1n, at: run.requestedAt, by: "trainer", model: "edge", details: "{}" };
    await put(topics.trainingRequests, "t-1", { ...event, kind: "REQUESTED" });
    await put(topics.trainingResults, "t-1", run);
    await eventually("the run", async () => (await call("trainings/t-1")).status === 200);
    await eventually("its frames", async () => (await next()).length === 2);
  });

  test("is shown with its events and as a page, and is commanded through the trainer alone", async () => {
    const { body } = await call("trainings?state=open&model=edge");
    expect(body.items).toMatchObject([{ runId: "t-1", phase: "LABELLING", labelsHave: 212 }]);
    expect((await call("trainings/t-1")).body).toMatchObject({ devices: ["cam-1"], evidence: {}, endedAt: null });
    expect((await call("trainings/t-1/events")).body.items).toMatchObject([{ version: 1, kind: "REQUESTED" }]);
    const page = await call("trainings/t-1/report");
    expect([page.status, page.type]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.body).toContain("<h1>Training of edge: site=north</h1>");
    expect((await call("trainings/t-9/events")).body.code).toBe("training-unknown");

    asked.length = 0;
    const by = "ann";
    await send("POST", "trainings", { model: "edge", reason: "dusk", slice: "site=north", by });
    await send("POST", "trainings/t-1/cancel", { reason: "wrong site", by });
    await send("POST", "trainings/t-1/resume", { by });
    await call("trainings/t-1/logs?lines=5");
    await call("archive/frames?site=north&limit=7");
    expect(asked).toEqual([
      { method: "POST", url: "/runs", body: { model: "edge", reason: "dusk", slice: "site=north", by } },
      { method: "POST", url: "/runs/t-1/cancel", body: { reason: "wrong site", by } },
      { method: "POST", url: "/runs/t-1/resume", body: { by } },
      { method: "GET", url: "/runs/t-1/logs?lines=5", body: null },
      { method: "GET", url: "/frames?site=north&limit=7", body: null },
    ]);
    expect(await send("POST", "trainings", { model: "edge", reason: "x", slice: "north" })).toMatchObject({
      status: 400,
      body: { errors: [{ where: "body.slice" }] },
    });
    expect(await send("POST", "trainings", { model: "edge", reason: "x" }, alone)).toMatchObject({
      status: 501,
      body: { code: "trainer-not-configured" },
    });
  });

  test("that waits for labels has its archived frames labelled, though Kafka has neither answer nor picture", async () => {
    const [first, second] = [frameIdOf(1), frameIdOf(2)];
    expect(await next()).toEqual([
      [first, "TRAINING", "t-1"],
      [second, "TRAINING", "t-1"],
    ]);
    expect(await next("?training=t-1&limit=1")).toEqual([[first, "TRAINING", "t-1"]]);
    expect((await call("labels/next?training=t-9")).status).toBe(404);
    const picture = await fetch(`http://127.0.0.1:${gateway.ports.http}/api/v1/frames/${first}/image`);
    expect(Buffer.from(await picture.arrayBuffer()).equals(jpeg)).toBe(true);
    expect((await call(`frames/${first}/image`, {}, alone)).body.code).toBe("picture-unknown");

    const labels = [
      { frameId: first, label: "cat" },
      { frameId: frameIdOf(4), label: "cat" },
    ];
    expect((await send("POST", "labels", { labels })).body).toMatchObject({
      accepted: 1,
      refused: [{ index: 1, code: "frame-unknown" }],
    });
    await eventually("the label", async () => (await next()).length === 1);
    const { body } = await call("trainings/t-1/report");
    expect(body).toContain("1 frames of the slice are labelled so far");
    expect(body).toContain(`<img src="/api/v1/frames/${encodeURIComponent(first)}/image"`);
  });
});

test("a gateway without these services shows all the same, and returns what is not configured", async () => {
  expect(await call("rollouts/r-1", {}, alone)).toMatchObject({ status: 200 });
  expect(await send("POST", "rollouts", { spec: written }, alone)).toMatchObject({
    status: 501,
    body: { code: "rollout-manager-not-configured", detail: expect.stringContaining("rolloutManager.url") },
  });
  expect(await send("PUT", "models/edge/aliases/champion", { version: "2" }, alone)).toMatchObject({
    status: 501,
    body: { code: "model-registry-not-configured" },
  });
});
