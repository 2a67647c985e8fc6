/**
 * Finds tensors whose values are not in the model's file. ONNX Runtime would read them from wherever the process stands, or
 * from an address in its memory: bytes that no manifest lists and nobody hashed (G6).
 *
 * Reads only as much of the protocol buffer as leads to a tensor. What cannot be read here is said to be so, and not taken on
 * trust: another reader might see more in it.
 */
type Kind = "model" | "graph" | "node" | "attribute" | "function" | "training" | "sparse" | "tensor";

/** Fields of onnx.proto3 that lead to a tensor, by number. */
const FIELDS: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 7: "graph", 20: "training", 25: "function" },
  training: { 1: "graph", 2: "graph" },
  function: { 7: "node", 11: "attribute" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: {},
};
const TENSOR = { externalData: 13, dataLocation: 14 };
/** More than any model nests its graphs; the recursion ends. */
const DEPTH_MAX = 100;

export type TensorPlace = "inside" | "outside" | "unreadable";

export function placeOfTensors(model: Uint8Array): TensorPlace {
  try {
    const isOutside = find(Buffer.from(model.buffer, model.byteOffset, model.byteLength), "model", 0);
    return isOutside ? "outside" : "inside";
  } catch (error) {
    if (error instanceof UnreadableModel) return "unreadable";
    throw error;
  }
}

class UnreadableModel extends Error {}

function find(message: Buffer, kind: Kind, depth: number): boolean {
  if (depth > DEPTH_MAX) throw new UnreadableModel("nested too deeply");
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new UnreadableModel("cut short");
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0: {
        const value = varint();
        if (kind === "tensor" && field === TENSOR.dataLocation && value !== 0) return true;
        break;
      }
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        if (at + length > message.length) throw new UnreadableModel("cut short");
        if (kind === "tensor" && field === TENSOR.externalData) return true;
        const child = FIELDS[kind][field];
        if (child !== undefined && find(message.subarray(at, at + length), child, depth + 1)) return true;
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new UnreadableModel(`wire type ${tag % 8}`);
    }
  }
  if (at > message.length) throw new UnreadableModel("cut short");
  return false;
}
