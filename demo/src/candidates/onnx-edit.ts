/** Changes an ONNX file: takes nodes and weights away, adds others, renames an output. No more of ONNX than that.
 *
 * O1. What is not touched stays byte for byte: a message is cut into its fields and put together again.
 * O2. Numbers are those of onnx.proto3; the file keeps its IR version and operator set. */
import { invariant } from "@tributary/kernel";

/** One field of a protocol buffer: its number, its bytes as they stand, and its content where that has a length. */
type Field = { readonly number: number; readonly whole: Uint8Array; readonly content: Uint8Array | null };

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
  readonly nodes?: readonly Node[];
  readonly weights?: readonly Weights[];
  /** Of one output of a node; graph outputs keep their names. */
  readonly rename?: { readonly from: string; readonly to: string };
};

const MODEL_GRAPH = 7;
const GRAPH = { node: 1, initializer: 5 } as const;
const NODE = { input: 1, output: 2, name: 3, operator: 4, attribute: 5 } as const;
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 } as const;
const ATTRIBUTE = { name: 1, int: 3, ints: 8, type: 20 } as const;
const TYPE = { float32: 1, int64: 7 } as const;
const ATTRIBUTE_TYPE = { int: 2, ints: 7 } as const;

export function editModel(model: Uint8Array, edit: Edit): Uint8Array {
  return join(
    fieldsOf(model).map(({ number, whole, content }) =>
      number === MODEL_GRAPH && content !== null ? lengthed(MODEL_GRAPH, editGraph(content, edit)) : whole,
    ),
  );
}

function editGraph(graph: Uint8Array, { drop, nodes = [], weights = [], rename }: Edit): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { number, whole, content } of fieldsOf(graph)) {
    const nameField = number === GRAPH.node ? NODE.name : number === GRAPH.initializer ? TENSOR.name : null;
    if (nameField !== null && content !== null && drop?.(textOf(content, nameField))) continue;
    if (number === GRAPH.node && content !== null && rename !== undefined) parts.push(renamed(content, rename));
    else parts.push(whole); // O1
  }
  // ONNX wants the nodes in the order of their use, and allows the other fields anywhere.
  for (const node of nodes) parts.push(lengthed(GRAPH.node, nodeOf(node)));
  for (const tensor of weights) parts.push(lengthed(GRAPH.initializer, tensorOf(tensor)));
  return join(parts);
}

function renamed(node: Uint8Array, { from, to }: { readonly from: string; readonly to: string }): Uint8Array {
  const fields = fieldsOf(node).map(({ number, whole, content }) =>
    number === NODE.output && content !== null && decode(content) === from ? text(NODE.output, to) : whole,
  );
  return lengthed(GRAPH.node, join(fields));
}

function nodeOf({ name, operator, inputs, outputs, attributes = [] }: Node): Uint8Array {
  return join([
    ...inputs.map((input) => text(NODE.input, input)),
    ...outputs.map((output) => text(NODE.output, output)),
    text(NODE.name, name),
    text(NODE.operator, operator),
    ...attributes.map((attribute) => lengthed(NODE.attribute, attributeOf(attribute))),
  ]);
}

function attributeOf(attribute: Attribute): Uint8Array {
  const values =
    attribute.kind === "int"
      ? [number(ATTRIBUTE.int, attribute.value)]
      : attribute.value.map((one) => number(ATTRIBUTE.ints, one));
  return join([
    text(ATTRIBUTE.name, attribute.name),
    ...values,
    number(ATTRIBUTE.type, ATTRIBUTE_TYPE[attribute.kind]),
  ]);
}

function tensorOf(tensor: Weights): Uint8Array {
  const raw =
    "floats" in tensor
      ? new Uint8Array(Float32Array.from(tensor.floats).buffer)
      : new Uint8Array(BigInt64Array.from(tensor.integers, BigInt).buffer);
  const count = "floats" in tensor ? tensor.floats.length : tensor.integers.length;
  const wanted = tensor.dims.reduce((all, side) => all * side, 1);
  invariant(count === wanted, `${tensor.name}: ${count} values for ${tensor.dims.join(" x ")}`);
  return join([
    ...tensor.dims.map((side) => number(TENSOR.dims, side)),
    number(TENSOR.type, "floats" in tensor ? TYPE.float32 : TYPE.int64),
    text(TENSOR.name, tensor.name),
    lengthed(TENSOR.raw, raw),
  ]);
}

function textOf(message: Uint8Array, wanted: number): string {
  for (const { number, content } of fieldsOf(message)) {
    if (number === wanted && content !== null) return decode(content);
  }
  return "";
}

function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = message[at++];
      invariant(byte !== undefined, "an ONNX file is not cut short");
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const from = at;
    const tag = varint();
    let content: Uint8Array | null = null;
    switch (tag % 8) {
      case 0:
        varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        content = message.subarray(at, at + length);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        invariant(false, `an ONNX file has no wire type ${tag % 8}`);
    }
    fields.push({ number: Math.floor(tag / 8), whole: message.subarray(from, at), content });
  }
  return fields;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const decode = (bytes: Uint8Array): string => decoder.decode(bytes);
const text = (field: number, value: string): Uint8Array => lengthed(field, encoder.encode(value));
const number = (field: number, value: number): Uint8Array => join([varintOf(field * 8), varintOf(value)]);
const lengthed = (field: number, content: Uint8Array): Uint8Array =>
  join([varintOf(field * 8 + 2), varintOf(content.length), content]);

function varintOf(value: number): Uint8Array {
  invariant(Number.isSafeInteger(value) && value >= 0, `${value} is written as a whole number`);
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  return Uint8Array.from([...bytes, left]);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
