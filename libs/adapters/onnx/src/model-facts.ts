/** The declarations of an ONNX file, read without running it, for messages about models that do not fit. */
import { fieldsOf, UnreadableMessage } from "./protobuf.ts";

export type TensorFacts = {
  readonly name: string;
  /** ONNX's name of the element type, e.g. "float32". */
  readonly type: string;
  /** Fixed sizes as numbers, free ones by their name; null where the file does not declare it. */
  readonly shape: readonly (number | string)[] | null;
};

export type ModelFacts = {
  /** Version of the default operator set; null when the file names none. */
  readonly opset: number | null;
  /** Of other domains, by domain. */
  readonly otherOpsets: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly inputs: readonly TensorFacts[];
  readonly outputs: readonly TensorFacts[];
  /** What the graph is made of, sorted: `Conv`, or `com.microsoft:Gelu` where the operator is not ONNX's own. Functions that
   * the file defines itself are left out, what they are made of is not. */
  readonly operators: readonly string[];
};

/** TensorProto.DataType of onnx.proto3. */
const TYPES = [
  "undefined",
  "float32",
  "uint8",
  "int8",
  "uint16",
  "int16",
  "int32",
  "int64",
  "string",
  "bool",
  "float16",
];

/** Null: the bytes are no ONNX model that can be read. */
export function modelFacts(model: Uint8Array): ModelFacts | null {
  try {
    const facts = factsOf(Buffer.from(model.buffer, model.byteOffset, model.byteLength));
    return facts.inputs.length === 0 && facts.outputs.length === 0 ? null : facts;
  } catch (error) {
    if (error instanceof UnreadableMessage) return null;
    throw error;
  }
}

function factsOf(model: Buffer): ModelFacts {
  let opset: number | null = null;
  const otherOpsets: Record<string, number> = {};
  const producer: string[] = [];
  let graph: Buffer = Buffer.alloc(0);
  for (const { number, bytes } of fieldsOf(model)) {
    if (bytes === null) continue;
    if (number === 2 || number === 3) producer.push(bytes.toString());
    if (number === 7) graph = bytes;
    if (number === 8) {
      const { domain, version } = opsetOf(bytes);
      if (domain === "" || domain === "ai.onnx") opset = version;
      else otherOpsets[domain] = version;
    }
  }
  const weights = new Set<string>();
  const inputs: TensorFacts[] = [];
  const outputs: TensorFacts[] = [];
  for (const { number, bytes } of fieldsOf(graph)) {
    if (bytes === null) continue;
    if (number === 5) weights.add(textOf(bytes, 8));
    if (number === 11) inputs.push(tensorOf(bytes));
    if (number === 12) outputs.push(tensorOf(bytes));
  }
  // Before IR version 4 a file listed its weights among the inputs, too.
  return {
    opset,
    otherOpsets,
    producer: producer.join(" "),
    inputs: inputs.filter((i) => !weights.has(i.name)),
    outputs,
    operators: operatorsOf(model),
  };
}

type Kind = "model" | "graph" | "node" | "attribute" | "function";
/** Fields of onnx.proto3 that lead to a node, by number. */
const LEADS: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 7: "graph", 25: "function" },
  graph: { 1: "node" },
  node: { 5: "attribute" },
  attribute: { 6: "graph", 11: "graph" },
  function: { 7: "node" },
};
/** More than any model nests its graphs; the recursion ends. */
const DEPTH_MAX = 100;

function operatorsOf(model: Buffer): readonly string[] {
  const used = new Set<string>();
  const defined = new Set<string>();
  const walk = (message: Buffer, kind: Kind, depth: number): void => {
    if (depth > DEPTH_MAX) throw new UnreadableMessage("nested too deeply");
    if (kind === "node") used.add(operatorName(textOf(message, 7), textOf(message, 4)));
    if (kind === "function") defined.add(operatorName(textOf(message, 10), textOf(message, 1)));
    for (const { number, bytes } of fieldsOf(message)) {
      const child = LEADS[kind][number];
      if (bytes !== null && child !== undefined) walk(bytes, child, depth + 1);
    }
  };
  walk(model, "model", 0);
  return [...used].filter((name) => !defined.has(name)).sort();
}

const operatorName = (domain: string, name: string): string =>
  domain === "" || domain === "ai.onnx" ? name : `${domain}:${name}`;

function opsetOf(message: Buffer): { readonly domain: string; readonly version: number } {
  let version = 0;
  for (const field of fieldsOf(message)) if (field.number === 2) version = field.value;
  return { domain: textOf(message, 1), version };
}

function tensorOf(message: Buffer): TensorFacts {
  const tensor = bytesOf(bytesOf(message, 2), 1); // TypeProto.tensor_type
  let type = 0;
  let shape: readonly (number | string)[] | null = null;
  for (const { number, value, bytes } of fieldsOf(tensor)) {
    if (number === 1) type = value;
    if (number === 2 && bytes !== null) shape = [...fieldsOf(bytes)].map((dimension) => sizeOf(dimension.bytes));
  }
  return { name: textOf(message, 1), type: TYPES[type] ?? `type ${type}`, shape };
}

function sizeOf(dimension: Buffer | null): number | string {
  let size: number | string = "?";
  for (const { number, value, bytes } of fieldsOf(dimension ?? Buffer.alloc(0))) {
    if (number === 1) size = value;
    if (number === 2 && bytes !== null && bytes.length > 0) size = bytes.toString();
  }
  return size;
}

function bytesOf(message: Buffer, wanted: number): Buffer {
  let found: Buffer = Buffer.alloc(0);
  for (const { number, bytes } of fieldsOf(message)) if (number === wanted && bytes !== null) found = bytes;
  return found;
}

const textOf = (message: Buffer, wanted: number): string => bytesOf(message, wanted).toString();
