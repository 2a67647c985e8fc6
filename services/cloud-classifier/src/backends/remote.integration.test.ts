/** Both REST backends against a server that misbehaves in each way between frames that it answers. The child that preprocesses and
 * the package are the real ones. */
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { seededRandom, systemClock } from "@tributary/kernel";
import { repositoryRoot, waitFor } from "@tributary/testing";
import { z } from "zod";
import type { CloudBackend, CloudOutcome } from "../cloud-backend.ts";
import {
  binaryAnswer,
  floats,
  framesOf,
  json,
  type Misbehaviour,
  type StubServer,
  serveTf,
  serveV2,
  startStubServer,
  v2Head,
} from "../testing/stub-server.ts";
import { startKserve } from "./kserve.ts";
import { kserveKeys, tfServingKeys } from "./remote-config.ts";
import { startTfServing } from "./tf-serving.ts";

const packageDir = join(repositoryRoot, "models/cloud-vgg");
const jpeg = readFileSync(join(packageDir, "golden/frame-00.jpg"));
const broken = Buffer.from([0xff, 0xd8, 1, 2, 3]);

let stub: StubServer;
const open: CloudBackend[] = [];
const seen: string[] = [];

const context = {
  clock: systemClock,
  random: seededRandom(1),
  readyMsEvery: 50,
  events: {
    loaded: () => {},
    lost: () => {},
    loadFailed: () => {},
    server: ({ state }: { state: string }) => void seen.push(state),
  },
};

type Change = Record<string, unknown>;
const start = async (kind: "kserve" | "tf-serving", change: Change = {}): Promise<CloudBackend> => {
  const config = { backend: kind, url: stub.url, model: "m", package: packageDir, ...change };
  const backend =
    kind === "kserve"
      ? await startKserve({ ...z.strictObject(kserveKeys).parse(config), batchMax: 16 }, context)
      : await startTfServing({ ...z.strictObject(tfServingKeys).parse(config), batchMax: 16 }, context);
  open.push(backend);
  return backend;
};
const ask = (backend: CloudBackend, jpegs: readonly Buffer[] = [jpeg], ms = 5_000): Promise<readonly CloudOutcome[]> =>
  backend.classify(
    jpegs.map((bytes) => ({ jpeg: bytes })),
    { deadline: Date.now() + ms, signal: new AbortController().signal },
  );

beforeAll(async () => {
  stub = await startStubServer();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((backend) => backend.close()));
  stub.pages.clear();
  stub.asked.splice(0);
  seen.splice(0);
});
afterAll(() => stub.close());

const tensorOf = { v2: { datatype: "FP32", shape: [-1, 3, 32, 32] }, tf: { dtype: "DT_FLOAT", dims: [-1, 3, 32, 32] } };

/** Name, what the server does, the code it must get, and whether another call may help. */
type Case = readonly [name: string, how: Misbehaviour, code: string, again: boolean, more?: { retryAfterMs: number }];

const anyServer: readonly Case[] = [
  ["400", (r) => json(r, 400, { error: "unexpected shape" }), "server-refused", false],
  ["401", (r) => json(r, 401, ""), "server-forbidden", false],
  ["404", (r) => json(r, 404, { error: "Servable not found" }), "server-model-unknown", false],
  ["500", (r) => json(r, 500, "<html>oops</html>"), "server-error", true],
  ["503", (r) => json(r, 503, ""), "server-unavailable", true],
  [
    "429 with Retry-After in seconds",
    (r) => json(r, 429, "", { "retry-after": "3" }),
    "server-busy",
    true,
    { retryAfterMs: 3_000 },
  ],
  ["half a body", cut, "answer-cut", true],
  ["a connection that closes at once", (r) => void r.socket?.destroy(), "server-unreachable", true],
  ["no answer", () => {}, "server-timeout", true],
  ["an answer that never ends", trickle, "server-timeout", true],
  ["malformed JSON", (r) => json(r, 200, "}{"), "answer-unreadable", false],
  ["another document", (r) => json(r, 200, [1, 2]), "answer-unreadable", false],
];

const v2Cases: readonly Case[] = [
  ["another model", (r) => v2(r, { model_name: "other" }), "answer-model-wrong", false],
  ["another version", (r) => v2(r, { model_version: "8" }), "answer-version-wrong", false],
  ["no such output", (r) => v2(r, { outputs: [] }), "answer-output-missing", false],
  ["two rows for one frame", (r) => binaryAnswer(r, v2Head("7", 2, 10), Buffer.alloc(80)), "answer-shape-wrong", false],
  [
    "fewer bytes than declared",
    (r) => binaryAnswer(r, v2Head("7", 1, 10), Buffer.alloc(20)),
    "answer-shape-wrong",
    false,
  ],
  [
    "doubles",
    (r) => binaryAnswer(r, v2Head("7", 1, 10, { datatype: "FP64" }), Buffer.alloc(80)),
    "answer-shape-wrong",
    false,
  ],
  ["nine classes", (r) => binaryAnswer(r, v2Head("7", 1, 9), Buffer.alloc(36)), "answer-labels-wrong", false],
  ["NaN", (r) => binaryAnswer(r, v2Head("7", 1, 10), floats([[Number.NaN, ...nine]])), "answer-not-finite", false],
  ["infinity", (r) => binaryAnswer(r, v2Head("7", 1, 10), floats([[1 / 0, ...nine]])), "answer-not-finite", false],
];

const tfCases: readonly Case[] = [
  ["no predictions", (r) => json(r, 200, { outputs: [] }), "answer-unreadable", false],
  [
    "two predictions for one frame",
    (r) =>
      json(r, 200, {
        predictions: [
          [0, ...nine],
          [0, ...nine],
        ],
      }),
    "answer-shape-wrong",
    false,
  ],
  ["a prediction that is no list", (r) => json(r, 200, { predictions: [3.5] }), "answer-shape-wrong", false],
  ["nine classes", (r) => json(r, 200, { predictions: [nine] }), "answer-labels-wrong", false],
  ["NaN, as the API writes it", (r) => json(r, 200, `{"predictions": [[NaN, ${nine}]]}`), "answer-not-finite", false],
  ["infinity", (r) => json(r, 200, `{"predictions": [[-Infinity, ${nine}]]}`), "answer-not-finite", false],
  ["text for a number", (r) => json(r, 200, { predictions: [["0", ...nine]] }), "answer-not-finite", false],
];

describe.each([
  ["kserve", [...anyServer, ...v2Cases], { version: "7" }],
  ["tf-serving", [...anyServer, ...tfCases], { version: 7 }],
] as const)("%s: each faulty answer gets its failure code, and the next frame is answered", (kind, cases, change) => {
  let backend: CloudBackend;
  beforeAll(async () => {
    serveV2(stub, tensorOf.v2, "7");
    serveTf(stub, tensorOf.tf, "/versions/7");
    backend = await start(kind, change);
    open.pop(); // all cases share it
  });
  afterAll(() => backend.close());

  test.each(cases.map(([name, ...rest]) => [name, rest] as const))("%s", async (_name, [how, code, again, more]) => {
    serveV2(stub, tensorOf.v2, "7");
    serveTf(stub, tensorOf.tf, "/versions/7");
    expect(await ask(backend)).toMatchObject([{ kind: "answered", label: "cat", servedBy: "m/7" }]);
    stub.misbehaveOnce(how);
    const ms = code === "server-timeout" ? 2_000 : 5_000;
    const outcomes = await ask(backend, [jpeg, broken], ms);
    expect(outcomes[0]).toMatchObject({ kind: "failed", code, again, ...more });
    // A picture that is broken itself is refused whatever the server does, unless the call was over before.
    if (code !== "server-timeout")
      expect(outcomes[1]).toMatchObject({ code: expect.stringMatching(/^(image-|server-|answer-)/) });
    expect(await ask(backend)).toMatchObject([{ kind: "answered", label: "cat" }]);
  });
});

describe("what the server gets", () => {
  test("v2: the tensors as bytes, and each frame its own outcome", async () => {
    serveV2(stub, tensorOf.v2);
    const backend = await start("kserve");
    const [first, refused, last] = await ask(backend, [jpeg, broken, jpeg]);
    expect(first).toMatchObject({ kind: "answered", servedBy: "m/7", modelDigest: null });
    expect(refused).toMatchObject({ kind: "refused", code: "image-undecodable" });
    expect(last).toEqual(first);
    const [exchange] = stub.asked;
    const length = Number(exchange?.headers["inference-header-content-length"]);
    expect(JSON.parse(exchange?.body.toString("utf8", 0, length) ?? "")).toEqual({
      inputs: [{ name: "input", shape: [2, 3, 32, 32], datatype: "FP32", parameters: { binary_data_size: 24_576 } }],
      outputs: [{ name: "logits", parameters: { binary_data: true } }],
    });
    expect(exchange?.body).toHaveLength(length + 24_576);
  });

  test("v2: one NaN fails its frame only", async () => {
    serveV2(stub, tensorOf.v2);
    const backend = await start("kserve");
    stub.misbehaveOnce((r) =>
      binaryAnswer(
        r,
        v2Head("7", 2, 10),
        floats([
          [Number.NaN, ...nine],
          [5, ...nine],
        ]),
      ),
    );
    expect(await ask(backend, [jpeg, jpeg])).toMatchObject([
      { kind: "failed", code: "answer-not-finite" },
      { kind: "answered", label: "airplane" },
    ]);
  });

  test("v2: JPEGs with their lengths, and no child; a picture the server refuses is asked alone, then refused", async () => {
    serveV2(stub, { datatype: "BYTES", shape: [-1, 1] });
    const backend = await start("kserve", { input: "jpeg" });
    stub.misbehaveOnce((r) => json(r, 400, { error: "cannot decode" }));
    stub.misbehaveOnce((r) => json(r, 400, { error: "cannot decode" }));
    expect(await ask(backend, [jpeg, broken])).toMatchObject([{ again: "alone" }, { again: "alone" }]);
    expect(await ask(backend, [broken])).toMatchObject([{ kind: "refused", code: "server-refused" }]);
    expect(await ask(backend, [jpeg])).toMatchObject([{ kind: "answered" }]);
    const { headers, body } = stub.asked.at(-1) as StubServer["asked"][number];
    const data = body.subarray(Number(headers["inference-header-content-length"]));
    expect(data.readUInt32LE(0)).toBe(jpeg.length);
    expect(data.subarray(4).equals(jpeg)).toBe(true);
  });

  test("v2: numbers in the JSON where the server has no binary tensors", async () => {
    serveV2(stub, tensorOf.v2);
    stub.pages.set("/v2", { name: "stub", version: "1", extensions: [] });
    const backend = await start("kserve");
    stub.misbehaveOnce((r) => json(r, 200, v2Head("7", 1, 10, { parameters: {}, data: [[7, ...nine]] })));
    expect(await ask(backend)).toMatchObject([{ kind: "answered", label: "airplane" }]);
    const body = JSON.parse(stub.asked[0]?.body.toString() ?? "") as { inputs: { data: number[] }[] };
    expect(body.inputs[0]?.data).toHaveLength(3_072);
  });

  test("TF Serving: nested lists, or base64 JPEGs under the label and the signature asked for", async () => {
    serveTf(stub, tensorOf.tf);
    expect(await ask(await start("tf-serving"), [jpeg, jpeg])).toMatchObject([
      { kind: "answered" },
      { kind: "answered" },
    ]);
    const { instances } = JSON.parse(stub.asked[0]?.body.toString() ?? "") as { instances: number[][][][] };
    expect([instances.length, instances[0]?.length, instances[0]?.[0]?.length, instances[0]?.[0]?.[0]?.length]).toEqual(
      [2, 3, 32, 32],
    );

    serveTf(stub, { dtype: "DT_STRING", dims: [-1] }, "/labels/stable");
    const labelled = await start("tf-serving", { input: "jpeg", versionLabel: "stable", signature: "serving_default" });
    expect(await ask(labelled)).toMatchObject([{ kind: "answered", servedBy: "m@stable" }]);
    const last = stub.asked.at(-1);
    expect(last?.path).toBe("/v1/models/m/labels/stable:predict");
    expect(JSON.parse(last?.body.toString() ?? "")).toEqual({
      signature_name: "serving_default",
      instances: [{ b64: jpeg.toString("base64") }],
    });
    expect(framesOf(last as never)).toBe(1);
  });
});

describe("a server that serves something else stops the start, with the mismatch in the error", () => {
  const v2Page = (change: object) => () => {
    serveV2(stub, tensorOf.v2);
    stub.pages.set("/v2/models/m", { ...(stub.pages.get("/v2/models/m") as object), ...change });
  };
  test.each([
    ["type", v2Page({ inputs: [{ name: "input", datatype: "UINT8", shape: [-1, 3, 32, 32] }] }), /"input" is UINT8/],
    [
      "shape",
      v2Page({ inputs: [{ name: "input", datatype: "FP32", shape: [-1, 32, 32, 3] }] }),
      /frames are \[N, 3, 32, 32\]/,
    ],
    ["input's name", v2Page({ inputs: [{ name: "pixels", datatype: "FP32", shape: [-1] }] }), /its inputs are pixels/],
    ["output's name", v2Page({ outputs: [] }), /its outputs are none/],
    [
      "classes",
      v2Page({ outputs: [{ name: "logits", datatype: "FP32", shape: [-1, 1000] }] }),
      /1000 classes, the package 10/,
    ],
  ])("v2: %s", async (_name, serve, message) => {
    serve();
    await expect(start("kserve")).rejects.toMatchObject({
      code: "server-model-mismatch",
      message: expect.stringMatching(message),
    });
  });

  test("v2: fewer frames a call than configured", async () => {
    serveV2(stub, tensorOf.v2);
    stub.pages.set("/v2/models/m/config", { max_batch_size: 4 });
    await expect(start("kserve")).rejects.toThrow(/at most 4 frame/);
  });

  test("TF Serving: type, version, signature", async () => {
    serveTf(stub, { dtype: "DT_STRING", dims: [-1] });
    await expect(start("tf-serving")).rejects.toThrow(/"x" is DT_STRING, expected DT_FLOAT/);
    serveTf(stub, tensorOf.tf, "/versions/8");
    await expect(start("tf-serving", { version: 8 })).rejects.toThrow(/metadata are those of version 7/);
    serveTf(stub, tensorOf.tf);
    await expect(start("tf-serving", { signature: "other" })).rejects.toThrow(/its signatures are serving_default/);
  });
});

test("a server that starts late, stops, and restarts with another model is reported, awaited and checked again", async () => {
  const backend = await start("kserve");
  expect(backend.ready()).toBe(false);
  expect(await ask(backend)).toMatchObject([{ kind: "failed", code: "server-model-unknown", again: true }]);
  serveV2(stub, tensorOf.v2);
  expect(await ask(backend)).toMatchObject([{ kind: "answered" }]); // without waiting for the next check
  expect(backend.ready()).toBe(true);
  stub.pages.clear();
  await waitFor(() => !backend.ready() || undefined, { what: "away" });
  serveV2(stub, { datatype: "UINT8", shape: [-1, 3, 32, 32] });
  await waitFor(() => seen.includes("mismatch") || undefined, { what: "the mismatch" });
  expect(await ask(backend)).toMatchObject([{ kind: "failed", code: "server-model-mismatch", again: false }]);
  serveV2(stub, tensorOf.v2);
  await waitFor(() => backend.ready() || undefined, { what: "ready" });
  expect(await ask(backend)).toMatchObject([{ kind: "answered" }]);
  expect(seen).toEqual(["away", "ready", "away", "mismatch", "ready"]);
});

const nine = [0, 0, 0, 0, 0, 0, 0, 0, 0];

const v2 = (response: ServerResponse, change: object) =>
  binaryAnswer(response, { ...v2Head("7", 1, 10), ...change }, Buffer.alloc(40));

function cut(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
  response.write('{"predictions": [[');
  setTimeout(() => response.socket?.destroy(), 20);
}

function trickle(response: ServerResponse): void {
  response.writeHead(200);
  const timer = setInterval(() => response.write(" "), 20);
  response.on("close", () => clearInterval(timer));
}
