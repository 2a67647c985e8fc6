/** Experiments, and the policies that they name, through the gateway's own process: it shows what Kafka holds of them, stores policies by
 * version, and forwards what is wanted of experiments. A server with rollout-manager's HTTP API stands in for it. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Experiment, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { type RolloutChange, recordOfEvent, rolloutSpec } from "@tributary/rollouts";
import { type ExperimentChange, readExperiment } from "@tributary/rollouts/experiment";
import {
  cifarLabels,
  type SpawnedService,
  someAnswer,
  someBootId,
  someExperiment,
  someExperimentEvidence,
  someModel,
  somePolicy,
  somePrediction,
  somePredictions,
  someReported,
  someTrainingRun,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const kafka = { ...testKafka(), clientId: "gateway-experiments-test" };
const dir = tempDir("gateway-experiments");
const sink = new KafkajsSink(kafka);
const model = "cd".repeat(32);
const inForce = somePolicy({ modelDigest: model });
const written = {
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name: "cloud-or-not" },
  spec: {
    arms: [
      { name: "hybrid", policy: inForce.policyVersion.slice(0, 12) },
      { name: "cloud-heavy", policy: "efefefefefef" },
    ],
    utility: { correct: 0.01, escalated: 0.002, late: 0.05, currency: "EUR" },
    rope: 0.0005,
  },
};
const { spec } = readExperiment(written);
if (spec === null) throw new Error("the specification of this test is wrong");
const created: ExperimentChange = {
  kind: "experiment-created",
  spec,
  arms: [
    { policyVersion: inForce.policyVersion, devices: 2 },
    { policyVersion: "ef".repeat(32), devices: 2 },
  ],
  order: ["d0", "d1", "d2", "d3"],
  strata: [0, 0, 0, 0],
  modelDigest: model,
  cloudTarget: "default",
  deadlineMs: 2_000,
};
/** A rollout to all at once, but for its digests and devices. */
const canary = (name: string, more: object = {}) => {
  const strategy = { canary: { steps: [{ setWeight: 100 }] } };
  const rollout = { apiVersion: "tributary.dev/v1", kind: "ModelRollout", metadata: { name } };
  const kind = "created" as const;
  return { kind, spec: rolloutSpec.parse({ ...rollout, spec: { model: "edge@2", strategy, ...more } }) };
};
const evidence = someExperimentEvidence();
const DAY = 86_400_000;
const START = 1_767_225_600_000;

/** What reaches the stand-in. */
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
const post = (path: string, body: unknown, at = gateway) =>
  call(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } }, at);
const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);
const happens = (uid: string, version: number, change: ExperimentChange | RolloutChange) => {
  const event = { uid, version, at: START + version * 60_000, by: "service", change };
  return put(topics.rolloutEvents, uid, recordOfEvent(event as Parameters<typeof recordOfEvent>[0]));
};
const stands = (change: Partial<Experiment>) => {
  const own = { name: "cloud-or-not", modelDigest: model, spec: JSON.stringify(written) };
  const record = someExperiment({ ...own, evidence: JSON.stringify(evidence), ...change });
  return put(topics.experiments, record.uid, record);
};
const eventually = <T>(what: string, look: () => Promise<T | undefined | false>) => waitFor(look, { what });

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  upstream = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { method = "", url = "" } = request;
    asked.push({ method, url, body: JSON.parse(text) });
    const isWrong = text.includes("00000000");
    const problem = {
      code: "experiment-spec-invalid",
      detail: "1 problem",
      advice: "ask-a-person",
      problems: [{ path: ["spec", "arms", 1, "policy"], message: "no policy 00000000" }],
    };
    const answer = url === "/experiments" ? { uid: "e-9" } : { uid: "e-1", version: 2, phase: "Stopped" };
    const status = isWrong ? 422 : url === "/experiments" ? 201 : 200;
    response.writeHead(status, { "content-type": isWrong ? "application/problem+json" : "application/json" });
    response.end(JSON.stringify(isWrong ? problem : answer));
  });
  await new Promise<void>((done) => upstream.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  await put(topics.models, "edge/2", someModel());
  await put(topics.policies, `${model}|default`, inForce);
  await happens("e-1", 1, created);
  await stands({});
  const shared = { kafka: { brokers: kafka.brokers, prefix: kafka.prefix }, http: { host: "127.0.0.1", port: 0 } };
  const main = "services/gateway/dist/main.js";
  [gateway, alone] = await Promise.all([
    spawnService({ name: "gateway", main, dir: dir.path, config: { ...shared, rolloutManager: { url } } }),
    spawnService({
      ...{ name: "gateway-alone", main, dir: dir.path },
      config: { ...shared, rollouts: { rememberedMax: 2 } },
    }),
  ]);
});

afterAll(async () => {
  upstream.close().closeAllConnections();
  await Promise.all([gateway.stop(), alone.stop()]);
  await sink.close();
  dir.remove();
});

describe("an experiment", () => {
  test("is listed, and shown with its specification, its evidence and the name of its model", async () => {
    const { items } = (await call("experiments?name=cloud-or-not&phase=Running")).body;
    expect(items).toMatchObject([
      {
        ...{ uid: "e-1", phase: "Running", verdict: null, winner: null, review: null, rollout: null, devices: 300 },
        model: { digest: model, name: "edge", version: "2" },
        createdAt: "2026-01-01T00:00:00.000Z",
      },
    ]);
    expect(items[0].evidence).toBeUndefined();
    expect((await call("experiments?phase=Decided")).body.items).toEqual([]);
    const { body } = await call("experiments/e-1");
    expect(body.spec.spec).toMatchObject({ lateMargin: 0.005, burnIn: "10m", reviewAfter: "90d" }); // defaults
    expect(body.evidence).toEqual(JSON.parse(JSON.stringify(evidence)));
    expect(await call("experiments/none")).toMatchObject({ status: 404, body: { code: "experiment-unknown" } });
    expect((await call("experiments?phase=Healthy")).status).toBe(400);
  });

  test("has its history in the log of rollouts, and neither is taken for the other", async () => {
    await happens("r-1", 1, { ...canary("edge"), modelDigest: "ef".repeat(32), stableDigest: model, order: ["d8"] });
    await eventually("the rollout", async () => (await call("rollouts/r-1/events")).status === 200);
    const [event, ...more] = (await call("experiments/e-1/events")).body.items;
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      ...{ version: 1, by: "service", kind: "experiment-created", devices: 4 },
      spec: { metadata: { name: "cloud-or-not" } },
      arms: [{ devices: 2 }, { devices: 2 }],
    });
    expect(event.order ?? event.strata).toBeUndefined();
    expect(await call("rollouts/e-1/events")).toMatchObject({ status: 404, body: { code: "rollout-unknown" } });
    expect(await call("experiments/r-1/events")).toMatchObject({ status: 404, body: { code: "experiment-unknown" } });
    expect(await call("experiments/r-1/report")).toMatchObject({ status: 404, body: { code: "experiment-unknown" } });
  });

  test("has a page for people, with what it saw at its last look", async () => {
    const { status, type, body } = await call("experiments/e-1/report");
    expect([status, type]).toEqual([200, "text/html; charset=utf-8"]);
    expect(body).toContain("cloud-or-not");
    expect(body).toContain("worth more so far, but not surely");
  });

  test("is started and stopped by rollout-manager alone, whose answers are returned unchanged", async () => {
    asked.length = 0;
    expect(await post("experiments", { spec: written, by: "ann" })).toMatchObject({
      status: 201,
      body: { uid: "e-9" },
    });
    const stopped = await post("experiments/e-1/stop", { why: "another target" });
    expect(stopped).toMatchObject({ status: 200, body: { phase: "Stopped" } });
    expect(asked).toEqual([
      { method: "POST", url: "/experiments", body: { spec: written, by: "ann" } },
      { method: "POST", url: "/experiments/e-1/stop", body: { by: "gateway", why: "another target" } },
    ]);
    const wrong = {
      ...written,
      spec: { ...written.spec, arms: [written.spec.arms[0], { name: "b", policy: "00000000" }] },
    };
    expect(await post("experiments", { spec: wrong })).toMatchObject({
      status: 422,
      body: { code: "experiment-spec-invalid", problems: [{ path: ["spec", "arms", 1, "policy"] }] },
    });
    expect(await post("experiments/e-1/stop", { reason: "x" })).toMatchObject({ status: 400 });
    const unconfigured = await post("experiments", { spec: written }, alone);
    expect(unconfigured).toMatchObject({ status: 501, body: { code: "rollout-manager-not-configured" } });
  });

  test("is due for review when its time is up, or when its model was trained again; an older record changes nothing", async () => {
    const why = "cloud-heavy is worth more";
    await happens("e-1", 2, { kind: "experiment-decided", verdict: "adopt", winner: "cloud-heavy", why, evidence });
    const decided: Partial<Experiment> = {
      ...{ version: 2n, phase: "DECIDED", verdict: "ADOPT", winner: "cloud-heavy", message: why, rollout: "r-7" },
      ...{ changedAt: Date.now() - DAY, reviewAt: Date.now() + 90 * DAY },
    };
    await stands(decided);
    const seen = async () => (await call("experiments/e-1")).body;
    const first = await eventually("the decision", async () => {
      const one = await seen();
      return one.phase === "Decided" && one;
    });
    expect(first).toMatchObject({ verdict: "adopt", winner: "cloud-heavy", rollout: "r-7", review: { isDue: false } });
    expect(first.review.why).toMatch(/^due 20.*, or when a training ends with a new version of edge$/);
    expect((await call("experiments/e-1/report")).body).toContain(why);

    await stands({ version: 1n }); // an instance that did not see the decision
    const trained = { model: "edge", phase: "SUCCEEDED", candidateVersion: "3" } as const;
    const before = { ...trained, runId: "t-0", endedAt: Date.now() - 2 * DAY };
    for (const run of [before, { ...trained, runId: "t-1", model: "other", endedAt: Date.now() }])
      await put(topics.trainingResults, run.runId, someTrainingRun(run));
    await put(topics.trainingResults, "t-2", someTrainingRun({ ...trained, runId: "t-2", endedAt: Date.now() }));
    const due = await eventually("the training", async () => {
      const { review, phase } = await seen();
      expect(phase).toBe("Decided");
      return review.isDue && review;
    });
    expect(due.why).toMatch(/^due since edge 3 was trained: training t-2 ended 20/);

    await stands({ ...decided, uid: "e-2", modelDigest: "00".repeat(32), reviewAt: START });
    const late = await eventually("the second", async () => {
      const { status, body } = await call("experiments/e-2");
      return status === 200 && body;
    });
    expect(late.review).toEqual({ isDue: true, why: "due since 2026-01-01T00:00:00.000Z" });
  });

  test("what it adopted is rolled out as a policy: devices run it once they report that they decide by it", async () => {
    const policy = { ...canary("policy", { slot: "policy" }), modelDigest: "ef".repeat(32) };
    await happens("r-7", 1, { ...policy, stableDigest: inForce.policyVersion, order: ["d0", "d1", "d2"] });
    await happens("r-7", 2, { kind: "step-started", step: 0 });
    const update = { slot: "perception", modelDigest: model, phase: "COMMITTED" as const, code: "", reason: "" };
    const committed = { ...update, generation: 2n, bytesDone: 1n, bytesAll: 1n };
    await put(
      topics.reported,
      "d0",
      someReported({ deviceId: "d0", policyVersion: "ef".repeat(32), update: committed }),
    );
    await put(topics.reported, "d1", someReported({ deviceId: "d1", policyVersion: inForce.policyVersion }));
    const { items } = await eventually("the reports", async () => {
      const { status, body } = await call("rollouts/r-7/devices");
      return status === 200 && body.items[1].runs !== "unknown" && body;
    });
    expect(items.map(({ runs }: { runs: string }) => runs)).toEqual(["model", "stable", "unknown"]);
    expect(items[0].update).toBeNull(); // of a model
  });

  test("of more than are remembered, those that ended and changed first are forgotten first", async () => {
    await stands({ uid: "e-3", name: "another" });
    await stands({ uid: "e-4", name: "another", createdAt: START + 1 });
    await eventually("the last", async () => (await call("experiments/e-4", {}, alone)).status === 200);
    const { items } = (await call("experiments", {}, alone)).body;
    expect(items.map(({ uid }: { uid: string }) => uid)).toEqual(["e-4", "e-3"]);
    expect(await call("experiments/e-1/events", {}, alone)).toMatchObject({ status: 404 });
    expect((await call("experiments/e-1/events")).body.items).toHaveLength(2);
  });
});

describe("a routing policy", () => {
  const { policyVersion: _v, modelDigest: _m, createdAt: _c, ...content } = somePolicy({ scoreMin: 0.4 });
  const pushed = () => post("policies", { policy: content, modelDigest: model, by: "ann" });
  const stored = async () => {
    const reader = new KafkaReader(kafka);
    const keys: (string | null)[] = [];
    for await (const { key } of readTopic(reader, topics.policyVersions.name)) keys.push(key);
    await reader.close();
    return keys;
  };

  test("is stored by its version, once; it is in force by it for nobody", async () => {
    const first = await pushed();
    expect(first).toMatchObject({ status: 201, body: { policyVersion: expect.stringMatching(/^[0-9a-f]{64}$/) } });
    expect(await pushed()).toEqual(first);
    const { policyVersion } = first.body;
    expect(await stored()).toEqual([policyVersion]);
    const { items } = (await call("policies/versions")).body;
    expect(items).toMatchObject([
      { policyVersion, inForce: false, scoreMin: 0.4, key: `${model}|default` },
      { policyVersion: inForce.policyVersion, inForce: true, createdAt: "2023-11-14T22:13:20.000Z" },
    ]);
    expect((await call("policies/versions?limit=1")).body.items).toHaveLength(1);
    expect((await call(`policies/versions?model=${"ab".repeat(4)}`)).body.items).toEqual([]);
    expect((await call("policies")).body.items).toMatchObject([{ policyVersion: inForce.policyVersion }]);
    const other = await eventually("the other gateway", async () => {
      const { body } = await call("policies/versions", {}, alone);
      return body.items.length === 2 && body;
    });
    expect(other.items).toEqual(items);
    expect(await post("policies", { policy: content, modelDigest: model }, alone)).toMatchObject({ status: 201 });
    expect(await stored()).toEqual([policyVersion]);
  });

  test("explains frames that were decided by it", async () => {
    const { policyVersion } = (await pushed()).body;
    const of = { deviceId: "d2", bootId: someBootId };
    const prediction = somePrediction({ frameSeq: 7n, reason: "AMBIGUOUS", escalation: "QUEUED" });
    await put(topics.predictions, "d2", somePredictions({ ...of, policyVersion, predictions: [prediction] }));
    await put(topics.classifications, "d2", { ...of, answers: [someAnswer({ frameSeq: 7n })] });
    const { policy } = await eventually("the explanation", async () => {
      const { status, body } = await call(`frames/d2:${someBootId}:cam:7/explanation`);
      return status === 200 && body.prediction !== null && body;
    });
    expect(policy).toMatchObject({ policyVersion, scoreMin: 0.4 });
  });

  test("of another model's labels, of no model, or of no policy's shape is refused, and nothing is stored", async () => {
    const before = await stored();
    const refusals = [
      [{ policy: content, modelDigest: "99".repeat(32) }, "model-unknown", "The registry has no model 9999"],
      [{ policy: { ...content, scoreMin: "high" }, modelDigest: model }, "policy-invalid", 'scoreMin: "high" is not'],
      [
        { policy: { ...content, labels: cifarLabels.toReversed() }, modelDigest: model },
        "policy-labels-differ",
        "those of edge 2 are airplane, automobile",
      ],
    ] as const;
    for (const [body, code, detail] of refusals) {
      const refused = await post("policies", body);
      expect(refused).toMatchObject({ status: 422, body: { code, detail: expect.stringContaining(detail) } });
    }
    const short = await post("policies", { policy: content, modelDigest: "cd" });
    expect(short).toMatchObject({ status: 400, body: { errors: [{ where: "body.modelDigest" }] } });
    expect(await stored()).toEqual(before);
  });
});
