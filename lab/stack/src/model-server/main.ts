/** A model server in a process of its own, for benches and demos: our cloud model behind the shapes of TensorFlow Serving, of
 * SageMaker's endpoint and of KServe v2, all with JPEGs. It is none of these programs, and its answers call it a stub.
 *
 * With `--remember` it computes the answer to each photo once. A real cloud computes on a machine of its own; this one would take the
 * processors of the system that it answers. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";

/** Answers that are remembered; a demo has a few thousand photos. */
const REMEMBERED_MAX = 10_000;

const [packageDir = "", ...flags] = process.argv.slice(2);
const remembered = flags.includes("--remember") ? new Map<string, Float32Array>() : undefined;
const model = await new OnnxModelHost(loadPackage).load(packageDir, { threads: 1 });
process.on("SIGINT", () => {});
process.once("disconnect", () => void model.close().then(() => process.exit(0)));

const described = { name: "m", versions: ["1"], platform: "tributary stub" };
const bytes = { name: "input", datatype: "BYTES", shape: [-1, 1] };
const floats = { name: "logits", datatype: "FP32", shape: [-1, model.labels.length] };
const dim = (size: number) => ({ size: String(size), name: "" });
const signature = {
  inputs: { image_bytes: { dtype: "DT_STRING", tensor_shape: { dim: [dim(-1)], unknown_rank: false }, name: "x:0" } },
  outputs: {
    logits: { dtype: "DT_FLOAT", tensor_shape: { dim: [dim(-1), dim(model.labels.length)], unknown_rank: false } },
  },
  method_name: "tensorflow/serving/predict",
};
const pages: Readonly<Record<string, unknown>> = {
  "/v2/health/ready": {},
  "/v2": { name: "stub", version: "1", extensions: ["binary_tensor_data"] },
  "/v2/models/m/ready": {},
  "/v2/models/m": { ...described, inputs: [bytes], outputs: [floats] },
  "/v1/models/m": { model_version_status: [{ version: "1", state: "AVAILABLE", status: { error_code: "OK" } }] },
  "/v1/models/m/metadata": {
    model_spec: { name: "m", signature_name: "", version: "1" },
    metadata: { signature_def: { signature_def: { serving_default: signature } } },
  },
};

const server = createServer((request, response) => {
  if (request.method === "GET") return json(response, pages[request.url ?? ""]);
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.once("end", () => {
    answer(request, Buffer.concat(chunks), response).catch((error: unknown) => {
      response.writeHead(500).end(JSON.stringify({ error: String(error) }));
    });
  });
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));

async function answer(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
  const path = request.url ?? "";
  if (!path.startsWith("/v2/")) {
    const { instances } = JSON.parse(body.toString()) as { instances: { b64: string }[] };
    const rows = await logitsOf(instances.map(({ b64 }) => Buffer.from(b64, "base64")));
    return json(response, { [path.startsWith("/v1/") ? "predictions" : "logits"]: rows.map((row) => Array.from(row)) });
  }
  const jpegs: Buffer[] = [];
  for (let at = Number(request.headers["inference-header-content-length"]); at < body.length; ) {
    const length = body.readUInt32LE(at);
    jpegs.push(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  const rows = await logitsOf(jpegs);
  const data = Buffer.concat(rows.map((row) => new Uint8Array(row.buffer, row.byteOffset, row.byteLength)));
  const output = {
    ...floats,
    shape: [rows.length, model.labels.length],
    parameters: { binary_data_size: data.length },
  };
  const head = Buffer.from(JSON.stringify({ model_name: "m", model_version: "1", outputs: [output] }));
  response.writeHead(200, { "inference-header-content-length": String(head.length) });
  response.end(Buffer.concat([head, data]));
}

async function logitsOf(jpegs: readonly Buffer[]): Promise<readonly Float32Array[]> {
  if (remembered === undefined) return computed(jpegs);
  const names = jpegs.map((jpeg) => createHash("sha256").update(jpeg).digest("base64"));
  const unknown = new Map(
    jpegs.flatMap((jpeg, i) => (remembered.has(names[i] as string) ? [] : [[names[i] as string, jpeg]])),
  );
  const rows = unknown.size === 0 ? [] : await computed([...unknown.values()]);
  const known = new Map([...unknown.keys()].map((name, i) => [name, rows[i] as Float32Array]));
  for (const [name, row] of known) if (remembered.size < REMEMBERED_MAX) remembered.set(name, row);
  return names.map((name) => (known.get(name) ?? remembered.get(name)) as Float32Array);
}

async function computed(jpegs: readonly Buffer[]): Promise<readonly Float32Array[]> {
  return (await model.inferBatch(jpegs)).map((result) => {
    if (!result.ok) throw new Error(result.message);
    return result.inference.logits;
  });
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
  response.end(JSON.stringify(body ?? { error: "not found" }));
}
