/**
 * Finds tensors whose values are not in the model's file. ONNX Runtime would read them from the process' working directory, or
 * from an address in its memory: bytes that no manifest lists and that were not hashed (G6).
 *
 * Reads only the fields of the protocol buffer that lead to a tensor. An unreadable field is reported as such, and not trusted:
 * another parser might find more in it.
 */
import { fieldsOf, UnreadableMessage } from "./protobuf.ts";

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
    if (error instanceof UnreadableMessage) return "unreadable";
    throw error;
  }
}

function find(message: Buffer, kind: Kind, depth: number): boolean {
  if (depth > DEPTH_MAX) throw new UnreadableMessage("nested too deeply");
  let isOutside = false;
  // Every field is walked, also after a finding: an unreadable field must be reported.
  for (const { number, value, bytes } of fieldsOf(message)) {
    if (kind === "tensor" && number === TENSOR.dataLocation && value !== 0) isOutside = true;
    if (bytes === null) continue;
    if (kind === "tensor" && number === TENSOR.externalData) isOutside = true;
    const child = FIELDS[kind][number];
    if (child !== undefined && find(bytes, child, depth + 1)) isOutside = true;
  }
  return isOutside;
}
