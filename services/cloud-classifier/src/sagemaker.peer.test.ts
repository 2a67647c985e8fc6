/**
 * The classifier as it is deployed, with SageMaker endpoints that are other people's: moto's server, and one that judges
 * each request by botocore's model of the service. Two variants are the arms of a route, a local model is its fallback,
 * moto's endpoint its shadow.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type CloudRequest, type CloudResult, type Topic, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type Following,
  follow,
  followAll,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
} from "@tributary/kafka";
import {
  followContext,
  freePort,
  repositoryRoot,
  type SpawnedService,
  someRequest,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { python } from "../../../tools/peers.mjs";

const packageDir = join(repositoryRoot, "models/cloud-vgg");
const golden = JSON.parse(readFileSync(join(packageDir, "golden/index.json"), "utf8")) as {
  frames: { jpeg: string }[];
};
const labels = JSON.parse(readFileSync(join(packageDir, "labels.json"), "utf8")) as string[] | { labels: string[] };
const names = Array.isArray(labels) ? labels : labels.labels;
const jpeg = readFileSync(join(packageDir, golden.frames[0]?.jpeg ?? ""));
/** A container's answer: sure of one class. */
const sureOf = (label: string): string =>
  JSON.stringify({ probabilities: [names.map((name) => (name === label ? 0.91 : 0.01))] });

const kafka = { ...testKafka(), clientId: "sagemaker-test" };
const dir = tempDir("sagemaker-peer");
const reader = new KafkaReader(kafka);
const sink = new KafkajsSink(kafka);
const results = new Map<string, CloudResult>();
const shadows = new Map<string, CloudResult>();
const stop = new AbortController();
const peers: ChildProcess[] = [];
let service: SpawnedService;
let endpoint: string;
let following: Following;

type Seen = { readonly problems: string[]; readonly CustomAttributes?: string; readonly TargetVariant?: string };
type Step =
  | { readonly error: string; readonly [member: string]: unknown }
  | { readonly variant?: string; body?: string };
const script = (...steps: readonly Step[]) =>
  fetch(`${endpoint}/script`, { method: "POST", body: JSON.stringify(steps) });
const seen = async () => (await (await fetch(`${endpoint}/seen`)).json()) as Seen[];

const keyOf = (r: { deviceId: string; frameSeq: bigint }) => `${r.deviceId}:${r.frameSeq}`;
const collect = (topic: Topic<CloudResult>, into: Map<string, CloudResult>) =>
  follow(followContext(reader, stop.signal), topic, (result) => {
    if (result !== null) into.set(keyOf(result), result);
  });
let seq = 0n;
async function ask(change: Partial<CloudRequest> = {}): Promise<CloudResult> {
  const request = someRequest({ frameSeq: ++seq, jpeg, deadlineAt: Date.now() + 10_000, ...change });
  const { name: topic, codec } = topics.requestsHigh;
  await sink.send([{ topic, key: request.deviceId, value: codec.encodeConfluent(request) }]);
  return waitFor(() => results.get(keyOf(request)), { what: `the result of ${keyOf(request)}` });
}

async function startMoto(): Promise<string> {
  const port = await freePort();
  peers.push(spawn(python("aws"), ["-m", "moto.server", "-H", "127.0.0.1", "-p", `${port}`], { stdio: "ignore" }));
  const url = `http://127.0.0.1:${port}`;
  const canned = {
    region: "eu-central-1",
    results: [{ Body: sureOf("ship"), ContentType: "application/json", InvokedProductionVariant: "canned" }],
  };
  const body = JSON.stringify({ ...canned, results: Array(1_000).fill(canned.results[0]) });
  const put = () =>
    fetch(`${url}/moto-api/static/sagemaker/endpoint-results`, { method: "POST", body }).catch(() => null);
  await waitFor(async () => (await put())?.ok, { what: "moto's server", everyMs: 200 });
  return url;
}

async function startBotocoreEndpoint(): Promise<string> {
  const script = join(repositoryRoot, "services/cloud-classifier/src/testing/botocore_endpoint.py");
  const args = [script, `blue=${sureOf("cat")}`, `green=${sureOf("dog")}`];
  const child = spawn(python("aws"), args, { stdio: ["ignore", "pipe", "inherit"] });
  peers.push(child);
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    return `http://127.0.0.1:${line}`;
  }
  throw new Error("the endpoint ended");
}

beforeAll(async () => {
  python("aws");
  const admin = new KafkajsAdmin(kafka);
  const ensured = ensureTributaryTopics(admin, { partitions: 4 }).then(() => admin.close());
  const [moto, botocore] = await Promise.all([startMoto(), startBotocoreEndpoint(), ensured]);
  endpoint = botocore;
  const sagemaker = {
    backend: "sagemaker",
    endpoint: "photos",
    region: "eu-central-1",
    endpointUrl: endpoint,
    labels: join(packageDir, "labels.json"),
    costMicrosPerCall: 90,
    breaker: { openMs: 500 },
    retry: { shareMax: 1 },
  };
  service = await spawnService({
    name: "cloud-classifier",
    main: "services/cloud-classifier/dist/main.js",
    dir: dir.path,
    env: { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" },
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      log: { level: "debug" },
      targets: {
        blue: { ...sagemaker, variant: "blue" },
        green: { ...sagemaker, variant: "green" },
        moto: { ...sagemaker, endpointUrl: moto, endpoint: "canned", body: "json", costMicrosPerCall: 5 },
        local: { backend: "onnx", package: packageDir, costMicrosPerCall: 1 },
      },
      routes: {
        default: {
          arms: [
            { arm: "a", target: "blue" },
            { arm: "b", target: "green" },
          ],
          by: "device",
          salt: "peer",
          fallback: ["local"],
          shadow: { target: "moto" },
        },
      },
    },
  });
  following = await followAll([collect(topics.results, results), collect(topics.shadow, shadows)]);
  await ask({ target: "local", deviceId: "warm" });
});

afterAll(async () => {
  stop.abort();
  await following.ended;
  const status = await service?.stop();
  for (const peer of peers) peer.kill("SIGKILL");
  await Promise.all([reader.close(), sink.close()]);
  dir.remove();
  expect(status?.code).toBe(0);
});

test("moto's server answers, with the frame as base64 in JSON", async () => {
  expect(await ask({ target: "moto" })).toMatchObject({
    outcome: "ANSWERED",
    label: "ship",
    confidence: expect.closeTo(0.91, 5),
    servedBy: "canned",
    answeredBy: null,
    costMicros: 5n,
    attempts: 1,
  });
});

test("both variants answer their own devices, every request fits botocore's model, and moto gets a copy of all", async () => {
  const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
  const devices = Array.from({ length: 24 }, (_, i) => `device-${i}`);
  const [first, second] = [await Promise.all(devices.map(one)), await Promise.all(devices.map(one))];
  function one(deviceId: string) {
    return ask({ deviceId, traceparent });
  }
  expect(second.map(({ arm }) => arm)).toEqual(first.map(({ arm }) => arm));
  expect(new Set(first.map(({ arm }) => arm))).toEqual(new Set(["a", "b"]));
  for (const result of [...first, ...second]) {
    const [served, label] = result.arm === "a" ? ["blue", "cat"] : ["green", "dog"];
    expect(result).toMatchObject({ label, servedBy: served, answeredBy: served, costMicros: 90n, attempts: 1 });
    const shadow = await waitFor(() => shadows.get(keyOf(result)), { what: "the shadow's answer" });
    expect(shadow).toMatchObject({ label: "ship", answeredBy: "moto", arm: result.arm });
  }
  expect(await ask({ deviceId: "device-0", arm: "b" })).toMatchObject({ arm: "b", servedBy: "green" });
  const requests = await seen();
  expect(requests.flatMap(({ problems }) => problems)).toEqual([]);
  expect(requests.filter(({ CustomAttributes }) => CustomAttributes === `traceparent=${traceparent}`)).toHaveLength(48);
});

describe("the service's errors, between good frames", () => {
  const named = { deviceId: "device-0", arm: "a" };
  const good = { outcome: "ANSWERED", label: "cat", servedBy: "blue", answeredBy: "blue" };
  /** The local model's answer. */
  const fallenBack = { outcome: "ANSWERED", servedBy: null, answeredBy: "local" };

  type Case = readonly [name: string, steps: readonly Step[], expected: object, deadlineMs?: number];
  const cases: readonly Case[] = [
    [
      "throttling with Retry-After: asked again",
      [{ error: "ThrottlingException", retryAfter: 1 }],
      { ...good, attempts: 2 },
    ],
    ["throttling for long: handed over", [{ error: "ThrottlingException", retryAfter: 6 }], fallenBack, 5_000],
    ["ModelError 500, twice: handed over", Array(2).fill({ error: "ModelError", OriginalStatusCode: 500 }), fallenBack],
    [
      "ModelError 415: the frame is refused",
      [{ error: "ModelError", OriginalStatusCode: 415, OriginalMessage: "no JPEG" }],
      { outcome: "REFUSED", failureCode: "model-refused", answeredBy: "blue" },
    ],
    ["a model that is not ready, then is", [{ error: "ModelNotReadyException" }], { ...good, attempts: 2 }],
    ["a wrong request: not repeated", [{ error: "ValidationError" }], { ...fallenBack, attempts: 2 }],
    ["another variant's answer", [{ variant: "green" }], fallenBack],
    ["labels that do not match", [{ body: '{"probabilities": [[0.4, 0.6]]}' }], fallenBack],
  ];
  test.each(cases.map((each) => [...each] as const))("%s", async (_name, steps, expected, deadlineMs = 5_000) => {
    // What a server wanted before is over, and no circuit is open.
    const settled = () => ask(named).then((result) => result.answeredBy === "blue");
    await waitFor(settled, { what: "a good frame", everyMs: 250 });
    await script(...steps);
    expect(await ask({ ...named, deadlineAt: Date.now() + deadlineMs })).toMatchObject(expected);
    await waitFor(settled, { what: "the next good frame", everyMs: 250 });
  });

  test("all is counted, and the costs were logged at the start", async () => {
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
    for (const line of [
      /tributary_classifier_calls_total\{target="blue",code="server-busy",hedge="false"\} [2-9]/,
      /tributary_classifier_retries_total\{target="blue",decision="made",code="server-busy"\} 1/,
      /tributary_classifier_fallbacks_total\{from="blue",to="local",code="answer-variant-wrong"\} 1/,
      /tributary_classifier_fallbacks_total\{from="blue",to="local",code="answer-labels-wrong"\} 1/,
      /tributary_classifier_requests_total\{target="blue",lane="high",outcome="REFUSED",code="model-refused"\} 1/,
      /tributary_classifier_shadow_requests_total\{target="moto",outcome="ANSWERED",code=""\} \d\d/,
    ]) {
      expect(metrics).toMatch(line);
    }
    const [costs] = service.events().filter(({ event }) => event === "costs");
    expect(costs?.msg).toMatch(/^costs: blue \(sagemaker\) 0\.000090 a call, .*local \(onnx\) 0\.000001 a call$/);
    expect((await seen()).flatMap(({ problems }) => problems)).toEqual([]);
  });
});
