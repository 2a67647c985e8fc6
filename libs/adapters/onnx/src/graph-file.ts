/** Reads an ONNX file as plain values (`OnnxGraph` of libs/core/training), and writes one.
 *
 * The values are the whole meaning of the file: operators, weights, inputs and outputs. Documentation strings, names of producers and
 * shapes of inner tensors are dropped; Constant nodes become weights; numbers are written as raw data, in the order of the
 * file. What the values cannot hold is refused by name, so nothing is lost unnoticed. Numbers of fields are those of onnx.proto3. */
import { Failure, invariant } from "@tributary/kernel";
import type { AttributeValue, GraphNode, OnnxGraph, Tensor, TensorInfo, TensorType } from "@tributary/training/graph";
import {
  type Field,
  fieldsOf,
  float,
  integer,
  integersOf,
  lengthDelimited,
  UnreadableMessage,
  varint,
} from "./protobuf.ts";

const MODEL = { irVersion: 1, graph: 7, operatorSet: 8, training: 20, function: 25 };
const OPERATOR_SET = { domain: 1, version: 2 };
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12, sparse: 15 };
const NODE = { input: 1, output: 2, name: 3, operator: 4, attribute: 5, domain: 7 };
const ATTRIBUTE = { name: 1, float: 2, int: 3, text: 4, tensor: 5, ints: 8, type: 20 };
const TENSOR = { dims: 1, type: 2, float: 4, int32: 5, int64: 7, name: 8, raw: 9, external: 13, location: 14 };
const VALUE = { name: 1, type: 2 };
const TYPE = { tensor: 1 };
const TENSOR_TYPE = { element: 1, shape: 2 };
const SHAPE = { dimension: 1 };
const DIMENSION = { size: 1, name: 2 };
/** Numbers of AttributeProto.AttributeType. */
const KIND = { float: 1, int: 2, text: 3, tensor: 4, ints: 7 };
const KIND_NAMES = ["", "", "", "", "", "graph", "floats", "", "texts", "tensors", "graphs", "sparse tensor"];

/** Numbers of TensorProto.DataType. */
const TYPE_NUMBERS: Readonly<Record<TensorType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
};
const TYPES = new Map<number, TensorType>(
  Object.entries(TYPE_NUMBERS).map(([type, number]) => [number, type as TensorType]),
);
const OTHER_TYPES: Readonly<Record<number, string>> = {
  4: "uint16",
  5: "int16",
  8: "string",
  10: "float16",
  11: "double",
};
const BYTES: Readonly<Record<TensorType, number>> = { float32: 4, uint8: 1, int8: 1, int32: 4, int64: 8, bool: 1 };
/** More than any tensor of a model that is trained; sizes in a file are bounded before anything is allocated. */
const VALUES_MAX = 1 << 28;

/** Throws a Failure: `model-unloadable`, `model-external-data` or `training-graph-unsupported`. */
export function parseGraph(model: Uint8Array): OnnxGraph {
  try {
    return modelOf([...fieldsOf(Buffer.from(model.buffer, model.byteOffset, model.byteLength))]);
  } catch (error) {
    if (!(error instanceof UnreadableMessage)) throw error;
    throw new Failure("model-unloadable", "give-up", `it is no ONNX model that can be read: ${error.message}`);
  }
}

export function encodeGraph(graph: OnnxGraph): Uint8Array {
  const domains = new Set(
    graph.nodes.map(({ operator }) => domainOf(operator).domain).filter((domain) => domain !== ""),
  );
  return Buffer.concat([
    varint(MODEL.irVersion, graph.irVersion),
    lengthDelimited(MODEL.graph, encodedGraph(graph)),
    lengthDelimited(
      MODEL.operatorSet,
      Buffer.concat([text(OPERATOR_SET.domain, ""), varint(OPERATOR_SET.version, graph.opset)]),
    ),
    ...[...domains].map((domain) =>
      lengthDelimited(
        MODEL.operatorSet,
        Buffer.concat([text(OPERATOR_SET.domain, domain), varint(OPERATOR_SET.version, 1)]),
      ),
    ),
  ]);
}

function modelOf(fields: readonly Field[]): OnnxGraph {
  const graph = messageOf(fields, MODEL.graph);
  if (graph === null) throw new UnreadableMessage("it has no graph");
  if (has(fields, MODEL.function)) throw unsupported("it has functions of its own", "inline them");
  if (has(fields, MODEL.training)) throw unsupported("it has training information", "export it for inference");
  let opset = 0;
  for (const set of messagesOf(fields, MODEL.operatorSet)) {
    const domain = textOf(set, OPERATOR_SET.domain);
    if (domain === "" || domain === "ai.onnx") opset = integerOf(set, OPERATOR_SET.version);
  }
  return { opset, irVersion: integerOf(fields, MODEL.irVersion), ...graphOf(graph) };
}

function graphOf(fields: readonly Field[]): Omit<OnnxGraph, "opset" | "irVersion"> {
  if (has(fields, GRAPH.sparse)) throw unsupported("it has sparse weights", "export it with dense ones");
  const initializers = messagesOf(fields, GRAPH.initializer).map((tensor) => tensorOf(tensor));
  const nodes: GraphNode[] = [];
  for (const node of messagesOf(fields, GRAPH.node).map(nodeOf)) {
    const constant = node.operator === "Constant" ? constantOf(node) : null;
    if (constant === null) nodes.push(node);
    else initializers.push(constant);
  }
  return {
    nodes,
    initializers,
    inputs: messagesOf(fields, GRAPH.input).map((value) => tensorInfoOf(value, "input")),
    outputs: messagesOf(fields, GRAPH.output).map((value) => tensorInfoOf(value, "output")),
  };
}

function nodeOf(fields: readonly Field[]): GraphNode {
  const domain = textOf(fields, NODE.domain);
  const own = textOf(fields, NODE.operator);
  const operator = domain === "" || domain === "ai.onnx" ? own : `${domain}:${own}`;
  const outputs = textsOf(fields, NODE.output);
  const name = textOf(fields, NODE.name) || (outputs[0] ?? "");
  const attributes = Object.fromEntries(
    messagesOf(fields, NODE.attribute).map((attribute) => [
      textOf(attribute, ATTRIBUTE.name),
      attributeOf(attribute, `${operator} node "${name}"`),
    ]),
  );
  return { name, operator, inputs: textsOf(fields, NODE.input), outputs, attributes };
}

function attributeOf(fields: readonly Field[], node: string): AttributeValue {
  const kind = integerOf(fields, ATTRIBUTE.type);
  switch (kind) {
    case KIND.float:
      return { float: floatsOf(fields, ATTRIBUTE.float)[0] ?? 0 };
    case KIND.int:
      return integerOf(fields, ATTRIBUTE.int);
    case KIND.text:
      return textOf(fields, ATTRIBUTE.text);
    case KIND.ints:
      return integers(fields, ATTRIBUTE.ints).map(Number);
    case KIND.tensor:
      return { tensor: tensorOf(messageOf(fields, ATTRIBUTE.tensor) ?? []) };
    default: {
      const what = `attribute "${textOf(fields, ATTRIBUTE.name)}" of ${node} is of kind ${KIND_NAMES[kind] || kind}`;
      throw unsupported(what, "export the model without it");
    }
  }
}

/** Null: a constant that is no tensor of numbers. */
function constantOf({ name, attributes, outputs }: GraphNode): Tensor | null {
  const output = outputs[0] ?? "";
  const { value, value_float: one, value_int: whole, value_ints: wholes } = attributes;
  if (typeof value === "object" && "tensor" in value) return { ...value.tensor, name: output };
  if (typeof one === "object" && "float" in one) {
    return { name: output, type: "float32", dims: [], data: Float32Array.of(one.float) };
  }
  if (typeof whole === "number")
    return { name: output, type: "int64", dims: [], data: BigInt64Array.of(BigInt(whole)) };
  if (Array.isArray(wholes)) {
    return { name: output, type: "int64", dims: [wholes.length], data: BigInt64Array.from(wholes, BigInt) };
  }
  throw unsupported(`Constant node "${name}" is no tensor of numbers`, "export the model without it");
}

function tensorOf(fields: readonly Field[]): Tensor {
  const name = textOf(fields, TENSOR.name);
  if (has(fields, TENSOR.external) || integerOf(fields, TENSOR.location) !== 0) {
    throw new Failure(
      "model-external-data",
      "give-up",
      `tensor "${name}" is in another file; save it with its weights inside`,
    );
  }
  const type = typeOf(integerOf(fields, TENSOR.type), `tensor "${name}"`);
  const dims = integers(fields, TENSOR.dims).map(Number);
  const count = dims.reduce((all, size) => all * size, 1);
  if (!(count >= 0 && count <= VALUES_MAX))
    throw new UnreadableMessage(`tensor "${name}" has ${dims.join(" x ")} values`);
  const raw = fields.findLast(({ number }) => number === TENSOR.raw)?.bytes;
  const data = raw != null ? rawData(type, raw) : typedData(type, fields);
  if (data.length !== count) {
    throw new UnreadableMessage(`tensor "${name}" has ${data.length} values for ${dims.join(" x ")}`);
  }
  return { name, type, dims, data };
}

function rawData(type: TensorType, raw: Buffer): Tensor["data"] {
  if (raw.length % BYTES[type] !== 0) throw new UnreadableMessage(`${raw.length} bytes of ${type}`);
  // A copy starts where a typed array may start.
  const bytes = new Uint8Array(raw).buffer;
  switch (type) {
    case "float32":
      return new Float32Array(bytes);
    case "uint8":
    case "bool":
      return new Uint8Array(bytes);
    case "int8":
      return new Int8Array(bytes);
    case "int32":
      return new Int32Array(bytes);
    case "int64":
      return new BigInt64Array(bytes);
    default:
      return type satisfies never;
  }
}

function typedData(type: TensorType, fields: readonly Field[]): Tensor["data"] {
  switch (type) {
    case "float32":
      return Float32Array.from(floatsOf(fields, TENSOR.float));
    case "uint8":
    case "bool":
      return Uint8Array.from(integers(fields, TENSOR.int32), Number);
    case "int8":
      return Int8Array.from(integers(fields, TENSOR.int32), Number);
    case "int32":
      return Int32Array.from(integers(fields, TENSOR.int32), Number);
    case "int64":
      return BigInt64Array.from(integers(fields, TENSOR.int64));
    default:
      return type satisfies never;
  }
}

function tensorInfoOf(fields: readonly Field[], side: "input" | "output"): TensorInfo {
  const name = textOf(fields, VALUE.name);
  const tensor = messageOf(messageOf(fields, VALUE.type) ?? [], TYPE.tensor);
  if (tensor === null) throw unsupported(`${side} "${name}" is no tensor`, "export the model with tensors alone");
  const shape = messageOf(tensor, TENSOR_TYPE.shape);
  if (shape === null) throw unsupported(`${side} "${name}" has no shape`, "export the model with shapes");
  return {
    name,
    type: typeOf(integerOf(tensor, TENSOR_TYPE.element), `${side} "${name}"`),
    shape: messagesOf(shape, SHAPE.dimension).map((dimension) =>
      has(dimension, DIMENSION.size) ? integerOf(dimension, DIMENSION.size) : textOf(dimension, DIMENSION.name),
    ),
  };
}

function typeOf(number: number, what: string): TensorType {
  const type = TYPES.get(number);
  if (type !== undefined) return type;
  const advice = `export the model with ${Object.keys(TYPE_NUMBERS).join(", ")}`;
  throw unsupported(`${what} is of type ${OTHER_TYPES[number] ?? `number ${number}`}`, advice);
}

const unsupported = (what: string, advice: string): Failure =>
  new Failure("training-graph-unsupported", "give-up", `${what}; ${advice}, or train the model with a backend command`);

const has = (fields: readonly Field[], wanted: number): boolean => fields.some(({ number }) => number === wanted);

function messagesOf(fields: readonly Field[], wanted: number): Field[][] {
  return fields.flatMap(({ number, bytes }) => (number === wanted && bytes !== null ? [[...fieldsOf(bytes)]] : []));
}

const messageOf = (fields: readonly Field[], wanted: number): Field[] | null =>
  messagesOf(fields, wanted).at(-1) ?? null;

const textsOf = (fields: readonly Field[], wanted: number): string[] =>
  fields.flatMap(({ number, bytes }) => (number === wanted && bytes !== null ? [bytes.toString()] : []));

const textOf = (fields: readonly Field[], wanted: number): string => textsOf(fields, wanted).at(-1) ?? "";

const integers = (fields: readonly Field[], wanted: number): bigint[] =>
  fields.flatMap((field) => (field.number === wanted ? integersOf(field) : []));

const integerOf = (fields: readonly Field[], wanted: number): number => Number(integers(fields, wanted).at(-1) ?? 0);

function floatsOf(fields: readonly Field[], wanted: number): number[] {
  return fields.flatMap(({ number, bytes, raw }) => {
    if (number !== wanted) return [];
    const packed = bytes ?? raw.subarray(-4); // Not packed, a float ends its field.
    if (packed.length % 4 !== 0) throw new UnreadableMessage(`${packed.length} bytes of float32`);
    return Array.from({ length: packed.length / 4 }, (_, i) => packed.readFloatLE(4 * i));
  });
}

const text = (field: number, value: string): Buffer => lengthDelimited(field, Buffer.from(value));

function domainOf(operator: string): { readonly domain: string; readonly own: string } {
  const at = operator.lastIndexOf(":");
  return { domain: operator.slice(0, Math.max(at, 0)), own: operator.slice(at + 1) };
}

function encodedGraph({ nodes, initializers, inputs, outputs }: OnnxGraph): Buffer {
  return Buffer.concat([
    ...nodes.map((node) => lengthDelimited(GRAPH.node, encodedNode(node))),
    text(GRAPH.name, "model"),
    ...initializers.map((tensor) => lengthDelimited(GRAPH.initializer, encodedTensor(tensor))),
    ...inputs.map((value) => lengthDelimited(GRAPH.input, encodedInfo(value))),
    ...outputs.map((value) => lengthDelimited(GRAPH.output, encodedInfo(value))),
  ]);
}

function encodedNode({ name, operator, inputs, outputs, attributes }: GraphNode): Buffer {
  const { domain, own } = domainOf(operator);
  return Buffer.concat([
    ...inputs.map((input) => text(NODE.input, input)),
    ...outputs.map((output) => text(NODE.output, output)),
    text(NODE.name, name),
    text(NODE.operator, own),
    ...Object.entries(attributes).map(([key, value]) => lengthDelimited(NODE.attribute, encodedAttribute(key, value))),
    ...(domain === "" ? [] : [text(NODE.domain, domain)]),
  ]);
}

function encodedAttribute(name: string, value: AttributeValue): Buffer {
  const [kind, ...fields] = fieldOf(value);
  return Buffer.concat([text(ATTRIBUTE.name, name), ...fields, varint(ATTRIBUTE.type, kind)]);
}

function fieldOf(value: AttributeValue): [number, ...Buffer[]] {
  if (typeof value === "number") return [KIND.int, integer(ATTRIBUTE.int, value)];
  if (typeof value === "string") return [KIND.text, text(ATTRIBUTE.text, value)];
  if ("float" in value) return [KIND.float, float(ATTRIBUTE.float, value.float)];
  if ("tensor" in value) return [KIND.tensor, lengthDelimited(ATTRIBUTE.tensor, encodedTensor(value.tensor))];
  return [KIND.ints, ...value.map((one) => integer(ATTRIBUTE.ints, one))];
}

function encodedTensor({ name, type, dims, data }: Tensor): Buffer {
  const count = dims.reduce((all, size) => all * size, 1);
  invariant(data.length === count, `${name}: ${data.length} values for ${dims.join(" x ")}`);
  return Buffer.concat([
    ...dims.map((size) => varint(TENSOR.dims, size)),
    varint(TENSOR.type, TYPE_NUMBERS[type]),
    text(TENSOR.name, name),
    lengthDelimited(TENSOR.raw, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ]);
}

function encodedInfo({ name, type, shape }: TensorInfo): Buffer {
  const dimensions = shape.map((size) => {
    if (typeof size === "number") return varint(DIMENSION.size, size);
    return size === "" ? Buffer.alloc(0) : text(DIMENSION.name, size);
  });
  const tensor = Buffer.concat([
    varint(TENSOR_TYPE.element, TYPE_NUMBERS[type]),
    lengthDelimited(
      TENSOR_TYPE.shape,
      Buffer.concat(dimensions.map((dimension) => lengthDelimited(SHAPE.dimension, dimension))),
    ),
  ]);
  return Buffer.concat([text(VALUE.name, name), lengthDelimited(VALUE.type, lengthDelimited(TYPE.tensor, tensor))]);
}
