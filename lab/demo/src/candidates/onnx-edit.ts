/** Edits an ONNX file: removes and adds nodes and weights, renames tensors, reshapes inputs and outputs.
 *
 * What is not edited stays byte for byte: a message is split into its fields and joined again. Numbers are those of
 * onnx.proto3; the file keeps its IR version and operator set. */
import { invariant } from "@tributary/kernel";
import { protobuf } from "@tributary/onnx";

const { fieldsOf, lengthDelimited, varint } = protobuf;

export type Attribute =
  | { readonly name: string; readonly kind: "int"; readonly value: number }
  | { readonly name: string; readonly kind: "ints"; readonly value: readonly number[] };

export type Node = {
  readonly name: string;
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly Attribute[];
};

export type Weights = {
  readonly name: string;
  readonly dims: readonly number[];
} & ({ readonly floats: ArrayLike<number> } | { readonly integers: readonly number[] });

export type Edit = {
  /** Nodes and weights for which it is true are left out. */
  readonly drop?: (name: string) => boolean;
  /** After the model's own. */
  readonly nodes?: readonly Node[];
  /** Before the model's own. */
  readonly nodesBefore?: readonly Node[];
  readonly weights?: readonly Weights[];
  /** Of one output of a node; graph outputs keep their names. */
  readonly rename?: Renaming;
  /** Of one tensor wherever a node of the model reads it; graph inputs keep their names. */
  readonly renameRead?: Renaming;
  /** Of graph inputs and outputs (float32), by name. A text is the name of a size that is free. */
  readonly shapes?: Readonly<Record<string, readonly (number | string)[]>>;
};

type Renaming = { readonly from: string; readonly to: string };

const MODEL_GRAPH = 7;
const GRAPH = { node: 1, initializer: 5, input: 11, output: 12 } as const;
const VALUE = { name: 1, type: 2 } as const;
const NODE = { input: 1, output: 2, name: 3, operator: 4, attribute: 5 } as const;
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 } as const;
const ATTRIBUTE = { name: 1, int: 3, ints: 8, type: 20 } as const;
const TYPE = { float32: 1, int64: 7 } as const;
const ATTRIBUTE_TYPE = { int: 2, ints: 7 } as const;

export function editModel(model: Uint8Array, edit: Edit): Uint8Array {
  return Buffer.concat(
    [...fieldsOf(Buffer.from(model.buffer, model.byteOffset, model.byteLength))].map(({ number, raw, bytes }) =>
      number === MODEL_GRAPH && bytes !== null ? lengthDelimited(MODEL_GRAPH, editGraph(bytes, edit)) : raw,
    ),
  );
}

function editGraph(graph: Buffer, edit: Edit): Buffer {
  const { drop, nodes = [], nodesBefore = [], weights = [], rename, renameRead, shapes = {} } = edit;
  // ONNX wants the nodes in the order of their use, and allows the other fields anywhere.
  const parts = nodesBefore.map((node) => lengthDelimited(GRAPH.node, nodeOf(node)));
  for (const { number, raw, bytes } of fieldsOf(graph)) {
    const nameField = number === GRAPH.node ? NODE.name : number === GRAPH.initializer ? TENSOR.name : null;
    if (nameField !== null && bytes !== null && drop?.(textOf(bytes, nameField))) continue;
    const isValue = number === GRAPH.input || number === GRAPH.output;
    const shape = isValue && bytes !== null ? shapes[textOf(bytes, VALUE.name)] : undefined;
    if (shape !== undefined && bytes !== null) {
      parts.push(lengthDelimited(number, valueInfoOf(textOf(bytes, VALUE.name), shape)));
    } else if (number === GRAPH.node && bytes !== null && (rename ?? renameRead) !== undefined) {
      parts.push(lengthDelimited(GRAPH.node, renamed(renamed(bytes, NODE.output, rename), NODE.input, renameRead)));
    } else {
      parts.push(raw);
    }
  }
  for (const node of nodes) parts.push(lengthDelimited(GRAPH.node, nodeOf(node)));
  for (const tensor of weights) parts.push(lengthDelimited(GRAPH.initializer, tensorOf(tensor)));
  return Buffer.concat(parts);
}

function renamed(node: Buffer, field: number, renaming: Renaming | undefined): Buffer {
  if (renaming === undefined) return node;
  return Buffer.concat(
    [...fieldsOf(node)].map(({ number, raw, bytes }) =>
      number === field && bytes !== null && bytes.toString() === renaming.from ? text(field, renaming.to) : raw,
    ),
  );
}

/** ValueInfoProto of a float32 tensor. */
function valueInfoOf(name: string, shape: readonly (number | string)[]): Buffer {
  const dimensions = shape.map((side) =>
    lengthDelimited(1, typeof side === "number" ? varint(1, side) : text(2, side)),
  );
  const tensor = Buffer.concat([varint(1, TYPE.float32), lengthDelimited(2, Buffer.concat(dimensions))]);
  return Buffer.concat([text(VALUE.name, name), lengthDelimited(VALUE.type, lengthDelimited(1, tensor))]);
}

function nodeOf({ name, operator, inputs, outputs, attributes = [] }: Node): Buffer {
  return Buffer.concat([
    ...inputs.map((input) => text(NODE.input, input)),
    ...outputs.map((output) => text(NODE.output, output)),
    text(NODE.name, name),
    text(NODE.operator, operator),
    ...attributes.map((attribute) => lengthDelimited(NODE.attribute, attributeOf(attribute))),
  ]);
}

function attributeOf(attribute: Attribute): Buffer {
  const values =
    attribute.kind === "int"
      ? [varint(ATTRIBUTE.int, attribute.value)]
      : attribute.value.map((one) => varint(ATTRIBUTE.ints, one));
  return Buffer.concat([
    text(ATTRIBUTE.name, attribute.name),
    ...values,
    varint(ATTRIBUTE.type, ATTRIBUTE_TYPE[attribute.kind]),
  ]);
}

function tensorOf(tensor: Weights): Buffer {
  const raw =
    "floats" in tensor
      ? new Uint8Array(Float32Array.from(tensor.floats).buffer)
      : new Uint8Array(BigInt64Array.from(tensor.integers, BigInt).buffer);
  const count = "floats" in tensor ? tensor.floats.length : tensor.integers.length;
  const wanted = tensor.dims.reduce((all, side) => all * side, 1);
  invariant(count === wanted, `${tensor.name}: ${count} values for ${tensor.dims.join(" x ")}`);
  return Buffer.concat([
    ...tensor.dims.map((side) => varint(TENSOR.dims, side)),
    varint(TENSOR.type, "floats" in tensor ? TYPE.float32 : TYPE.int64),
    text(TENSOR.name, tensor.name),
    lengthDelimited(TENSOR.raw, raw),
  ]);
}

function textOf(message: Buffer, wanted: number): string {
  for (const { number, bytes } of fieldsOf(message)) {
    if (number === wanted && bytes !== null) return bytes.toString();
  }
  return "";
}

const text = (field: number, value: string): Buffer => lengthDelimited(field, Buffer.from(value));
