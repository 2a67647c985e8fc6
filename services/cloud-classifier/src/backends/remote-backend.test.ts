/** What no server and no device may do to a call, without a real server. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { HttpCaller } from "@tributary/calls";
import { seededRandom, systemClock } from "@tributary/kernel";
import { z } from "zod";
import { kserveProtocol } from "./kserve-protocol.ts";
import { RemoteBackend } from "./remote-backend.ts";
import { sagemakerKeys } from "./sagemaker-config.ts";
import { invocationOf } from "./sagemaker-protocol.ts";
import { parseLooseJson, type ServingProtocol } from "./serving-protocol.ts";

const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xd9]);
const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
const hostile = "00-x\r\nhost: elsewhere";
const whole = new AbortController().signal;

const protocol: ServingProtocol<null> = {
  readiness: { method: "GET", path: "/ready" },
  questions: [{ method: "GET", path: "/ready" }],
  facts: () => null,
  isReady: ({ status }) => status === 200,
  request: () => ({ method: "POST", path: "/infer", body: Buffer.from("{}") }),
  rows: (_answer, count) => ({ kind: "rows", rows: Array.from({ length: count }, () => [1, 0]), servedBy: null }),
};

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function startBackend(): Promise<{
  backend: RemoteBackend<null>;
  traceparents: (string | undefined)[];
  url: string;
}> {
  const traceparents: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    if (request.method === "POST") traceparents.push(request.headers.traceparent as string | undefined);
    request.resume().on("end", () => response.end("{}"));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  open.push(() => new Promise<void>((closed) => void server.close(() => closed())));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const backend = await RemoteBackend.start({
    caller: new HttpCaller({ url, headers: {} }),
    protocol,
    pkg: { labels: ["a", "b"], calibration: { temperature: 1 } } as never,
    preprocessors: null,
    clock: systemClock,
    random: seededRandom(1),
    onServer: () => {},
  });
  open.push(() => backend.close());
  return { backend, traceparents, url };
}

describe("a device's trace context that is none", () => {
  const batch = [
    { jpeg, traceparent: hostile },
    { jpeg, traceparent },
  ];

  test("fails no other frame: it is not sent to a server", async () => {
    const { backend, traceparents } = await startBackend();
    const context = { deadline: Date.now() + 5_000, signal: whole };
    const outcomes = await backend.classify(batch, context);
    expect(outcomes.map(({ kind }) => kind)).toEqual(["answered", "answered"]);
    await backend.classify(batch.slice(0, 1), context);
    expect(traceparents).toEqual([traceparent, undefined]);
  });

  test("is not written into SageMaker's attributes", () => {
    const keys = { backend: "sagemaker", endpoint: "e", region: "eu-central-1", labels: "l", body: "json" };
    const config = z.strictObject(sagemakerKeys).parse(keys);
    expect(invocationOf(config, batch).CustomAttributes).toBe(`traceparent=${traceparent}`);
    expect(invocationOf(config, batch.slice(0, 1)).CustomAttributes).toBeUndefined();
  });
});

test("a call whose signal is aborted beforehand ends, and the process does not", async () => {
  const { url } = await startBackend();
  const caller = new HttpCaller({ url, headers: {} });
  open.push(() => caller.close());
  const over = AbortSignal.abort();
  const call = caller.call({ method: "GET", path: "/ready" }, { ms: 1_000, signal: over });
  await expect(call).rejects.toMatchObject({ code: "call-cancelled" });
  await new Promise((later) => setTimeout(later, 100)); // An unhandled error would have ended the process by now.
});

describe("an answer whose sizes are no sizes", () => {
  const options = {
    model: "m",
    input: "tensor" as const,
    tensors: { input: "pixels", logits: "logits" },
    shape: [2],
    labels: 2,
    batchMax: 4,
  };
  const rowsOf = (sizes: readonly unknown[]) => {
    const output = (name: string, size: unknown) => ({
      name,
      datatype: "FP32",
      shape: [1, 2],
      parameters: { binary_data_size: size },
    });
    const outputs = sizes.map((size, i) => output(i === sizes.length - 1 ? "logits" : `other${i}`, size));
    const head = Buffer.from(JSON.stringify({ model_name: "m", outputs }));
    const body = Buffer.concat([head, Buffer.from(Float32Array.of(9, 9, 9, 9, 1, 2).buffer)]);
    const headers = { "inference-header-content-length": String(head.length) };
    return kserveProtocol(options).rows({ status: 200, headers, body }, 1, { isBinary: true, jpegShape: [] });
  };

  test("is no answer, also where another output's is wrong", () => {
    expect(rowsOf([16, 8])).toMatchObject({ kind: "rows", rows: [Float32Array.of(1, 2)] });
    for (const size of ["none", -8, 1.5, 1e300, {}, null]) {
      const wrong = { kind: "problem", code: "answer-shape-wrong" };
      expect({ size, ...rowsOf([size, 8]) }).toMatchObject({ size, ...(size === null ? { kind: "rows" } : wrong) });
    }
  });
});

test("an answer that is one text without end is refused at once", () => {
  const since = performance.now();
  expect(() => parseLooseJson(Buffer.from(`"${'\\"'.repeat(200_000)}`))).toThrow(SyntaxError);
  expect(performance.now() - since).toBeLessThan(5_000); // It took minutes.
});
