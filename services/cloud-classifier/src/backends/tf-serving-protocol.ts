/**
 * TensorFlow Serving's REST API, in its row format: `{"instances": […]}` and `{"predictions": […]}`.
 *
 * An answer does not name the version that gave it, so a configured version or label is part of the URL, and the server's
 * metadata must name that version. Without either the latest version answers, and the result does not name it. The signature
 * is compared with the package before the first frame. NaN and infinities are bare words in this API's answers; they are
 * parsed, not taken for malformed JSON.
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

export type TfServingOptions = {
  readonly model: string;
  readonly version?: number | undefined;
  readonly versionLabel?: string | undefined;
  readonly signature?: string | undefined;
  readonly output?: string | undefined;
  readonly input: "tensor" | "jpeg";
  /** Of one picture's tensor; not used for JPEGs. */
  readonly shape: readonly number[];
  readonly labels: number;
  readonly batchMax: number;
};

export type TfServingFacts = {
  /** Named only where the signature has several outputs: its answers are objects then. */
  readonly output: string | null;
};

type JsonObject = Readonly<Record<string, unknown>>;

export function tfServingProtocol(options: TfServingOptions): ServingProtocol<TfServingFacts> {
  const { model, version, versionLabel } = options;
  const which =
    version !== undefined ? `/versions/${version}` : versionLabel === undefined ? "" : `/labels/${versionLabel}`;
  const at = `/v1/models/${model}${which}`;
  return {
    readiness: { method: "GET", path: at },
    questions: [
      { method: "GET", path: at },
      { method: "GET", path: `${at}/metadata` },
    ],
    isReady,
    facts: ([, metadata]) => factsOf(options, metadata),
    request: (inputs) => requestOf(`${at}:predict`, options, inputs),
    rows: (answer, count, facts) => rowsOf(answer, count, options, facts),
  };
}

function isReady({ status, body }: HttpAnswer): boolean {
  if (status !== 200) return false;
  try {
    const json: unknown = JSON.parse(body.toString());
    const versions = isObject(json) ? listOf(json.model_version_status).filter(isObject) : [];
    return versions.some(({ state }) => state === "AVAILABLE");
  } catch {
    return false;
  }
}

function factsOf(options: TfServingOptions, answer?: HttpAnswer): TfServingFacts {
  const { input, labels, version } = options;
  const json = objectIn(answer, options);
  const spec = isObject(json.model_spec) ? json.model_spec : {};
  if (version !== undefined && String(spec.version) !== String(version)) {
    throw mismatch(options, `its metadata are those of version ${spec.version}`);
  }
  const { inputs, outputs } = signatureOf(json, options);
  const [inputName = "", ...others] = Object.keys(inputs);
  if (inputName === "" || others.length > 0) {
    throw mismatch(options, `its inputs are ${Object.keys(inputs).join(", ") || "none"}, expected one`);
  }
  const typeWanted = input === "jpeg" ? "DT_STRING" : "DT_FLOAT";
  const taken = tensorOf(inputs[inputName]);
  if (taken.dtype !== typeWanted) {
    throw mismatch(options, `"${inputName}" is ${taken.dtype}, expected ${typeWanted} for input: ${input}`);
  }
  const wanted = input === "jpeg" ? [] : options.shape;
  if (taken.shape !== null && !fits(taken.shape.slice(1), wanted)) {
    const frames = ["N", ...wanted].join(", ");
    throw mismatch(options, `"${inputName}" takes [${taken.shape.join(", ")}], frames are [${frames}]`);
  }
  const batch = taken.shape?.[0] ?? -1;
  if (batch !== -1 && batch !== options.batchMax) {
    throw mismatch(options, `"${inputName}" takes ${batch} frame(s) a call: set batchMax to that`);
  }
  const names = Object.keys(outputs);
  const output = options.output ?? (names.length === 1 ? names[0] : undefined);
  if (output === undefined || !names.includes(output)) {
    throw mismatch(options, `its outputs are ${names.join(", ") || "none"}: \`output\` must name one of them`);
  }
  const given = tensorOf(outputs[output]);
  const classes = given.shape?.at(-1) ?? -1;
  if (given.dtype !== "DT_FLOAT" || (classes !== -1 && classes !== labels)) {
    throw mismatch(options, `"${output}" is ${given.dtype} of ${classes} classes, expected DT_FLOAT of ${labels}`);
  }
  return { output: names.length === 1 ? null : output };
}

function signatureOf(json: JsonObject, options: TfServingOptions) {
  const { signature = "serving_default" } = options;
  const metadata = isObject(json.metadata) ? json.metadata : {};
  const outer = isObject(metadata.signature_def) ? metadata.signature_def : {};
  const all = isObject(outer.signature_def) ? outer.signature_def : {};
  const found = Object.hasOwn(all, signature) ? all[signature] : undefined;
  if (!isObject(found) || !isObject(found.inputs) || !isObject(found.outputs)) {
    throw mismatch(options, `its signatures are ${Object.keys(all).join(", ") || "none"}, expected ${signature}`);
  }
  return { inputs: found.inputs, outputs: found.outputs };
}

/** `shape` null: the rank is unknown. Sizes come as text. */
function tensorOf(value: unknown): { readonly dtype: unknown; readonly shape: readonly number[] | null } {
  const tensor = isObject(value) ? value : {};
  const shape = isObject(tensor.tensor_shape) ? tensor.tensor_shape : {};
  if (shape.unknown_rank === true) return { dtype: tensor.dtype, shape: null };
  return { dtype: tensor.dtype, shape: listOf(shape.dim).map((dim) => Number(isObject(dim) ? dim.size : Number.NaN)) };
}

function requestOf(path: string, options: TfServingOptions, inputs: readonly ServingInput[]): HttpRequest {
  const { signature, input, shape } = options;
  const instances =
    input === "jpeg"
      ? inputs.map((jpeg) => ({ b64: Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength).toString("base64") }))
      : inputs.map((tensor) => nested(tensor, 0, shape).value);
  const json = { ...(signature !== undefined && { signature_name: signature }), instances };
  return {
    method: "POST",
    path,
    headers: { "content-type": "application/json" },
    body: Buffer.from(JSON.stringify(json)),
  };
}

type Nested = number | readonly Nested[];

/** The values from `at` on as lists in lists. */
function nested(values: ServingInput, at: number, [side, ...rest]: readonly number[]): { value: Nested; next: number } {
  if (side === undefined) return { value: values[at] as number, next: at + 1 };
  const list: Nested[] = [];
  let next = at;
  for (let i = 0; i < side; i++) {
    const part = nested(values, next, rest);
    list.push(part.value);
    next = part.next;
  }
  return { value: list, next };
}

function rowsOf(
  answer: HttpAnswer,
  count: number,
  options: TfServingOptions,
  { output }: TfServingFacts,
): Rows | AnswerProblem {
  const { model, version, versionLabel, labels } = options;
  let json: unknown;
  try {
    json = parseLooseJson(answer.body);
  } catch {
    return problem("answer-unreadable", "it is not JSON");
  }
  const predictions = isObject(json) ? json.predictions : undefined;
  if (!Array.isArray(predictions)) return problem("answer-unreadable", 'it has no list of "predictions"');
  const rows: number[][] = [];
  for (const prediction of predictions as readonly unknown[]) {
    const row = output === null ? prediction : isObject(prediction) ? prediction[output] : undefined;
    if (row === undefined) return problem("answer-output-missing", `a prediction has no "${output}"`);
    if (!Array.isArray(row)) return problem("answer-shape-wrong", "a prediction is not a list of numbers");
    rows.push(row.map((value: unknown) => (typeof value === "number" ? value : Number.NaN)));
  }
  if (rows.length !== count) return problem("answer-shape-wrong", `${rows.length} predictions for ${count} frames`);
  for (const row of rows) {
    const wrong = wrongShape([count, row.length], count, labels);
    if (wrong !== null) return wrong;
  }
  const servedBy =
    version !== undefined ? `${model}/${version}` : versionLabel === undefined ? model : `${model}@${versionLabel}`;
  return { kind: "rows", rows, servedBy };
}

function objectIn(answer: HttpAnswer | undefined, options: TfServingOptions): JsonObject {
  try {
    const json: unknown = JSON.parse(answer?.body.toString() ?? "");
    if (isObject(json)) return json;
  } catch {}
  throw mismatch(options, "its metadata are not JSON");
}

function mismatch({ model, version, versionLabel }: TfServingOptions, what: string): Failure {
  const which = version ?? versionLabel;
  const name = which === undefined ? model : `${model} ${which}`;
  return new Failure("server-model-mismatch", "ask-a-person", `model ${name} does not fit: ${what}`);
}
