/** The running classifier and model servers that misbehave: each bad answer is named in the frame's result and counted,
 * and the good frames before and after it are answered. Every way there is stands in backends/remote.integration.test.ts. */
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type CloudRequest, type CloudResult, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type Following,
  follow,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
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
import { json, type Misbehaviour, type StubServer, serveTf, serveV2, startStubServer } from "./testing/stub-server.ts";

const packageDir = join(repositoryRoot, "models/cloud-vgg");
const jpeg = readFileSync(join(packageDir, "golden/frame-00.jpg"));
const kafka = { ...testKafka(), clientId: "misbehaving-test" };
const dir = tempDir("misbehaving");
const reader = new KafkaReader(kafka);
const sink = new KafkajsSink(kafka);
const results = new Map<bigint, CloudResult>();
const stop = new AbortController();
let stub: StubServer;
let service: SpawnedService;
let following: Following;

beforeAll(async () => {
  stub = await startStubServer();
  serveV2(stub, { datatype: "FP32", shape: [-1, 3, 32, 32] }, "7");
  serveTf(stub, { dtype: "DT_FLOAT", dims: [-1, 3, 32, 32] }, "/versions/7");
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  const remote = { url: stub.url, model: "m", package: packageDir, callMsMax: 5_000 };
  // Each answer is to be seen as it is: not repeated, and not the cause of the next.
  const calls = { retry: { attemptsMax: 1 }, breaker: { failureShareMax: 0.99 } };
  service = await spawnService({
    name: "cloud-classifier",
    main: "services/cloud-classifier/dist/main.js",
    dir: dir.path,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      targets: {
        v2: { backend: "kserve", version: "7", ...remote, ...calls },
        patient: { backend: "kserve", version: "7", ...remote, ...calls, callMsMax: 60_000 },
        tf: { backend: "tf-serving", version: 7, ...remote, ...calls },
      },
    },
  });
  following = await follow(followContext(reader, stop.signal), topics.results, (result) => {
    if (result !== null) results.set(result.frameSeq, result);
  });
});

afterAll(async () => {
  stop.abort();
  await following.ended;
  await service?.stop();
  await Promise.all([stub.close(), reader.close(), sink.close()]);
  dir.remove();
});

let seq = 0n;
async function ask(target: string): Promise<CloudResult> {
  const request = someRequest({ target, frameSeq: ++seq, jpeg, deadlineAt: Date.now() + 20_000 });
  const { name: topic, codec } = topics.requestsHigh;
  await sink.send([{ topic, key: request.deviceId, value: codec.encodeConfluent(request) }]);
  const result = () => results.get(request.frameSeq);
  return waitFor(result, { what: `the result of a frame for ${target}`, everyMs: 5 });
}

const ways: readonly (readonly [string, Misbehaviour])[] = [
  ["server-refused", (r) => json(r, 400, { error: "no" })],
  ["server-error", (r) => json(r, 500, { error: "no" })],
  ["server-busy", (r) => json(r, 429, "", { "retry-after": "0" })],
  ["backend-timeout|server-timeout", () => {}],
  ["answer-cut", cut],
  ["answer-unreadable", (r) => json(r, 200, "not JSON")],
  ["answer-(labels|shape)-wrong", (r, { path }) => answer(r, path, [0, 1, 2])],
  ["answer-not-finite", (r, { path }) => answer(r, path, [null, 1, 2, 3, 4, 5, 6, 7, 8, 9])],
];

test.each(["v2", "tf"])(
  "%s: each bad answer is named and counted, and the next good frame answered",
  async (target) => {
    const good = { outcome: "ANSWERED", label: "cat", servedBy: "m/7" };
    expect(await ask(target)).toMatchObject(good);
    const extra = target === "v2" ? [["answer-version-wrong", otherVersion] as const] : [];
    const codes: string[] = [];
    for (const [code, how] of [...ways, ...extra]) {
      stub.misbehaveOnce(how);
      const result = await ask(target);
      expect(result).toMatchObject({
        outcome: "FAILED",
        label: null,
        failureCode: expect.stringMatching(`^(${code})$`),
      });
      codes.push(result.failureCode ?? "");
      expect(await ask(target)).toMatchObject(good);
    }
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
    for (const code of codes) {
      const counted = metrics.match(
        new RegExp(
          `^tributary_classifier_requests_total\\{(?=.*target="${target}")(?=.*code="${code}").*\\} (\\d+)$`,
          "m",
        ),
      );
      expect([code, Number(counted?.[1])]).toEqual([code, codes.filter((each) => each === code).length]);
    }
  },
);

test("calls that hang delay no other of their partition, and its commit waits for them (ADR 77)", async () => {
  const { name: topic, codec } = topics.requestsNormal;
  const request = () => someRequest({ target: "patient", frameSeq: ++seq, jpeg, deadlineAt: Date.now() + 60_000 });
  const send = (requests: readonly CloudRequest[]) =>
    sink.send(requests.map((each) => ({ topic, key: each.deviceId, value: codec.encodeConfluent(each) })));
  const held: ServerResponse[] = [];
  const all = Array.from({ length: 50 }, request);
  const [first, ...others] = all as [CloudRequest, ...CloudRequest[]];
  stub.misbehaveOnce((response) => void held.push(response));
  await send([first]);
  await waitFor(() => held.length === 1, { what: "the call that hangs" });
  await send(others);
  await waitFor(() => others.every(({ frameSeq }) => results.has(frameSeq)), { what: "the answers of the others" });
  expect(results.has(first.frameSeq)).toBe(false);
  expect(others.every(({ frameSeq }) => results.get(frameSeq)?.outcome === "ANSWERED")).toBe(true);
  const behind = async () => {
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
    return Number(/^tributary_kafka_lag_records\{(?=.*requests\.normal).*\} (\d+)$/m.exec(metrics)?.[1]);
  };
  await waitFor(async () => (await behind()) === all.length, { what: "a lag of all behind the first" });
  held[0]?.destroy();
  await waitFor(() => results.has(first.frameSeq), { what: "the result of the call that hung" });
  await waitFor(async () => (await behind()) === 0, { what: "no lag" });
});

/** The protocol's own answer with these logits, as JSON. */
function answer(response: ServerResponse, path: string, logits: readonly (number | null)[], version = "7"): void {
  const outputs = [{ name: "logits", datatype: "FP32", shape: [1, logits.length], data: logits }];
  const v2 = { model_name: "m", model_version: version, outputs };
  json(response, 200, path.endsWith(":predict") ? { predictions: [logits] } : v2);
}

function otherVersion(response: ServerResponse, { path }: { readonly path: string }): void {
  answer(response, path, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "8");
}

function cut(response: ServerResponse): void {
  response.writeHead(200, { "content-length": "1000" });
  response.write("{");
  setTimeout(() => response.socket?.destroy(), 20);
}
