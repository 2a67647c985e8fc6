/**
 * Moves a model's weights into its file. Exporters write large ones to other files (MLflow all of them, by default), and a
 * package takes a model as one file that was hashed (G6). Here the other files were just fetched with it, before anything is
 * hashed.
 *
 * I1. Fields without such a tensor keep their bytes; a tensor keeps its own, with raw data in place of the reference.
 * I2. A reference that cannot be read, or that points outside its file, is refused.
 */
import { Failure } from "@tributary/kernel";
import { type Field, fieldsOf, lengthDelimited, UnreadableMessage } from "./protobuf.ts";

type Kind = "model" | "graph" | "node" | "attribute" | "function" | "sparse" | "tensor";

/** Fields of onnx.proto3 that lead to a tensor, by number. */
const FIELDS: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 7: "graph", 25: "function" },
  function: { 7: "node", 11: "attribute" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: {},
};
const TENSOR = { rawData: 9, externalData: 13, dataLocation: 14 };
const DEPTH_MAX = 100;

/** `read`: returns a file by the name in the model; undefined if there is none. */
export function inlineExternalData(model: Uint8Array, read: (location: string) => Uint8Array | undefined): Buffer {
  try {
    return rewritten(Buffer.from(model.buffer, model.byteOffset, model.byteLength), "model", read, 0);
  } catch (error) {
    if (!(error instanceof UnreadableMessage)) throw error;
    throw new Failure("model-unloadable", "give-up", "it is no ONNX model that can be read");
  }
}

type Read = (location: string) => Uint8Array | undefined;

function rewritten(message: Buffer, kind: Kind, read: Read, depth: number): Buffer {
  if (depth > DEPTH_MAX) throw new UnreadableMessage("nested too deeply");
  const fields = [...fieldsOf(message)];
  if (kind === "tensor") return tensorOf(message, fields, read);
  return Buffer.concat(
    fields.map(({ number, raw, bytes }) => {
      const child = FIELDS[kind][number];
      if (child === undefined || bytes === null) return raw;
      const inner = rewritten(bytes, child, read, depth + 1);
      return inner.equals(bytes) ? raw : lengthDelimited(number, inner);
    }),
  );
}

function tensorOf(message: Buffer, fields: readonly Field[], read: Read): Buffer {
  const outside = fields.filter(({ number }) => number === TENSOR.externalData);
  if (outside.length === 0) return message;
  const entries = new Map(outside.map(({ bytes }) => entryOf(bytes ?? Buffer.alloc(0))));
  const location = entries.get("location") ?? "";
  const file = read(location);
  const offset = Number(entries.get("offset") ?? 0);
  const length = Number(entries.get("length") ?? (file === undefined ? 0 : file.length - offset));
  const isThere = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (file === undefined || !isThere || offset + length > file.length) {
    const where = `"${location.slice(0, 80)}", ${length} bytes from ${offset}`;
    const message = `weights are not where the model refers to: ${where}; save it with its weights inside`;
    throw new Failure("model-external-data", "give-up", message);
  }
  const others = fields.filter(({ number }) => !Object.values(TENSOR).includes(number)).map(({ raw }) => raw);
  const data = Buffer.from(file.buffer, file.byteOffset + offset, length);
  return Buffer.concat([...others, lengthDelimited(TENSOR.rawData, data)]);
}

/** StringStringEntryProto. */
function entryOf(message: Buffer): [string, string] {
  let [key, value] = ["", ""];
  for (const { number, bytes } of fieldsOf(message)) {
    if (number === 1 && bytes !== null) key = bytes.toString();
    if (number === 2 && bytes !== null) value = bytes.toString();
  }
  return [key, value];
}
