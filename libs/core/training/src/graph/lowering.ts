/** Rewrites the nodes of a float graph as a few operators of opset 17, each with a rule for its gradient, and infers shapes.
 *
 * L1. Every activation's first axis is the batch, and no node mixes frames of a batch. Shapes here are those of one frame.
 * L2. A lowered node lists every attribute that its gradient needs: kernels, strides, pads, axes.
 * L3. What has no rule is refused, with all its nodes: no gradient is silently left out. */

import type { AttributeValue, GraphNode, Tensor } from "./graph.ts";
import type { Refuse } from "./quantised.ts";
import { floatOf, numbersOf, product, textOf, wholeOf, wholesOf } from "./reading.ts";

export type Shape = readonly number[];

export type Lowered = {
  readonly nodes: readonly GraphNode[];
  /** Of every activation. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Tensors that are neither activations nor parameters. */
  readonly constants: ReadonlyMap<string, Tensor>;
  /** Names of float tensors that can be trained, in the order of their use. */
  readonly parameters: readonly string[];
};

class Refusal extends Error {}

/** `tensors`: the graph's constants. */
export function lower(
  nodes: readonly GraphNode[],
  input: { readonly name: string; readonly shape: Shape },
  tensors: ReadonlyMap<string, Tensor>,
  refuse: Refuse,
): Lowered {
  const lowering = new Lowering(tensors);
  lowering.shapes.set(input.name, input.shape);
  const unknown = new Set<string>();
  for (const node of nodes) {
    const rule = RULES[node.operator];
    const isUnknown = node.inputs.some((name) => unknown.has(name));
    try {
      if (rule === undefined) throw new Refusal("");
      if (!isUnknown) rule(node, lowering);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refuse(node, error.message);
    }
    for (const output of node.outputs) if (!lowering.shapes.has(output)) unknown.add(output);
  }
  const { shapes, constants, parameters } = lowering;
  return { nodes: lowering.nodes, shapes, constants, parameters: [...parameters] };
}

class Lowering {
  readonly nodes: GraphNode[] = [];
  readonly shapes = new Map<string, Shape>();
  readonly constants = new Map<string, Tensor>();
  readonly parameters = new Set<string>();
  readonly #tensors: ReadonlyMap<string, Tensor>;

  constructor(tensors: ReadonlyMap<string, Tensor>) {
    this.#tensors = tensors;
  }

  isActivation(name: string | undefined): boolean {
    return name !== undefined && this.shapes.has(name);
  }

  activation(node: GraphNode, i: number): { readonly name: string; readonly shape: Shape } {
    const name = node.inputs[i] ?? "";
    const shape = this.shapes.get(name);
    if (shape === undefined) throw new Refusal(`its input ${i + 1} is no activation`);
    return { name, shape };
  }

  /** A constant; null: it is left out. */
  optional(node: GraphNode, i: number): Tensor | null {
    const name = node.inputs[i] ?? "";
    if (name === "") return null;
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new Refusal(`its input ${i + 1} is no constant`);
    return tensor;
  }

  constant(node: GraphNode, i: number): Tensor {
    const tensor = this.optional(node, i);
    if (tensor === null) throw new Refusal(`its input ${i + 1} is missing`);
    return tensor;
  }

  parameter(tensor: Tensor): string {
    if (tensor.type !== "float32") throw new Refusal(`"${tensor.name}" is ${tensor.type}, not float32`);
    this.parameters.add(tensor.name);
    return tensor.name;
  }

  fixed(name: string, dims: Shape, values: ArrayLike<number>): string {
    this.constants.set(name, { name, type: "float32", dims, data: Float32Array.from(values) });
    return name;
  }

  sizes(name: string, sizes: Shape): string {
    this.constants.set(name, { name, type: "int64", dims: [sizes.length], data: BigInt64Array.from(sizes, BigInt) });
    return name;
  }

  emit(node: GraphNode, operator: string, inputs: readonly string[], shape: Shape, attributes: Attributes = {}): void {
    if (!shape.every((size) => Number.isInteger(size) && size > 0)) throw new Refusal(`it makes ${shape.join(" x ")}`);
    const output = node.outputs[0] ?? "";
    this.nodes.push({ name: output, operator, inputs, outputs: [output], attributes });
    this.shapes.set(output, shape);
  }
}

type Attributes = Readonly<Record<string, AttributeValue>>;
type Rule = (node: GraphNode, lowering: Lowering) => void;

const RULES: Readonly<Record<string, Rule>> = {
  Conv: conv,
  Gemm: gemm,
  MatMul: matMul,
  BatchNormalization: batchNormalisation,
  Add: (node, lowering) => elementwise(node, lowering, "Add", (value) => value),
  Sub: (node, lowering) => elementwise(node, lowering, "Add", (value) => -value),
  Mul: (node, lowering) => elementwise(node, lowering, "Mul", (value) => value),
  Div: (node, lowering) => elementwise(node, lowering, "Mul", (value) => 1 / value),
  Relu: (node, lowering) => pointwise(node, lowering),
  Erf: (node, lowering) => pointwise(node, lowering),
  Sigmoid: (node, lowering) => pointwise(node, lowering),
  Clip: clip,
  AveragePool: averagePool,
  MaxPool: maxPool,
  GlobalAveragePool: (node, lowering) => {
    const { name, shape } = lowering.activation(node, 0);
    const axes = shape.slice(1).map((_, i) => i + 2);
    lowering.emit(node, "ReduceMean", [name], [shape[0] ?? 0, ...axes.map(() => 1)], { axes, keepdims: 1 });
  },
  ReduceMean: reduceMean,
  Flatten: (node, lowering) => {
    const { shape } = lowering.activation(node, 0);
    if (wholeOf(node, "axis", 1) !== 1) throw new Refusal("its axis is not 1");
    reshaped(node, lowering, [product(shape)]);
  },
  Reshape: reshape,
  Squeeze: (node, lowering) => {
    const { shape } = lowering.activation(node, 0);
    const axes = axesOf(node, lowering, shape);
    reshaped(
      node,
      lowering,
      shape.filter((_, i) => !axes.includes(i + 1)),
    );
  },
  Unsqueeze: (node, lowering) => {
    const { shape } = lowering.activation(node, 0);
    const rank = shape.length + 1 + (axesGiven(node, lowering)?.length ?? 0);
    const axes = axesOf(
      node,
      lowering,
      Array.from({ length: rank - 1 }, () => 1),
    );
    const rest = [...shape];
    reshaped(
      node,
      lowering,
      Array.from({ length: rank - 1 }, (_, i) => (axes.includes(i + 1) ? 1 : (rest.shift() ?? 0))),
    );
  },
  Transpose: (node, lowering) => {
    const { name, shape } = lowering.activation(node, 0);
    const perm = wholesOf(node, "perm") ?? [];
    if (perm[0] !== 0 || perm.length !== shape.length + 1) throw new Refusal("it moves the batch");
    lowering.emit(
      node,
      "Transpose",
      [name],
      perm.slice(1).map((axis) => shape[axis - 1] ?? 0),
      { perm },
    );
  },
  Concat: concat,
};

type Window = { readonly kernel: Shape; readonly strides: Shape; readonly pads: Shape; readonly dilations: Shape };

/** Of a convolution or a pool over two axes; pads are top, left, bottom, right. */
function windowOf(node: GraphNode, shape: Shape, kernel: Shape): Window & { readonly size: Shape } {
  if (shape.length !== 3 || kernel.length !== 2) throw new Refusal("only pictures of two axes and channels are read");
  const strides = wholesOf(node, "strides") ?? [1, 1];
  const dilations = wholesOf(node, "dilations") ?? [1, 1];
  const span = kernel.map((size, i) => (size - 1) * (dilations[i] ?? 1) + 1);
  const sizes = shape.slice(1);
  const auto = textOf(node, "auto_pad", "NOTSET");
  let pads = wholesOf(node, "pads") ?? [0, 0, 0, 0];
  if (auto === "VALID") pads = [0, 0, 0, 0];
  else if (auto !== "NOTSET") {
    const both = sizes.map((size, i) => {
      const stride = strides[i] ?? 1;
      return Math.max(0, (Math.ceil(size / stride) - 1) * stride + (span[i] ?? 1) - size);
    });
    const less = both.map((pad) => Math.floor(pad / 2));
    const more = both.map((pad) => Math.ceil(pad / 2));
    pads = auto === "SAME_UPPER" ? [...less, ...more] : [...more, ...less];
  }
  const steps = sizes.map(
    (size, i) => (size + (pads[i] ?? 0) + (pads[i + 2] ?? 0) - (span[i] ?? 1)) / (strides[i] ?? 1),
  );
  if (wholeOf(node, "ceil_mode", 0) === 1 && steps.some((step) => !Number.isInteger(step))) {
    throw new Refusal("its ceil_mode adds a window that is cut");
  }
  if (pads.some((pad) => pad < 0)) throw new Refusal("it has negative pads");
  return { kernel, strides, pads, dilations, size: steps.map((step) => Math.floor(step) + 1) };
}

function conv(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const weight = lowering.constant(node, 1);
  const bias = lowering.optional(node, 2);
  const group = wholeOf(node, "group", 1);
  const [outputs = 0, perGroup = 0, ...kernel] = weight.dims;
  const { size, strides, pads, dilations } = windowOf(node, shape, kernel);
  if (perGroup * group !== shape[0]) throw new Refusal(`its weight is ${weight.dims.join(" x ")}`);
  const inputs = [name, lowering.parameter(weight), ...(bias === null ? [] : [lowering.parameter(bias)])];
  const attributes = { kernel_shape: kernel, strides, pads, dilations, group };
  lowering.emit(node, "Conv", inputs, [outputs, ...size], attributes);
}

function gemm(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const weight = lowering.constant(node, 1);
  const bias = lowering.optional(node, 2);
  const transB = wholeOf(node, "transB", 0);
  if (wholeOf(node, "transA", 0) !== 0) throw new Refusal("it transposes its first input");
  if (floatOf(node, "alpha", 1) !== 1 || floatOf(node, "beta", 1) !== 1)
    throw new Refusal("its alpha or beta is not 1");
  const [inner, outer = 0] = transB === 1 ? weight.dims.toReversed() : weight.dims;
  if (shape.length !== 1 || inner !== shape[0]) throw new Refusal(`its weight is ${weight.dims.join(" x ")}`);
  if (bias !== null && (bias.data.length !== outer || bias.dims.at(-1) !== outer)) {
    throw new Refusal(`its bias is ${bias.dims.join(" x ")}`);
  }
  const inputs = [name, lowering.parameter(weight), ...(bias === null ? [] : [lowering.parameter(bias)])];
  lowering.emit(node, "Gemm", inputs, [outer], { transB });
}

function matMul(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const weight = lowering.constant(node, 1);
  const [inner, outer = 0] = weight.dims;
  if (weight.dims.length !== 2 || shape.length === 0 || inner !== shape.at(-1)) {
    throw new Refusal(`its weight is ${weight.dims.join(" x ")}`);
  }
  lowering.emit(node, "MatMul", [name, lowering.parameter(weight)], [...shape.slice(0, -1), outer]);
}

/** In its form for inference, a factor and a summand per channel. They stay as they are: they are no parameters. */
function batchNormalisation(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const [scale, shift, mean, variance] = [1, 2, 3, 4].map((i) => numbersOf(lowering.constant(node, i)));
  const epsilon = floatOf(node, "epsilon", 1e-5);
  if (wholeOf(node, "training_mode", 0) !== 0 || node.outputs.filter((output) => output !== "").length > 1) {
    throw new Refusal("it is in the form for training");
  }
  const factors = (scale ?? []).map((value, i) => value / Math.sqrt((variance?.[i] ?? 1) + epsilon));
  const summands = factors.map((factor, i) => (shift?.[i] ?? 0) - (mean?.[i] ?? 0) * factor);
  const output = node.outputs[0] ?? "";
  const dims = [factors.length, ...shape.slice(1).map(() => 1)];
  if (factors.length !== shape[0]) throw new Refusal(`it has ${factors.length} channels`);
  const scaled = { ...node, outputs: [`${output}:scaled`] };
  lowering.emit(scaled, "Mul", [name, lowering.fixed(`${output}:factor`, dims, factors)], shape);
  lowering.emit(node, "Add", [`${output}:scaled`, lowering.fixed(`${output}:summand`, dims, summands)], shape);
}

/** Add and Mul of two activations, or of one and a constant. `change` makes a constant of Sub or Div one of Add or Mul. */
function elementwise(
  node: GraphNode,
  lowering: Lowering,
  operator: "Add" | "Mul",
  change: (value: number) => number,
): void {
  const isChanged = node.operator !== operator;
  const first = lowering.isActivation(node.inputs[0]);
  const second = lowering.isActivation(node.inputs[1]);
  if (first && second) {
    if (isChanged) throw new Refusal("both of its inputs are activations");
    const [a, b] = [lowering.activation(node, 0), lowering.activation(node, 1)];
    const shape = a.shape.map((size, i) => Math.max(size, b.shape[i] ?? 0));
    const fits = (other: Shape) =>
      other.length === shape.length && other.every((size, i) => size === shape[i] || size === 1);
    if (!fits(a.shape) || !fits(b.shape))
      throw new Refusal(`its inputs are ${a.shape.join(" x ")} and ${b.shape.join(" x ")}`);
    lowering.emit(node, operator, [a.name, b.name], shape);
    return;
  }
  if (isChanged && !first) throw new Refusal("its first input is a constant");
  const { name, shape } = lowering.activation(node, first ? 0 : 1);
  const constant = lowering.constant(node, first ? 1 : 0);
  if (constant.type !== "float32" || !isWithin(constant.dims, shape)) {
    throw new Refusal(`its constant is ${constant.type} ${constant.dims.join(" x ")}`);
  }
  const isBias = !isChanged && operator === "Add" && producerOf(name, lowering)?.operator === "MatMul";
  const other = isBias
    ? lowering.parameter(constant)
    : lowering.fixed(`${node.outputs[0]}:constant`, constant.dims, numbersOf(constant).map(change));
  lowering.emit(node, operator, [name, other], shape);
}

const producerOf = (name: string, { nodes }: Lowering): GraphNode | undefined =>
  nodes.findLast(({ outputs }) => outputs[0] === name);

/** A constant's axes are those of a batch of activations from the right, and it does not enlarge them. */
function isWithin(dims: Shape, shape: Shape): boolean {
  const full = [1, ...shape];
  return (
    dims.length <= full.length && dims.every((size, i) => size === 1 || size === full[full.length - dims.length + i])
  );
}

function pointwise(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  lowering.emit(node, node.operator, [name], shape);
}

/** Its bounds become attributes, as they were before opset 11; the graphs that are written make constants of them. */
function clip(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const bounds = [lowering.optional(node, 1), lowering.optional(node, 2)].map((bound) => bound?.data[0]);
  const min = floatOf(node, "min", Number(bounds[0] ?? -3.4028234663852886e38));
  const max = floatOf(node, "max", Number(bounds[1] ?? 3.4028234663852886e38));
  const output = node.outputs[0];
  lowering.emit(
    node,
    "Clip",
    [name, lowering.fixed(`${output}:min`, [], [min]), lowering.fixed(`${output}:max`, [], [max])],
    shape,
  );
}

function averagePool(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const { size, kernel, strides, pads, dilations } = windowOf(node, shape, wholesOf(node, "kernel_shape") ?? []);
  if (dilations.some((dilation) => dilation !== 1)) throw new Refusal("it has dilations");
  const attributes = {
    kernel_shape: kernel,
    strides,
    pads,
    count_include_pad: wholeOf(node, "count_include_pad", 0),
  };
  lowering.emit(node, "AveragePool", [name], [shape[0] ?? 0, ...size], attributes);
}

function maxPool(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const { size, kernel, strides, pads, dilations } = windowOf(node, shape, wholesOf(node, "kernel_shape") ?? []);
  if (node.outputs.filter((output) => output !== "").length > 1) throw new Refusal("its indices are read");
  const attributes = { kernel_shape: kernel, strides, pads, dilations };
  lowering.emit(node, "MaxPool", [name], [shape[0] ?? 0, ...size], attributes);
}

/** An attribute up to opset 12 or 17, an input since. */
function axesGiven(node: GraphNode, lowering: Lowering): readonly number[] | null {
  const given = wholesOf(node, "axes") ?? lowering.optional(node, 1)?.data ?? null;
  return given === null ? null : Array.from(given, Number);
}

/** Sorted; without any, all axes that an operator may mean. */
function axesOf(node: GraphNode, lowering: Lowering, shape: Shape): readonly number[] {
  const rank = shape.length + 1;
  const given = axesGiven(node, lowering);
  if (given === null) throw new Refusal("it does not list its axes");
  const axes = given.map((axis) => (axis < 0 ? axis + rank : axis)).toSorted((a, b) => a - b);
  if (axes.some((axis) => axis < 1 || axis >= rank)) throw new Refusal("one of its axes is the batch, or is none");
  return axes;
}

function reduceMean(node: GraphNode, lowering: Lowering): void {
  const { name, shape } = lowering.activation(node, 0);
  const axes = axesOf(node, lowering, shape);
  const keepdims = wholeOf(node, "keepdims", 1);
  const kept = shape.map((size, i) => (axes.includes(i + 1) ? 1 : size));
  const reduced = keepdims === 1 ? kept : shape.filter((_, i) => !axes.includes(i + 1));
  lowering.emit(node, "ReduceMean", [name], reduced, { axes, keepdims });
}

function reshaped(node: GraphNode, lowering: Lowering, shape: Shape): void {
  const { name, shape: before } = lowering.activation(node, 0);
  if (product(before) !== product(shape)) throw new Refusal(`it makes ${shape.join(" x ")} of ${before.join(" x ")}`);
  lowering.emit(node, "Reshape", [name, lowering.sizes(`${node.outputs[0]}:shape`, [0, ...shape])], shape); // 0: the batch.
}

function reshape(node: GraphNode, lowering: Lowering): void {
  const { shape } = lowering.activation(node, 0);
  const wanted = numbersOf(lowering.constant(node, 1));
  if (wholeOf(node, "allowzero", 0) !== 0) throw new Refusal("its allowzero is set");
  const [batch = 0, ...rest] = wanted.map((size, i) => (size === 0 && i > 0 ? (shape[i - 1] ?? 0) : size));
  // A file whose batch is fixed at one writes 1; a free batch may be what is left over.
  const isBatch = batch === 0 || batch === 1 || (batch === -1 && !rest.includes(-1));
  const known = product(rest.filter((size) => size !== -1));
  const shapeAfter = rest.map((size) => (size === -1 ? product(shape) / known : size));
  if (!isBatch) throw new Refusal(`it makes ${wanted.join(" x ")}, whose first axis is not the batch`);
  reshaped(node, lowering, shapeAfter);
}

function concat(node: GraphNode, lowering: Lowering): void {
  const parts = node.inputs.map((_, i) => lowering.activation(node, i));
  const [{ shape } = { shape: [] }] = parts;
  const given = wholeOf(node, "axis", 1);
  const axis = given < 0 ? given + shape.length + 1 : given;
  if (axis < 1) throw new Refusal("its axis is the batch");
  const joined = shape.map((size, i) =>
    i === axis - 1 ? parts.reduce((all, part) => all + (part.shape[i] ?? 0), 0) : size,
  );
  lowering.emit(
    node,
    "Concat",
    parts.map((part) => part.name),
    joined,
    { axis },
  );
}
