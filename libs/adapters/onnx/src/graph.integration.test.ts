/** Gradients against central differences, and answers against the deployed files, in ONNX Runtime: in a child process, because
 * Jest's realm cannot load it. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";
import { describe, expect, test } from "@jest/globals";
import { parsePreprocessing } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import { sampleFrames } from "@tributary/testing";
import {
  deployableGraph,
  deployedRanges,
  type GraphNode,
  gradientGraph,
  inferenceGraph,
  meanRanges,
  type OnnxGraph,
  type ParameterValues,
  rangesGraph,
  type Tensor,
  type Trainable,
  trainableOf,
} from "@tributary/training/graph";
import { encodeGraph, parseGraph } from "./graph-file.ts";
import type { GraphTensor } from "./graph-session.ts";
import { Normaliser } from "./normaliser.ts";
import { decodePicture } from "./preprocess.ts";

const root = new URL("../../../../", import.meta.url);
type Feeds = Record<string, GraphTensor>;
type Job = { readonly model: Uint8Array; readonly runs: readonly Feeds[]; readonly fetches: readonly string[] };

const CHILD = `
const { openGraph } = await import(${JSON.stringify(new URL("../dist/graph-session.js", import.meta.url).href)});
const { deserialize, serialize } = await import("node:v8");
const { readFileSync, writeFileSync } = await import("node:fs");
const results = [];
for (const { model, runs, fetches } of deserialize(readFileSync(0))) {
  const session = await openGraph(model, { threads: 1 });
  for (const feeds of runs) results.push(await session.run(feeds, fetches));
  await session.close();
}
writeFileSync(1, serialize(results));`;

/** The outputs of every run of every job, in their order. */
function run(...jobs: readonly Job[]): Feeds[] {
  const args = ["--input-type=module", "--eval", CHILD];
  const child = spawnSync(process.execPath, args, { input: serialize(jobs), maxBuffer: 1 << 28 });
  if (child.status !== 0) throw new Error(child.stderr.toString());
  return deserialize(child.stdout) as Feeds[];
}

const numbers = (outputs: Feeds | undefined, name: string) => outputs?.[name]?.data as Float32Array;
const graphFeeds = ({ parameters }: Trainable, values: ParameterValues): Feeds =>
  Object.fromEntries(parameters.map(({ name, dims }) => [name, { data: values[name] as Float32Array, dims }]));
const deployedValues = ({ parameters }: Trainable): ParameterValues =>
  Object.fromEntries(parameters.map(({ name, data }) => [name, data]));

/** A model whose weights are drawn by their shape. */
function modelOf(
  seed: number,
  shape: number[],
  weights: Record<string, number[]>,
  nodes: [string, string, string, GraphNode["attributes"]?][],
  constants: Tensor[] = [],
): OnnxGraph {
  const random = seededRandom(seed);
  const drawn = Object.entries(weights).map(([name, dims]): Tensor => {
    const length = dims.reduce((all, size) => all * size, 1);
    const scale = 1.5 / Math.sqrt(length / (dims[0] ?? 1));
    return { name, type: "float32", dims, data: Float32Array.from({ length }, () => (random() * 2 - 1) * scale + 0.1) };
  });
  return {
    opset: 17,
    irVersion: 8,
    nodes: nodes.map(([operator, inputs, output, attributes = {}]) => ({
      name: output,
      operator,
      inputs: inputs.split(" "),
      outputs: [output],
      attributes,
    })),
    initializers: [...drawn, ...constants],
    inputs: [{ name: "x", type: "float32", shape: ["N", ...shape] }],
    outputs: [{ name: "y", type: "float32", shape: ["N", 3] }],
  };
}

const scalar = (name: string, value: number): Tensor => ({
  name,
  type: "float32",
  dims: [],
  data: Float32Array.of(value),
});
const sizes = (name: string, ...values: number[]): Tensor => ({
  name,
  type: "int64",
  dims: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

const MODELS: Record<string, (seed: number) => OnnxGraph> = {
  "Conv with stride and pad, Relu, GlobalAveragePool, Flatten, Gemm": (seed) =>
    modelOf(seed, [2, 7, 6], { k: [4, 2, 3, 3], kb: [4], l: [5, 4, 1, 1], w: [3, 5], b: [3] }, [
      ["Conv", "x k kb", "c", { strides: [2, 2], pads: [1, 1, 1, 1] }],
      ["Relu", "c", "r"],
      ["Conv", "r l", "d", { strides: [2, 2] }],
      ["GlobalAveragePool", "d", "p"],
      ["Flatten", "p", "f"],
      ["Gemm", "f w b", "y", { transB: 1 }],
    ]),
  "grouped and dilated Conv, uneven pads, Clip, AveragePool, Gemm": (seed) =>
    modelOf(
      seed,
      [3, 8, 9],
      { k: [4, 3, 3, 2], l: [6, 2, 2, 3], w: [72, 3] },
      [
        ["Conv", "x k", "c", { pads: [0, 1, 2, 0] }],
        ["Clip", "c low high", "r"],
        ["Conv", "r l", "d", { group: 2, dilations: [2, 1], pads: [1, 1, 1, 1] }],
        ["AveragePool", "d", "p", { kernel_shape: [3, 3], strides: [2, 3], pads: [1, 1, 1, 1] }],
        ["Flatten", "p", "f"],
        ["Gemm", "f w", "y"],
      ],
      [scalar("low", 0), scalar("high", 6)],
    ),
  "depthwise Conv, residual Add, overlapping MaxPool, ReduceMean, MatMul and Add": (seed) =>
    modelOf(seed, [4, 8, 8], { k: [4, 1, 3, 3], kb: [4], l: [4, 4, 1, 1], s: [4, 4, 1, 1], w: [4, 3], b: [3] }, [
      ["Conv", "x s", "a", {}],
      ["Conv", "a k kb", "c", { group: 4, auto_pad: "SAME_UPPER" }],
      ["Relu", "c", "r"],
      ["Conv", "r l", "d"],
      ["Add", "d a", "e"],
      ["MaxPool", "e", "p", { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }],
      ["ReduceMean", "p", "f", { axes: [-1, -2], keepdims: 0 }],
      ["MatMul", "f w", "m"],
      ["Add", "b m", "y"],
    ]),
  "depthwise Conv with stride and more outputs, Concat, squeeze and excitation": (seed) =>
    modelOf(seed, [2, 6, 6], { k: [4, 1, 3, 3], l: [2, 2, 3, 3], e: [6, 6, 1, 1], w: [3, 6], b: [3] }, [
      ["Conv", "x l", "a", { pads: [1, 1, 1, 1], strides: [2, 2] }],
      ["Relu", "x", "u"],
      ["Conv", "u k", "c", { group: 2, pads: [1, 1, 1, 1], strides: [2, 2] }],
      ["Concat", "c a", "j", { axis: -3 }],
      ["ReduceMean", "j", "p", { axes: [2, 3], keepdims: 1 }],
      ["Conv", "p e", "q"],
      ["Sigmoid", "q", "s"],
      ["Mul", "j s", "g"],
      ["GlobalAveragePool", "g", "h"],
      ["Flatten", "h", "f"],
      ["Gemm", "f w b", "y", { transB: 1 }],
    ]),
  "scaled input, BatchNormalization, Transpose, GELU by Erf, Reshape, MatMul on rows": (seed) =>
    modelOf(
      seed,
      [4, 5, 2],
      { k: [3, 2, 1, 1], gain: [3], shift: [3], mean: [3], m: [5, 2], b: [2], w: [24, 3] },
      [
        ["Transpose", "x", "t", { perm: [0, 3, 1, 2] }],
        ["Div", "t half", "v"],
        ["Sub", "v half", "i"],
        ["Conv", "i k", "c"],
        ["BatchNormalization", "c gain shift mean variance", "n", { epsilon: { float: 1e-3 } }],
        ["Mul", "n n", "o"],
        ["Erf", "o", "e"],
        ["Mul", "n e", "g"],
        ["MatMul", "g m", "h"],
        ["Add", "h b", "z"],
        ["Reshape", "z flat", "f"],
        ["MatMul", "f w", "y"],
      ],
      [
        scalar("half", 0.5),
        sizes("flat", -1, 24),
        { name: "variance", type: "float32", dims: [3], data: Float32Array.of(0.5, 1, 2) },
      ],
    ),
};

const STEP = 2e-3;
const BATCH = 3;

/** Of each parameter: the slope of the loss along a random direction, as the gradient has it and as two losses have it. */
function slopesOf(
  trainable: Trainable,
  seed: number,
  frames: Float32Array,
  shape: readonly number[],
  others: readonly Job[] = [],
) {
  const random = seededRandom(seed);
  const target = Float32Array.from({ length: BATCH * trainable.classes }, () => random());
  for (let i = 0; i < BATCH; i++) {
    const row = target.subarray(i * trainable.classes, (i + 1) * trainable.classes);
    const sum = row.reduce((all, one) => all + one, 0);
    for (const [j, one] of row.entries()) row[j] = one / sum;
  }
  const values = deployedValues(trainable);
  const feeds = (own: ParameterValues): Feeds => ({
    x: { data: frames, dims: [BATCH, ...shape] },
    target: { data: target, dims: [BATCH, trainable.classes] },
    ...graphFeeds(trainable, own),
  });
  const directions = trainable.parameters.map(({ data }) => Float32Array.from(data, () => (random() < 0.5 ? -1 : 1)));
  const graph = gradientGraph(trainable);
  const probes = trainable.parameters.flatMap(({ name, data }, p) =>
    [STEP, -STEP].map((step) =>
      feeds({ ...values, [name]: data.map((one, i) => one + step * (directions[p]?.[i] as number)) }),
    ),
  );
  const input = trainable.input.name;
  const named = (feed: Feeds): Feeds => {
    const { x, ...rest } = feed;
    return { [input]: x as GraphTensor, ...rest };
  };
  const model = encodeGraph(graph);
  const [own, ...losses] = run(
    { model, runs: [named(feeds(values))], fetches: graph.outputs.map(({ name }) => name) },
    { model, runs: probes.map(named), fetches: ["loss"] },
    ...others,
  );
  const slopes = trainable.parameters.map(({ name }, p) => {
    const gradient = numbers(own, `gradient:${name}`);
    const [up = 0, down = 0] = [losses[2 * p], losses[2 * p + 1]].map((loss) => numbers(loss, "loss")[0]);
    const size = Math.sqrt(gradient.reduce((all, one) => all + one * one, 0) * gradient.length);
    return {
      name,
      byGradient: gradient.reduce((all, one, i) => all + one * (directions[p]?.[i] as number), 0),
      byLosses: (up - down) / (2 * STEP),
      size,
    };
  });
  return { slopes, others: losses.slice(probes.length) };
}

describe.each(Object.entries(MODELS))("%s", (_, model) => {
  test.each([1, 2])("gradients are slopes of the loss, and answers are the file's: seed %i", (seed) => {
    const graph = model(seed);
    const trainable = trainableOf(graph, { input: "x", logits: "y" });
    const random = seededRandom(seed + 100);
    const shape = trainable.input.shape.slice(1).map(Number);
    const length = BATCH * shape.reduce((all, size) => all * size, 1);
    const frames = Float32Array.from({ length }, () => random() * 2 - 1);
    const x = { data: frames, dims: [BATCH, ...shape] };
    const both = [
      { model: encodeGraph(graph), runs: [{ x }], fetches: ["y"] },
      {
        model: encodeGraph(inferenceGraph(trainable)),
        runs: [{ x, ...graphFeeds(trainable, deployedValues(trainable)) }],
        fetches: ["logits"],
      },
    ];
    const { slopes, others } = slopesOf(trainable, seed, frames, shape, both);
    const [deployed, trained] = others;
    for (const [i, one] of numbers(deployed, "y").entries()) expect(numbers(trained, "logits")[i]).toBeCloseTo(one, 4);
    for (const { byGradient, byLosses, size } of slopes) {
      expect(size).toBeGreaterThan(1e-5);
      // Float32 losses are exact to about 1e-7, and a few Relus change their side within a step.
      expect(Math.abs(byGradient - byLosses)).toBeLessThan(2e-4 + 0.01 * size);
    }
  });
});

const read = (path: string) => readFileSync(new URL(path, root));

test("the sample's int8 edge model: the same answers in float and written again; gradients are slopes", async () => {
  const deployed = parseGraph(read("models/edge-resnet8/model.onnx"));
  const trainable = trainableOf(deployed, { input: "input", logits: "logits", features: "features" });
  const values = deployedValues(trainable);
  const preprocessing = parsePreprocessing(JSON.parse(read("models/edge-resnet8/preprocessor_config.json").toString()));
  const normaliser = new Normaliser(preprocessing);
  const photos = await sampleFrames(300);
  const pixels = 3 * 32 * 32;
  const frames = new Float32Array(photos.length * pixels);
  for (const [i, { jpeg }] of photos.entries()) {
    const picture = await decodePicture(jpeg, preprocessing, 1e6);
    if (picture.ok) normaliser.write(normaliser.channels(picture.pixels), frames, i * pixels);
  }
  const input = (from: number, to: number) => ({
    data: frames.slice(from * pixels, to * pixels),
    dims: [to - from, 3, 32, 32],
  });
  const all = input(0, photos.length);
  const parameters = graphFeeds(trainable, values);
  const ranges = rangesGraph(trainable);
  const batches = run({
    model: encodeGraph(ranges),
    runs: [0, 100, 200].map((from) => ({ input: input(from, from + 100), ...parameters })),
    fetches: ranges.outputs.map(({ name }) => name),
  });
  const job = (graph: OnnxGraph): Job => ({ model: encodeGraph(graph), runs: [{ input: all }], fetches: ["logits"] });
  const float = { model: encodeGraph(inferenceGraph(trainable)), runs: [{ input: all, ...parameters }] };
  const [before, inFloat, again, calibrated] = run(
    job(deployed),
    { ...float, fetches: ["logits", "features"] },
    job(deployableGraph(trainable, values, deployedRanges(trainable))),
    job(deployableGraph(trainable, values, meanRanges(batches))),
  ).map((outputs) => {
    const logits = numbers(outputs, "logits");
    return photos.map((_, i) => {
      const row = logits.subarray(10 * i, 10 * i + 10);
      return row.indexOf(Math.max(...row));
    });
  });
  const sameAs = (answers: number[] | undefined) => answers?.filter((answer, i) => answer === before?.[i]).length ?? 0;
  const shareRight = (answers: number[] | undefined) =>
    (answers?.filter((answer, i) => answer === photos[i]?.label).length ?? 0) / photos.length;
  expect(sameAs(again)).toBeGreaterThanOrEqual(0.99 * photos.length);
  // Two quantisations of one float model: each differs from it on the frames that it is unsure of.
  expect(sameAs(inFloat)).toBeGreaterThanOrEqual(0.98 * photos.length);
  expect(sameAs(calibrated)).toBeGreaterThanOrEqual(0.97 * photos.length);
  expect(Math.abs(shareRight(calibrated) - shareRight(before))).toBeLessThan(0.02);
  const { slopes } = slopesOf(trainable, 1, frames.slice(0, BATCH * pixels), [3, 32, 32]);
  for (const { byGradient, byLosses, size } of slopes) {
    expect(Math.abs(byGradient - byLosses)).toBeLessThan(2e-3 + 0.05 * size);
  }
});

test("the digits' float edge model is written again as it is, and learns", () => {
  const deployed = parseGraph(read("samples/digits/edge/model.onnx"));
  const trainable = trainableOf(deployed, { input: "image", logits: "scores" });
  const again = deployableGraph(trainable, deployedValues(trainable), {});
  expect(Buffer.compare(encodeGraph(again), encodeGraph(deployed))).toBe(0);
  const random = seededRandom(5);
  const frames = Float32Array.from({ length: BATCH * 300 * 300 }, () => random() * 2 - 1);
  for (const { byGradient, byLosses, size } of slopesOf(trainable, 1, frames, [1, 300, 300]).slopes) {
    expect(Math.abs(byGradient - byLosses)).toBeLessThan(1e-3 + 0.02 * size);
  }
});
