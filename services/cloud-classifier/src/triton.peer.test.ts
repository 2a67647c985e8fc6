/** A real Triton serves our cloud model to the running classifier, over v2 with binary tensors: its answers are those of
 * the same model in local ONNX, photo by photo. */
import { readFileSync } from "node:fs";
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
  sampleFrames,
  someRequest,
  spawnService,
  startTriton,
  type Triton,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const PHOTOS = 500;
const packageDir = join(repositoryRoot, "models/cloud-vgg");
const labels = JSON.parse(readFileSync(join(packageDir, "labels.json"), "utf8")) as readonly string[];
const kafka = { ...testKafka(), clientId: "triton-test" };
const dir = tempDir("triton");
const reader = new KafkaReader(kafka);
const sink = new KafkajsSink(kafka);
const results = new Map<string, CloudResult>();
const stop = new AbortController();
let triton: Triton;
let service: SpawnedService;
let following: Following;

const keyOf = (r: { target: string; frameSeq: bigint }) => `${r.target}:${r.frameSeq}`;

async function ask(requests: readonly CloudRequest[]): Promise<readonly CloudResult[]> {
  const { name: topic, codec } = topics.requestsNormal;
  await sink.send(requests.map((r) => ({ topic, key: r.deviceId, value: codec.encodeConfluent(r) })));
  const all = () => requests.every((r) => results.has(keyOf(r)));
  await waitFor(all, { what: `${requests.length} results`, timeoutMs: 90_000 });
  return requests.map((r) => results.get(keyOf(r)) as CloudResult);
}

beforeAll(async () => {
  triton = await startTriton({
    packageDir,
    models: { "cloud-vgg": "tensor", "cloud-vgg-jpeg": "jpeg" },
    version: 3,
    batchMax: 16,
  });
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 4 });
  await admin.close();
  const remote = { backend: "kserve", url: triton.url, version: "3", package: packageDir, batchMax: 16 };
  service = await spawnService({
    name: "cloud-classifier",
    main: "services/cloud-classifier/dist/main.js",
    dir: dir.path,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      log: { level: "info" },
      targets: {
        triton: { ...remote, model: "cloud-vgg" },
        decoding: { ...remote, model: "cloud-vgg-jpeg", input: "jpeg" },
        local: { backend: "onnx", package: packageDir },
      },
    },
  });
  following = await follow(followContext(reader, stop.signal), topics.results, (result) => {
    if (result !== null) results.set(keyOf(result), result);
  });
});

afterAll(async () => {
  stop.abort();
  await following.ended;
  await service?.stop();
  await triton?.stop();
  await Promise.all([reader.close(), sink.close()]);
  dir.remove();
});

test(`real Triton answers ${PHOTOS} photos as local ONNX does`, async () => {
  const photos = await sampleFrames(PHOTOS);
  const requests = (target: string) =>
    photos.map(({ jpeg }, i) =>
      someRequest({ target, frameSeq: BigInt(i), jpeg, deviceId: `d${i % 8}`, deadlineAt: Date.now() + 90_000 }),
    );
  const local = await ask(requests("local"));
  const remote = await ask(requests("triton"));
  let difference = 0;
  let right = 0;
  for (const [i, here] of local.entries()) {
    const there = remote[i] as CloudResult;
    expect(there).toMatchObject({ outcome: "ANSWERED", label: here.label, failureCode: null, servedBy: "cloud-vgg/3" });
    difference = Math.max(difference, Math.abs((there.confidence ?? 0) - (here.confidence ?? 1)));
    difference = Math.max(difference, Math.abs((there.margin ?? 0) - (here.margin ?? 1)));
    right += Number(there.label === labels[photos[i]?.label ?? -1]);
  }
  process.stderr.write(
    `Triton ${triton.version}: ${remote.length} answers, all labels as local ONNX, confidence and margin within ${difference.toExponential(1)}; ${right} right\n`,
  );
  expect(difference).toBeLessThan(1e-4);
  expect(right).toBeGreaterThan(0.85 * PHOTOS);
});

test("a model that takes JPEGs gets them as they are, and decodes them by itself", async () => {
  const photos = await sampleFrames(100);
  const requests = (target: string) =>
    photos.map(({ jpeg }, i) =>
      someRequest({ target, frameSeq: BigInt(1_000 + i), jpeg, deadlineAt: Date.now() + 60_000 }),
    );
  const [local, remote] = [await ask(requests("local")), await ask(requests("decoding"))];
  for (const result of remote) expect(result).toMatchObject({ outcome: "ANSWERED", servedBy: "cloud-vgg-jpeg/3" });
  const same = remote.filter((result, i) => result.label === local[i]?.label).length;
  process.stderr.write(`JPEGs, decoded by Pillow there: ${same} of ${photos.length} labels as local ONNX\n`);
  // Another decoder and resizer: pixels differ by a step or two, labels on the edge with them.
  expect(same).toBeGreaterThanOrEqual(96);
});
