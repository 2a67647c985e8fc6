import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import type { OnnxGraph } from "@tributary/training/graph";
import { encodeGraph, parseGraph } from "./graph-file.ts";
import { float, integer, lengthDelimited, varint } from "./protobuf.ts";

const root = new URL("../../../../", import.meta.url);
const text = (field: number, value: string) => lengthDelimited(field, Buffer.from(value));
const inGraph = (...fields: Buffer[]) => Buffer.concat([varint(1, 8), lengthDelimited(7, Buffer.concat(fields))]);
const tensor = (...fields: Buffer[]) => lengthDelimited(5, Buffer.concat([text(8, "w"), ...fields]));
const node = (operator: string, ...fields: Buffer[]) =>
  lengthDelimited(1, Buffer.concat([text(2, "out"), text(3, "/layer"), text(4, operator), ...fields]));
const attribute = (name: string, type: number, ...fields: Buffer[]) =>
  lengthDelimited(5, Buffer.concat([text(1, name), varint(20, type), ...fields]));

const refusalOf = (model: Buffer) => {
  try {
    return parseGraph(model);
  } catch (error) {
    return error instanceof Failure ? `${error.code}: ${error.message}` : error;
  }
};

test.each(["models/edge-resnet8", "models/cloud-vgg", "samples/digits/edge", "samples/digits/cloud"])(
  "%s is read again as it was written",
  (folder) => {
    const graph = parseGraph(readFileSync(new URL(`${folder}/model.onnx`, root)));
    expect(graph.nodes.length).toBeGreaterThan(5);
    const written = encodeGraph(graph);
    expect(isDeepStrictEqual(parseGraph(written), graph)).toBe(true);
    expect(Buffer.compare(encodeGraph(parseGraph(written)), written)).toBe(0);
  },
);

test("every kind of attribute and tensor survives", () => {
  const graph: OnnxGraph = {
    opset: 17,
    irVersion: 8,
    nodes: [
      {
        name: "a",
        operator: "com.microsoft:Gelu",
        inputs: ["x", "", "w"],
        outputs: ["y"],
        attributes: { axis: -1, axes: [-2, 3], mode: "SAME", alpha: { float: 0.5 }, none: [] },
      },
    ],
    initializers: [
      { name: "w", type: "float32", dims: [2], data: Float32Array.of(1.5, -0) },
      { name: "b", type: "bool", dims: [], data: Uint8Array.of(1) },
      { name: "i", type: "int64", dims: [1, 2], data: BigInt64Array.of(-1n, 2n ** 60n) },
      { name: "q", type: "int8", dims: [3], data: Int8Array.of(-128, 0, 127) },
      { name: "z", type: "int32", dims: [1], data: Int32Array.of(-(2 ** 31)) },
      { name: "u", type: "uint8", dims: [0], data: new Uint8Array() },
    ],
    inputs: [{ name: "x", type: "float32", shape: ["N", 3, ""] }],
    outputs: [{ name: "y", type: "float32", shape: [] }],
  };
  expect(parseGraph(encodeGraph(graph))).toEqual(graph);
});

describe("files of other writers", () => {
  test("typed data, packed or not, are the numbers of raw data", () => {
    const packed = lengthDelimited(7, Buffer.from([3, 4]));
    const graph = parseGraph(
      inGraph(
        tensor(varint(1, 2), varint(2, 7), packed),
        tensor(lengthDelimited(1, Buffer.from([2])), varint(2, 3), integer(5, -7), integer(5, 5)),
        tensor(varint(1, 1), varint(2, 1), float(4, 0.25)),
      ),
    );
    expect(graph.initializers.map(({ data }) => data)).toEqual([
      BigInt64Array.of(3n, 4n),
      Int8Array.of(-7, 5),
      Float32Array.of(0.25),
    ]);
  });

  test("a Constant node is an initializer", () => {
    const graph = parseGraph(inGraph(node("Constant", attribute("value_int", 2, integer(3, -3)))));
    expect(graph.nodes).toEqual([]);
    expect(graph.initializers).toEqual([{ name: "out", type: "int64", dims: [], data: BigInt64Array.of(-3n) }]);
  });

  test.each([
    ["a tensor in another file", inGraph(tensor(varint(2, 1), varint(14, 1))), /^model-external-data: .*"w"/],
    ["float16", inGraph(tensor(varint(2, 10))), /^training-graph-unsupported: .*"w" is of type float16/],
    [
      "a branch",
      inGraph(node("If", attribute("then_branch", 5))),
      /"then_branch" of If node "\/layer" is of kind graph/,
    ],
    ["functions", Buffer.concat([inGraph(), lengthDelimited(25, Buffer.alloc(0))]), /functions of its own/],
    [
      "numbers that are cut",
      inGraph(tensor(varint(1, 2), varint(2, 1), lengthDelimited(9, Buffer.alloc(4)))),
      /^model-unl/,
    ],
    ["a huge size", inGraph(tensor(varint(1, 2 ** 40), varint(2, 1))), /^model-unloadable/],
    ["what is no model", Buffer.from("no model"), /^model-unloadable/],
    ["an empty file", Buffer.alloc(0), /^model-unloadable/],
  ])("%s is refused by name", (_, model, message) => {
    expect(refusalOf(model)).toMatch(message);
  });
});
