/**
 * The Open Inference Protocol, version 2, over HTTP, as KServe and Triton implement it.
 *
 * Tensors are sent as bytes behind the JSON (binary tensor extension) where the server supports that, otherwise as numbers
 * in it. Every answer is checked: the model's name, the version if one is configured, and the output's name, type and shape.
 * The server's model metadata is compared with the package before the first frame, so that a wrong model stops the start and
 * a person can correct it, instead of showing in the answers.
 */

import type { HttpAnswer, HttpRequest } from "@tributary/calls";
import { Failure } from "@tributary/kernel";
import {
  type AnswerProblem,
  fits,
  isObject,
  listOf,
  parseLooseJson,
  problem,
  type Rows,
  type ServingInput,
  type ServingProtocol,
  wrongShape,
} from "./serving-protocol.ts";

export type KserveOptions = {
  readonly model: string;
  readonly version?: string | undefined;
  readonly input: "tensor" | "jpeg";
  readonly tensors: { readonly input: string; readonly logits: string };
  /** Of one picture's tensor; not used for JPEGs. */
  readonly shape: readonly number[];
  readonly labels: number;
  readonly batchMax: number;
};

export type KserveFacts = {
  readonly isBinary: boolean;
  /** Shape of one JPEG after the batch's dimension: [] or [1]. */
  readonly jpegShape: readonly number[];
};

const HEADER_LENGTH = "inference-header-content-length";
const BINARY = "binary_tensor_data";

export function kserveProtocol(options: KserveOptions): ServingProtocol<KserveFacts> {
  const { model, version } = options;
  const at = `/v2/models/${model}${version === undefined ? "" : `/versions/${version}`}`;
  return {
    readiness: { method: "GET", path: `${at}/ready` },
    questions: [
      { method: "GET", path: "/v2/health/ready" },
      { method: "GET", path: `${at}/ready` },
      { method: "GET", path: "/v2" },
      { method: "GET", path: at },
      { method: "GET", path: `${at}/config`, isOptional: true },
    ],
    isReady,
    facts: ([, , server, metadata, config]) => {
      checkBatch(options, config);
      return factsOf(options, server, metadata);
    },
    request: (inputs, facts) => requestOf(`${at}/infer`, options, inputs, facts),
    rows: (answer, count) => rowsOf(answer, count, options),
  };
}

/** Triton reports readiness by the status alone, KServe also with `{"ready": false}`. */
function isReady({ status, body }: HttpAnswer): boolean {
  if (status !== 200 || body.length === 0) return status === 200;
  try {
    const json = JSON.parse(body.toString());
    return !isObject(json) || (json.ready !== false && json.ready !== "False");
  } catch {
    return true;
  }
}

function factsOf(options: KserveOptions, server?: HttpAnswer, metadata?: HttpAnswer): KserveFacts {
  const { tensors, input, labels } = options;
  const extensions = listOf(objectIn(server, options).extensions);
  const isBinary = extensions.includes(BINARY);
  const described = objectIn(metadata, options);
  const inputs = listOf(described.inputs).filter(isObject);
  const taken = inputs.find(({ name }) => name === tensors.input);
  if (taken === undefined || inputs.length !== 1) {
    throw mismatch(options, `its inputs are ${namesOf(inputs)}, expected ${tensors.input} alone`);
  }
  const outputs = listOf(described.outputs).filter(isObject);
  const given = outputs.find(({ name }) => name === tensors.logits);
  if (given === undefined) throw mismatch(options, `its outputs are ${namesOf(outputs)}, expected ${tensors.logits}`);
  const typeWanted = input === "jpeg" ? "BYTES" : "FP32";
  if (taken.datatype !== typeWanted) {
    throw mismatch(options, `"${tensors.input}" is ${taken.datatype}, expected ${typeWanted} for input: ${input}`);
  }
  if (given.datatype !== "FP32") throw mismatch(options, `"${tensors.logits}" is ${given.datatype}, expected FP32`);
  const classes = numbersOf(given.shape).at(-1);
  if (classes !== labels && classes !== -1) {
    throw mismatch(options, `"${tensors.logits}" has ${classes} classes, the package ${labels} labels`);
  }
  if (input === "jpeg" && !isBinary) throw mismatch(options, `it does not support ${BINARY}, which input: jpeg needs`);
  const shape = numbersOf(taken.shape);
  return { isBinary, jpegShape: inputShapeOf(options, shape) };
}

/** Triton reports its own bound; it would refuse every call beyond it. */
function checkBatch(options: KserveOptions, answer?: HttpAnswer): void {
  if (answer?.status !== 200) return;
  const max = objectIn(answer, options).max_batch_size;
  if (typeof max === "number" && max > 0 && max < options.batchMax) {
    throw mismatch(options, `it takes at most ${max} frame(s) a call: batchMax must be no more`);
  }
}

function inputShapeOf(options: KserveOptions, declared: readonly number[]): readonly number[] {
  const { batchMax, tensors, input } = options;
  const [batch, ...rest] = declared;
  const wanted = input === "tensor" ? options.shape : rest.length === 0 ? [] : [1];
  if (!fits(rest, wanted)) {
    throw mismatch(options, `"${tensors.input}" takes [${declared.join(", ")}], frames are [N, ${wanted.join(", ")}]`);
  }
  if (batch !== -1 && batch !== batchMax) {
    throw mismatch(options, `"${tensors.input}" takes ${batch} frame(s) a call: batchMax must be that`);
  }
  return wanted;
}

function requestOf(
  path: string,
  options: KserveOptions,
  inputs: readonly ServingInput[],
  { isBinary, jpegShape }: KserveFacts,
): HttpRequest {
  const { tensors, input } = options;
  const isTensor = input === "tensor";
  const shape = [inputs.length, ...(isTensor ? options.shape : jpegShape)];
  const datatype = isTensor ? "FP32" : "BYTES";
  const outputs = [{ name: tensors.logits, ...(isBinary && { parameters: { binary_data: true } }) }];
  const tensor = { name: tensors.input, shape, datatype };
  if (!isBinary) {
    const data = inputs.flatMap((values) => Array.from(values));
    const body = Buffer.from(JSON.stringify({ inputs: [{ ...tensor, data }], outputs }));
    return { method: "POST", path, headers: { "content-type": "application/json" }, body };
  }
  const parts = isTensor ? inputs.map(bytesOf) : inputs.flatMap((jpeg) => [uint32(jpeg.length), jpeg as Uint8Array]);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const json = { inputs: [{ ...tensor, parameters: { binary_data_size: size } }], outputs };
  const head = Buffer.from(JSON.stringify(json));
  return {
    method: "POST",
    path,
    headers: { "content-type": "application/octet-stream", [HEADER_LENGTH]: String(head.length) },
    body: Buffer.concat([head, ...parts], head.length + size),
  };
}

function rowsOf(answer: HttpAnswer, count: number, options: KserveOptions): Rows | AnswerProblem {
  const { body, headers } = answer;
  const { model, version, tensors, labels } = options;
  const header = headers[HEADER_LENGTH];
  const headLength = header === undefined ? body.length : Number(header);
  if (!Number.isInteger(headLength) || headLength < 0 || headLength > body.length) {
    return problem("answer-unreadable", `${HEADER_LENGTH} is ${header} of ${body.length} bytes`);
  }
  let json: unknown;
  try {
    json = parseLooseJson(body.subarray(0, headLength));
  } catch {
    return problem("answer-unreadable", "it is not JSON");
  }
  if (!isObject(json)) return problem("answer-unreadable", "it is not a JSON object");
  if (json.model_name !== model) return problem("answer-model-wrong", `${json.model_name} answered for ${model}`);
  const answered = typeof json.model_version === "string" && json.model_version !== "" ? json.model_version : null;
  if (version !== undefined && answered !== null && answered !== version) {
    return problem("answer-version-wrong", `version ${answered} answered for ${version}`);
  }
  let offset = headLength;
  for (const output of listOf(json.outputs).filter(isObject)) {
    const size = isObject(output.parameters) ? Number(output.parameters.binary_data_size ?? 0) : 0;
    if (!Number.isInteger(size) || size < 0 || size > body.length) {
      return problem("answer-shape-wrong", `"${output.name}" has ${size} of ${body.length} bytes`);
    }
    if (output.name !== tensors.logits) {
      offset += size;
      continue;
    }
    const shape = numbersOf(output.shape);
    if (output.datatype !== "FP32") return problem("answer-shape-wrong", `it holds ${output.datatype}, not FP32`);
    const wrong = wrongShape(shape, count, labels);
    if (wrong !== null) return wrong;
    const values = size > 0 ? floatsAt(body, offset, size) : numbersIn(output.data);
    if (values === null || values.length !== count * labels) {
      const got = values === null ? `bytes ${offset} to ${offset + size} of ${body.length}` : `${values.length} values`;
      return problem("answer-shape-wrong", `${got} for [${shape.join(", ")}]`);
    }
    const rows = Array.from({ length: count }, (_, i) => values.slice(i * labels, (i + 1) * labels));
    return { kind: "rows", rows, servedBy: answered === null ? model : `${model}/${answered}` };
  }
  return problem("answer-output-missing", `it has no "${tensors.logits}"`);
}

/** Little-endian, as the protocol requires and this machine stores it. */
const bytesOf = (tensor: ServingInput): Uint8Array =>
  new Uint8Array(tensor.buffer, tensor.byteOffset, tensor.byteLength);

function uint32(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function floatsAt(body: Buffer, offset: number, size: number): Float32Array | null {
  if (size % 4 !== 0 || offset + size > body.length) return null;
  const values = new Float32Array(size / 4);
  new Uint8Array(values.buffer).set(body.subarray(offset, offset + size));
  return values;
}

/** Flat or nested; what is no number becomes NaN, for the check of values to find. */
const numbersIn = (data: unknown): number[] =>
  (listOf(data).flat(8) as unknown[]).map((value) => (typeof value === "number" ? value : Number.NaN));

const numbersOf = (shape: unknown): readonly number[] => listOf(shape).map(Number);

const namesOf = (tensors: readonly Readonly<Record<string, unknown>>[]): string =>
  tensors.map(({ name }) => name).join(", ") || "none";

function objectIn(answer: HttpAnswer | undefined, options: KserveOptions): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(answer?.body.toString() ?? "");
    if (isObject(json)) return json;
  } catch {}
  throw mismatch(options, "it does not describe itself in the JSON of the v2 protocol");
}

const mismatch = ({ model, version }: KserveOptions, what: string) =>
  new Failure(
    "server-model-mismatch",
    "ask-a-person",
    `model ${model}${version === undefined ? "" : ` version ${version}`} does not fit: ${what}`,
  );
