/** A model server for tests that speaks KServe v2 and TensorFlow Serving's REST, and misbehaves on
 * request, for the next prediction only, so that the frames before and after it are answered. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Exchange = {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
};

/** Answers one prediction in place of the server. */
export type Misbehaviour = (response: ServerResponse, exchange: Exchange) => void;

export type StubServer = {
  readonly url: string;
  /** Predictions asked so far. */
  readonly asked: Exchange[];
  /** What is answered to other paths; change it to serve another model. */
  readonly pages: Map<string, unknown>;
  /** Logits of every frame it is asked for. */
  logits: readonly number[];
  version: string;
  misbehaveOnce(how: Misbehaviour): void;
  close(): Promise<void>;
};

export const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) => {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
};

/** A v2 answer with binary tensors, as Triton gives it. */
export function binaryAnswer(response: ServerResponse, head: object, data: Buffer): void {
  const text = Buffer.from(JSON.stringify(head));
  response.writeHead(200, {
    "content-type": "application/octet-stream",
    "inference-header-content-length": String(text.length),
  });
  response.end(Buffer.concat([text, data]));
}

export const v2Head = (version: string, count: number, classes: number, change: object = {}) => ({
  model_name: "m",
  model_version: version,
  outputs: [
    {
      name: "logits",
      datatype: "FP32",
      shape: [count, classes],
      parameters: { binary_data_size: 4 * count * classes },
      ...change,
    },
  ],
});

export const floats = (rows: readonly (readonly number[])[]): Buffer =>
  Buffer.from(Float32Array.from(rows.flat()).buffer);

/** How many frames a prediction holds. */
export function framesOf({ path, headers, body }: Exchange): number {
  if (path.endsWith(":predict")) return (JSON.parse(body.toString()) as { instances: unknown[] }).instances.length;
  const length = Number(headers["inference-header-content-length"] ?? body.length);
  const head = JSON.parse(body.toString("utf8", 0, length)) as { inputs: { shape: number[] }[] };
  return head.inputs[0]?.shape[0] ?? 0;
}

export async function startStubServer(): Promise<StubServer> {
  const asked: Exchange[] = [];
  const pages = new Map<string, unknown>();
  const waiting: Misbehaviour[] = [];
  const stub = { asked, pages, logits: [0, 0, 0, 5, 0, 0, 0, 0, 0, 0] as readonly number[], version: "7" };

  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const path = request.url ?? "";
      const exchange: Exchange = { path, headers: request.headers, body: Buffer.concat(chunks) };
      if (request.method === "GET") {
        const page = pages.get(path);
        return page === undefined ? json(response, 404, { error: `no ${path}` }) : json(response, 200, page);
      }
      asked.push(exchange);
      const how = waiting.shift();
      if (how !== undefined) return how(response, exchange);
      const rows = Array.from({ length: framesOf(exchange) }, () => stub.logits);
      if (path.endsWith(":predict")) return json(response, 200, { predictions: rows });
      binaryAnswer(response, v2Head(stub.version, rows.length, stub.logits.length), floats(rows));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(stub, {
    url: `http://127.0.0.1:${port}`,
    misbehaveOnce: (how: Misbehaviour) => {
      waiting.push(how);
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

/** Triton's metadata of a model of our shape. */
export function serveV2(stub: StubServer, input: { datatype: string; shape: number[] }, version?: string): void {
  const at = `/v2/models/m${version === undefined ? "" : `/versions/${version}`}`;
  stub.pages.set("/v2/health/ready", "");
  stub.pages.set("/v2", { name: "stub", version: "1", extensions: ["binary_tensor_data"] });
  stub.pages.set(`${at}/ready`, "");
  stub.pages.set(`${at}/config`, { name: "m", max_batch_size: 64 });
  stub.pages.set(at, {
    name: "m",
    versions: ["7"],
    platform: "stub",
    inputs: [{ name: "input", ...input }],
    outputs: [{ name: "logits", datatype: "FP32", shape: [-1, 10] }],
  });
}

/** TensorFlow Serving's metadata of one. */
export function serveTf(stub: StubServer, input: { dtype: string; dims: number[] }, which = ""): void {
  const shape = (dims: readonly number[]) => ({
    dim: dims.map((size) => ({ size: String(size), name: "" })),
    unknown_rank: false,
  });
  const ok = { error_code: "OK", error_message: "" };
  stub.pages.set(`/v1/models/m${which}`, { model_version_status: [{ version: "7", state: "AVAILABLE", status: ok }] });
  stub.pages.set(`/v1/models/m${which}/metadata`, {
    model_spec: { name: "m", signature_name: "", version: "7" },
    metadata: {
      signature_def: {
        signature_def: {
          serving_default: {
            inputs: { x: { dtype: input.dtype, tensor_shape: shape(input.dims), name: "x:0" } },
            outputs: { y: { dtype: "DT_FLOAT", tensor_shape: shape([-1, 10]), name: "y:0" } },
            method_name: "tensorflow/serving/predict",
          },
        },
      },
    },
  });
}
