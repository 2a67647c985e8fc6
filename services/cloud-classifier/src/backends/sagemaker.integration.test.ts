/** The SageMaker backend behind its target, against an endpoint that misbehaves in each way between frames that it answers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { callDefaults } from "@tributary/calls";
import { systemClock } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { z } from "zod";
import { type Submission, Target, type TargetOptions, type Verdict } from "../target.ts";
import {
  answerError,
  answerJson,
  type Misbehaviour,
  type StubEndpoint,
  startStubEndpoint,
} from "../testing/stub-endpoint.ts";
import { SagemakerBackend } from "./sagemaker.ts";
import { sagemakerKeys } from "./sagemaker-config.ts";

const dir = tempDir("sagemaker");
const labels = join(dir.path, "labels.json");
const GOOD = { probabilities: [[0.1, 0.7, 0.2]] };
const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xd9]);
const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;

let stub: StubEndpoint;
const open: Target[] = [];

async function start(keys: object = {}, calls: Partial<TargetOptions["calls"]> = {}, batchMax = 1) {
  const config = z.strictObject(sagemakerKeys).parse({
    backend: "sagemaker",
    endpoint: "photos",
    region: "eu-central-1",
    endpointUrl: stub.url,
    labels,
    ...keys,
  });
  const reported: string[] = [];
  const target = new Target({
    name: "sagemaker",
    backend: await SagemakerBackend.start(config, systemClock),
    limits: { batchMax, waitMs: 5, queueFramesMax: 100, queueBytesMax: 1 << 20, callsMax: 4 },
    calls: { ...callDefaults, costMicrosPerCall: 90, ...calls },
    isServer: true,
    clock: systemClock,
    random: () => 0.5,
    events: {
      called: ({ code }) => void reported.push(code),
      retry: ({ decision }) => void reported.push(decision),
      circuit: (state) => void reported.push(state),
    },
  });
  open.push(target);
  const ask = (change: Partial<Submission> = {}): Promise<Verdict> =>
    target.submit({
      jpeg,
      lane: "normal",
      deviceId: "cam",
      deadlineAt: Date.now() + 20_000,
      keepExpired: false,
      ...change,
    });
  return { ask, reported, target };
}
const answeredB = { kind: "outcome", outcome: { kind: "answered", label: "b", servedBy: "AllTraffic" } };
const failedBy = (code: string) => ({ kind: "outcome", outcome: { kind: "failed", code } });

beforeAll(async () => {
  writeFileSync(labels, JSON.stringify({ labels: ["a", "b", "c"] }));
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" });
  stub = await startStubEndpoint(GOOD);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((target) => target.close()));
  stub.invocations.splice(0);
  stub.answer = GOOD;
});
afterAll(async () => {
  await stub.close();
  dir.remove();
});

const json =
  (body: unknown, headers = {}): Misbehaviour =>
  (response) =>
    answerJson(response, body, headers);

const cases: readonly (readonly [name: string, how: Misbehaviour, verdict: object])[] = [
  ["400, a wrong request", answerError(400, "ValidationError"), failedBy("server-refused")],
  ["403", answerError(403, "AccessDeniedException"), failedBy("server-forbidden")],
  ["404", answerError(404, "NotFound"), failedBy("server-model-unknown")],
  ["throttling, which is a 400", answerError(400, "ThrottlingException"), failedBy("server-busy")],
  ["429, a model that is not ready", answerError(429, "ModelNotReadyException"), failedBy("model-not-ready")],
  ["500", answerError(500, "InternalFailure"), failedBy("server-error")],
  ["503", answerError(503, "ServiceUnavailable"), failedBy("server-unavailable")],
  ["530", answerError(530, "InternalDependencyException"), failedBy("server-error")],
  ["the model's 500", answerError(424, "ModelError", { OriginalStatusCode: 500 }), failedBy("model-error")],
  [
    "the model's 415: the picture's fault",
    answerError(424, "ModelError", { OriginalStatusCode: 415, OriginalMessage: "not a JPEG" }),
    { kind: "outcome", outcome: { kind: "refused", code: "model-refused" } },
  ],
  ["half a body", half, failedBy("answer-cut")],
  ["a body without end", (response) => void endless(response), failedBy("answer-too-large")],
  ["a connection that closes", (response) => void response.socket?.destroy(), failedBy("server-unreachable")],
  ["no answer in time", () => {}, failedBy("backend-timeout")],
  ["malformed JSON", json("}{"), failedBy("answer-unreadable")],
  ["a page", json("<html></html>"), failedBy("answer-unreadable")],
  ["another document", json({ scores: [[1]] }), failedBy("answer-unreadable")],
  [
    "two rows for one frame",
    json({
      probabilities: [
        [1, 0, 0],
        [1, 0, 0],
      ],
    }),
    failedBy("answer-shape-wrong"),
  ],
  ["a row that is no list", json({ probabilities: [{ b: 1 }] }), failedBy("answer-labels-wrong")],
  ["fewer values than labels", json({ probabilities: [[0.5, 0.5]] }), failedBy("answer-labels-wrong")],
  ["NaN, as Python writes it", json('{"probabilities": [[NaN, 0.5, 0.5]]}'), failedBy("answer-not-finite")],
  ["null", json({ probabilities: [[null, 0.5, 0.5]] }), failedBy("answer-not-finite")],
  ["logits", json({ probabilities: [[3.1, -2, 0.4]] }), failedBy("answer-not-probabilities")],
];

describe("each faulty answer gets its failure code, and the frames before and after it are answered", () => {
  test.each(cases)("%s", async (name, how, verdict) => {
    const callMsMax = name === "no answer in time" ? 2_000 : 20_000;
    const { ask, reported } = await start({}, { callMsMax, retry: { ...callDefaults.retry, attemptsMax: 1 } });
    expect(await ask()).toMatchObject(answeredB);
    stub.misbehaveOnce(how);
    expect(await ask()).toMatchObject(verdict);
    expect(await ask()).toMatchObject(answeredB);
    const code = (verdict as { outcome: { kind: string; code: string } }).outcome;
    expect(reported.filter((event) => event !== "attempts-spent")).toEqual([
      "",
      code.kind === "refused" ? "" : code.code,
      "",
    ]);
  });

  test("another variant than the configured one", async () => {
    const { ask } = await start({ variant: "blue" });
    stub.misbehaveOnce(json(GOOD, { "x-amzn-invoked-production-variant": "blue" }));
    expect(await ask()).toMatchObject({ outcome: { kind: "answered", servedBy: "blue" } });
    expect(await ask()).toMatchObject(failedBy("answer-variant-wrong"));
  });

  test("labels that are not ours", async () => {
    const { ask } = await start({ answer: { kind: "labels" } });
    stub.answer = [
      { label: "c", score: 0.6 },
      { label: "a", score: 0.3 },
    ];
    expect(await ask()).toMatchObject({ outcome: { kind: "answered", label: "c", confidence: 0.6, margin: 0.3 } });
    stub.misbehaveOnce(json([{ label: "LABEL_2", score: 0.6 }]));
    expect(await ask()).toMatchObject(failedBy("answer-labels-wrong"));
    expect(await ask()).toMatchObject({ outcome: { kind: "answered", label: "c" } });
  });
});

describe("the policy", () => {
  const budget = { ...callDefaults.retry, shareMax: 1 };

  test("waits for the server's Retry-After and retries once, at twice the cost", async () => {
    const { ask, reported } = await start({}, { retry: budget });
    stub.misbehaveOnce(answerError(429, "ThrottlingException", {}, { "retry-after": "1" }));
    const since = performance.now();
    expect(await ask()).toMatchObject({ ...answeredB, attempts: 2, costMicros: 180 });
    expect(performance.now() - since).toBeGreaterThanOrEqual(990);
    expect(reported).toEqual(["server-busy", "made", ""]);
  });

  test("does not wait beyond the deadline, nor call meanwhile", async () => {
    const { ask, reported } = await start({}, { retry: budget });
    stub.misbehaveOnce(answerError(503, "ServiceUnavailable", {}, { "retry-after": "6" }));
    expect(await ask({ deadlineAt: Date.now() + 4_000 })).toMatchObject({
      ...failedBy("server-unavailable"),
      attempts: 1,
    });
    expect(await ask({ deadlineAt: Date.now() + 500 })).toMatchObject({ ...failedBy("throttled"), attempts: 0 });
    expect(stub.invocations).toHaveLength(1);
    expect(reported).toEqual(["server-unavailable", "deadline-near"]);
    expect(await ask()).toMatchObject(answeredB);
  });

  test("opens the circuit of an endpoint that is down, and closes it when a probe succeeds", async () => {
    const breaker = { ...callDefaults.breaker, openMs: 1_500 };
    const { ask, target } = await start({}, { breaker });
    for (let i = 0; i < 5; i++) {
      stub.misbehaveOnce(answerError(500, "InternalFailure"));
      expect(await ask()).toMatchObject(failedBy("server-error"));
    }
    expect(await ask()).toMatchObject({ ...failedBy("circuit-open"), attempts: 0, costMicros: 0 });
    expect(stub.invocations).toHaveLength(5);
    await new Promise((over) => setTimeout(over, 1_550));
    expect(await ask()).toMatchObject(answeredB);
    expect(target.circuit).toBe("closed");
  });

  test("a frame gets its verdict by its deadline", async () => {
    const { ask } = await start();
    stub.misbehaveOnce(() => {});
    const since = performance.now();
    expect(await ask({ deadlineAt: Date.now() + 2_000 })).toMatchObject({ attempts: 1, costMicros: 90 });
    expect(performance.now() - since).toBeLessThan(callDefaults.callMsMax);
    expect(await ask()).toMatchObject(answeredB);
  });
});

describe("what the endpoint gets", () => {
  test("the picture's bytes, whom to ask, and the trace inside the custom attributes", async () => {
    const { ask } = await start({ variant: "AllTraffic", inferenceComponent: "photos-v2", targetModel: "v2.tar.gz" });
    await ask({ traceparent, frameId: "d:1:cam:2" });
    const [{ path, headers, body } = { path: "", headers: {}, body: Buffer.alloc(0) }] = stub.invocations;
    expect(path).toBe("/endpoints/photos/invocations");
    expect(body.equals(jpeg)).toBe(true);
    expect(headers).toMatchObject({
      "content-type": "image/jpeg",
      accept: "application/json",
      "x-amzn-sagemaker-custom-attributes": `traceparent=${traceparent}`,
      "x-amzn-sagemaker-target-variant": "AllTraffic",
      "x-amzn-sagemaker-inference-component": "photos-v2",
      "x-amzn-sagemaker-target-model": "v2.tar.gz",
      "x-amzn-sagemaker-inference-id": "d:1:cam:2",
      authorization: expect.stringMatching(
        /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/sagemaker\//,
      ),
    });
  });

  test("several frames as JSON, each with its own row of logits", async () => {
    stub.answer = {
      predictions: [
        [5, 0, 0],
        [0, 0, 5],
      ],
    };
    const { ask } = await start({ body: "json", answer: { kind: "logits", field: "predictions" } }, {}, 2);
    const verdicts = await Promise.all([ask(), ask()]);
    expect(verdicts).toMatchObject([
      { outcome: { kind: "answered", label: "a" }, costMicros: 45 },
      { outcome: { kind: "answered", label: "c" }, costMicros: 45 },
    ]);
    const b64 = jpeg.toString("base64");
    expect(JSON.parse(`${stub.invocations[0]?.body}`)).toEqual({ instances: [{ b64 }, { b64 }] });
  });
});

function half(response: Parameters<Misbehaviour>[0]): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
  response.write('{"probabilities": [[0.1,');
  setTimeout(() => response.socket?.destroy(), 20);
}

function endless(response: Parameters<Misbehaviour>[0]): void {
  response.writeHead(200, { "content-type": "application/json" });
  const more = () => {
    while (!response.destroyed && response.write(Buffer.alloc(1 << 20, 0x20)));
  };
  response.on("drain", more);
  more();
}
