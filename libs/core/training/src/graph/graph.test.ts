import { expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import {
  deployableGraph,
  deployedRanges,
  type GraphNode,
  gradientGraph,
  inferenceGraph,
  lastLayer,
  logitsBias,
  meanRanges,
  type OnnxGraph,
  rangesGraph,
  shiftedRanges,
  type Tensor,
  trainableOf,
} from "./index.ts";

const floats = (name: string, dims: number[], ...values: number[]): Tensor => {
  const length = dims.reduce((all, size) => all * size, 1);
  return {
    name,
    type: "float32",
    dims,
    data: Float32Array.from({ length }, (_, i) => values[i % values.length] ?? 0.5),
  };
};
const uint8 = (name: string, value: number): Tensor => ({ name, type: "uint8", dims: [], data: Uint8Array.of(value) });
const node = (
  operator: string,
  inputs: string[],
  output: string,
  attributes: GraphNode["attributes"] = {},
): GraphNode => ({
  name: `/${output}`,
  operator,
  inputs,
  outputs: [output],
  attributes,
});
const graphOf = (
  nodes: GraphNode[],
  initializers: Tensor[],
  shape: (number | string)[] = ["N", 1, 4, 4],
): OnnxGraph => ({
  opset: 17,
  irVersion: 8,
  nodes,
  initializers,
  inputs: [{ name: "x", type: "float32", shape }],
  outputs: [{ name: "y", type: "float32", shape: ["N", 2] }],
});
const tensors = { input: "x", logits: "y" };
const refusalOf = (graph: OnnxGraph) => {
  try {
    return trainableOf(graph, tensors);
  } catch (error) {
    return error instanceof Failure ? `${error.code}: ${error.message}` : error;
  }
};
const head = [floats("w", [16, 2]), floats("b", [2])];

test("a graph with operators that have no gradient is refused by all their names", () => {
  const graph = graphOf(
    [
      node("LSTM", ["x"], "a"),
      node("Relu", ["a"], "b"),
      node("com.microsoft:Gelu", ["x"], "c"),
      node("Flatten", ["x"], "f"),
      node("Gemm", ["f", "w"], "g", { alpha: { float: 2 } }),
      node("Add", ["c", "b"], "d"),
      node("Concat", ["d", "g"], "y", { axis: 1 }),
      node("Loop", ["x"], "dead"),
    ],
    head,
  );
  const refusal = refusalOf(graph);
  expect(refusal).toMatch(
    /^training-operator-unsupported: .*LSTM \("\/a"\), com.microsoft:Gelu \("\/c"\), Gemm \("\/g": /,
  );
  expect(refusal).toMatch(/train it with a backend command$/);
  expect(refusal).not.toMatch(/Relu|Loop/);
});

test.each<[string, OnnxGraph, RegExp]>([
  ["another input", { ...graphOf([], []), inputs: [] }, /^training-graph-unsupported: .*not "x" alone/],
  [
    "a free size",
    graphOf([node("Relu", ["x"], "y")], [], ["N", 1, "H", 4]),
    /free size beside its batch: N x 1 x H x 4/,
  ],
  ["no such output", { ...graphOf([], []), outputs: [] }, /no output "y"/],
  [
    "no weights",
    graphOf([node("ReduceMean", ["x"], "y", { axes: [2, 3], keepdims: 0 })], [], ["N", 2, 4, 4]),
    /no weights/,
  ],
  [
    "a name of ours",
    graphOf([node("Flatten", ["x"], "f"), node("Gemm", ["f", "loss"], "y")], [floats("loss", [16, 2])]),
    /named "loss".*rename/,
  ],
])("%s is refused", (_, graph, message) => {
  expect(refusalOf(graph)).toMatch(message);
});

test("a file whose batch is fixed at one is trained with a free batch", () => {
  const shape: Tensor = { name: "shape", type: "int64", dims: [2], data: BigInt64Array.of(1n, -1n) };
  const nodes = [node("Reshape", ["x", "shape"], "f"), node("MatMul", ["f", "w"], "m"), node("Add", ["b", "m"], "y")];
  const trainable = trainableOf(graphOf(nodes, [...head, shape], [1, 1, 4, 4]), tensors);
  expect(trainable.input.shape).toEqual(["N", 1, 4, 4]);
  expect(trainable.parameters.map(({ name }) => name)).toEqual(["w", "b"]);
  expect(lastLayer(trainable)).toEqual(["w", "b"]);
  expect(logitsBias(trainable)).toEqual({ name: "b", tensors: ["y"] });
  expect(gradientGraph(trainable, ["b"]).outputs.map(({ name }) => name)).toEqual(["loss", "logits", "gradient:b"]);
});

/** Conv without Relu, whose quantiser cuts at zero or from 0 to 6; then a head. */
function quantised(max: number): OnnxGraph {
  const pair = (tensor: string, output: string, scale: string, zero: string) => [
    node("QuantizeLinear", [tensor, scale, zero], `${tensor}_q`),
    node("DequantizeLinear", [`${tensor}_q`, scale, zero], output),
  ];
  const stored = (name: string, axis: number) =>
    node("DequantizeLinear", [`${name}_quantized`, `${name}_scale`], `${name}_float`, { axis });
  const nodes = [
    stored("k", 0),
    stored("w", 1),
    node("DequantizeLinear", ["kb_quantized", "kb_scale"], "kb_float", { axis: 0 }),
    ...pair("x", "x_float", "x_scale", "x_zero"),
    node("Conv", ["x_float", "k_float", "kb_float"], "c", { kernel_shape: [1, 1] }),
    ...pair("c", "c_float", "c_scale", "c_zero"),
    node("GlobalAveragePool", ["c_float"], "p"),
    node("Flatten", ["p"], "f"),
    node("Gemm", ["f", "w_float", "b"], "g"),
    ...pair("g", "y", "y_scale", "x_zero"),
  ];
  return graphOf(nodes, [
    { name: "k_quantized", type: "int8", dims: [2, 1, 1, 1], data: Int8Array.of(127, -127) },
    floats("k_scale", [2], 0.01, 0.02),
    { name: "kb_quantized", type: "int32", dims: [2], data: Int32Array.of(1_000, -500) },
    floats("kb_scale", [2], 0.01 * 0.02, 0.02 * 0.02),
    { name: "w_quantized", type: "int8", dims: [2, 2], data: Int8Array.of(64, -3, 5, 64) },
    floats("w_scale", [2], 0.03, 0.04),
    floats("b", [2], 0.1, 0.2),
    floats("x_scale", [], 0.02),
    uint8("x_zero", 128),
    floats("c_scale", [], max / 255),
    uint8("c_zero", 0),
    floats("y_scale", [], 0.05),
  ]);
}

test.each([
  [4, "Relu"],
  [6, "Clip"],
])("a quantiser from 0 to %i does the work of %s, which comes back into the float graph", (max, operator) => {
  const trainable = trainableOf(quantised(max), tensors);
  expect(inferenceGraph(trainable).nodes.map((one) => one.operator)).toEqual([
    "Conv",
    operator,
    "ReduceMean",
    "Reshape",
    "Gemm",
    "Identity",
  ]);
  expect(
    trainable.parameters.map(({ name, data }) => [name, [...data].map((one) => Math.round(one * 1e4) / 1e4)]),
  ).toEqual([
    ["k", [1.27, -2.54]],
    ["kb", [0.2, -0.2]],
    ["w", [1.92, -0.12, 0.15, 2.56]],
    ["b", [0.1, 0.2]],
  ]);
  // A Clip's range is what it is; nothing of it is measured.
  const measured = rangesGraph(trainable).outputs.map(({ name }) => name);
  expect(measured.some((name) => name.startsWith("max:c"))).toBe(max !== 6);
});

test("the logits' bias is found, and what is added to it shifts the range of the logits", () => {
  const trainable = trainableOf(quantised(4), tensors);
  const bias = logitsBias(trainable);
  expect(bias).toEqual({ name: "b", tensors: [trainable.logits] });
  const ranges = deployedRanges(trainable);
  const { [trainable.logits]: before, ...others } = ranges;
  const { [trainable.logits]: after, ...same } = shiftedRanges(
    ranges,
    bias ?? { name: "", tensors: [] },
    Float32Array.of(0.5, 0.25),
  );
  expect(after?.min).toBeCloseTo((before?.min as number) + 0.25, 6);
  expect(after?.max).toBeCloseTo((before?.max as number) + 0.5, 6);
  expect(same).toEqual(others);
});

test("a bias that a convolution adds before a mean over places moves the logits as much", () => {
  const nodes = [
    node("Conv", ["x", "k", "b"], "c"),
    node("GlobalAveragePool", ["c"], "p"),
    node("Flatten", ["p"], "y"),
  ];
  const trainable = trainableOf(graphOf(nodes, [floats("k", [2, 1, 3, 3], 5), floats("b", [2], 6)]), tensors);
  expect(logitsBias(trainable)?.name).toBe("b");
});

test("a bias that is scaled after it is added is not that of the logits", () => {
  const nodes = [node("Flatten", ["x"], "f"), node("Gemm", ["f", "w", "b"], "g"), node("Mul", ["g", "s"], "y")];
  expect(logitsBias(trainableOf(graphOf(nodes, [...head, floats("s", [], 20)]), tensors))).toBeNull();
});

test("deployed numbers and ranges make the deployed file again", () => {
  const graph = quantised(4);
  const trainable = trainableOf(graph, tensors);
  const values = Object.fromEntries(trainable.parameters.map(({ name, data }) => [name, data]));
  const again = deployableGraph(trainable, values, deployedRanges(trainable));
  const numbers = ({ initializers }: OnnxGraph) =>
    Object.fromEntries(
      initializers.map(({ name, data }) => [
        name.replace(":zero_point", ""),
        Array.from(data as ArrayLike<number>, (value) => Number(value.toPrecision(6))),
      ]),
    );
  expect(numbers(again)).toMatchObject({
    ...numbers(graph),
    x_scale: [expect.any(Number)],
    y_scale: [expect.any(Number)],
  });
  expect(again.outputs).toEqual(graph.outputs);
});

test("new numbers are rounded per channel, a bias in units of input and weight, zero points by their range", () => {
  const trainable = trainableOf(quantised(4), tensors);
  const ranges = { x: { min: -1, max: 1.55 }, "c:Relu": { min: 0.5, max: 5.1 }, g: { min: -5.1, max: 0 } };
  const values = {
    k: Float32Array.of(2.54, 0),
    kb: Float32Array.of(1, 1),
    w: Float32Array.of(0.64, 0.2, -0.3, 1.28),
    b: Float32Array.of(7, 8),
  };
  const graph = deployableGraph(trainable, values, ranges);
  const tensor = (name: string) =>
    Array.from(graph.initializers.find((one) => one.name === name)?.data as Float32Array);
  expect(tensor("x_scale")[0]).toBeCloseTo(0.01, 6);
  expect(tensor("c_scale")[0]).toBeCloseTo(0.02, 6);
  expect(tensor("c_zero")).toEqual([0]);
  expect(tensor("k_quantized")).toEqual([127, 0]);
  expect(tensor("kb_quantized")[0]).toBe(5_000);
  // A bias without weights keeps its value (deployable.ts D1).
  expect((tensor("kb_quantized")[1] ?? 0) * (tensor("kb_scale")[1] ?? 0)).toBeCloseTo(1, 5);
  // The deployed weights of the head have 7 bits (D2).
  expect(tensor("w_quantized")).toEqual([64, 10, -30, 64]);
  expect(tensor("b")).toEqual([7, 8]);
  // The input and the logits shared a zero point; now each has its own.
  const zeroOf = (output: string) => tensor(graph.nodes.find(({ outputs }) => outputs[0] === output)?.inputs[2] ?? "");
  expect([zeroOf("x_q"), zeroOf("x_float"), zeroOf("g_q"), zeroOf("y")]).toEqual([[100], [100], [255], [255]]);
});

test("ranges are means over the batches of calibration", () => {
  const batch = (min: number, max: number) => ({
    "min:a": { data: [min] },
    "max:a": { data: [max] },
    logits: { data: [9] },
  });
  expect(meanRanges([batch(-1, 2), batch(-3, 4)])).toEqual({ a: { min: -2, max: 3 } });
});
