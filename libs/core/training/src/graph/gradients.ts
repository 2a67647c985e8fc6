/** The gradient of each lowered operator (lowering.ts), as nodes of opset 17.
 *
 * Reverse accumulation: the gradient of a node's output is the sum of what the nodes after it gave. A rule gives its inputs theirs
 * where they are wanted. A convolution's weight takes its gradient from one matrix product (im2col), which ONNX Runtime does
 * about as fast as its own convolution; its data take theirs from a convolution by the flipped weight, or, where a stride left
 * pixels out, from a transposed one. */

import type { GraphNode } from "./graph.ts";
import type { GraphBuilder } from "./graph-builder.ts";
import type { Shape } from "./lowering.ts";
import { product, wholeOf, wholesOf } from "./reading.ts";

export type Backward = {
  readonly builder: GraphBuilder;
  /** The name in the training graph of a tensor of the lowered one. */
  value(name: string): string;
  /** Of one frame; of a parameter or constant: all of it. */
  shapeOf(name: string): Shape;
  isActivation(name: string): boolean;
  /** Calls `gradient` only if the tensor's gradient is wanted. */
  give(name: string, gradient: () => string): void;
};

type Rule = (node: GraphNode, gradient: string, backward: Backward) => void;

const END = 2 ** 31 - 1;

export const gradientRules: Readonly<Record<string, Rule>> = {
  Conv: conv,
  Gemm: gemm,
  MatMul: matMul,
  Add: (node, gradient, backward) => {
    for (const name of node.inputs) backward.give(name, () => reducedTo(name, node, gradient, backward));
  },
  Mul: (node, gradient, backward) => {
    const [a = "", b = ""] = node.inputs;
    const times = (other: string) => backward.builder.node("Mul", [gradient, backward.value(other)]);
    backward.give(a, () => reducedTo(a, node, times(b), backward));
    backward.give(b, () => reducedTo(b, node, times(a), backward));
  },
  Relu: (node, gradient, { builder, value, give }) => {
    const isActive = () => builder.node("Greater", [value(outputOf(node)), builder.float(0)]);
    give(inputOf(node), () => builder.node("Where", [isActive(), gradient, builder.float(0)]));
  },
  Clip: (node, gradient, { builder, value, give }) => {
    const [x = "", min = "", max = ""] = node.inputs;
    give(x, () => {
      const isAbove = builder.node("Greater", [value(x), value(min)]);
      const isInside = builder.node("And", [isAbove, builder.node("Less", [value(x), value(max)])]);
      return builder.node("Where", [isInside, gradient, builder.float(0)]);
    });
  },
  Erf: (node, gradient, { builder, value, give }) => {
    const x = value(inputOf(node));
    give(inputOf(node), () => {
      const bell = builder.node("Exp", [builder.node("Neg", [builder.node("Mul", [x, x])])]);
      return builder.node("Mul", [gradient, builder.node("Mul", [bell, builder.float(2 / Math.sqrt(Math.PI))])]);
    });
  },
  Sigmoid: (node, gradient, { builder, value, give }) => {
    const y = value(outputOf(node));
    give(inputOf(node), () => {
      const slope = builder.node("Mul", [y, builder.node("Sub", [builder.float(1), y])]);
      return builder.node("Mul", [gradient, slope]);
    });
  },
  ReduceMean: (node, gradient, { builder, value, shapeOf, give }) => {
    const x = inputOf(node);
    const axes = wholesOf(node, "axes") ?? [];
    const count = product(axes.map((axis) => shapeOf(x)[axis - 1] ?? 1));
    give(x, () => {
      const share = builder.node("Mul", [gradient, builder.float(1 / count)]);
      const kept =
        wholeOf(node, "keepdims", 1) === 1 ? share : builder.node("Unsqueeze", [share, builder.wholes(...axes)]);
      return builder.node("Expand", [kept, builder.node("Shape", [value(x)])]);
    });
  },
  AveragePool: averagePool,
  MaxPool: maxPool,
  Reshape: (node, gradient, { builder, shapeOf, give }) => {
    const x = inputOf(node);
    give(x, () => builder.node("Reshape", [gradient, builder.wholes(0, ...shapeOf(x))]));
  },
  Transpose: (node, gradient, { builder, give }) => {
    const perm = wholesOf(node, "perm") ?? [];
    give(inputOf(node), () =>
      builder.node("Transpose", [gradient], { perm: perm.map((_, axis) => perm.indexOf(axis)) }),
    );
  },
  Concat: (node, gradient, { builder, shapeOf, give }) => {
    const axis = wholeOf(node, "axis", 1);
    let start = 0;
    for (const name of node.inputs) {
      const [from, to] = [start, start + (shapeOf(name)[axis - 1] ?? 0)];
      give(name, () =>
        builder.node("Slice", [gradient, builder.wholes(from), builder.wholes(to), builder.wholes(axis)]),
      );
      start = to;
    }
  },
};

/** MaxPool's second output: where in its input each maximum is. */
export const indicesOf = (node: GraphNode): string => `${outputOf(node)}:indices`;

const inputOf = (node: GraphNode): string => node.inputs[0] ?? "";
const outputOf = (node: GraphNode): string => node.outputs[0] ?? "";

/** Sums the gradient of a node's output over the axes along which its input was repeated. */
function reducedTo(name: string, node: GraphNode, gradient: string, backward: Backward): string {
  const { builder, shapeOf, isActivation } = backward;
  const full = shapeOf(outputOf(node));
  const shape = shapeOf(name);
  // Of an activation the batch stays; the axes of a parameter are aligned from the right, and the batch is summed.
  const own = isActivation(name) ? [0, ...shape] : [...Array(full.length + 1 - shape.length).fill(1), ...shape];
  const axes = own.flatMap((size, axis) =>
    axis === 0 ? (size === 0 ? [] : [0]) : size === full[axis - 1] ? [] : [axis],
  );
  const sum =
    axes.length === 0 ? gradient : builder.node("ReduceSum", [gradient, builder.wholes(...axes)], { keepdims: 1 });
  return isActivation(name) ? sum : builder.node("Reshape", [sum, builder.wholes(...shape)]);
}

function gemm(node: GraphNode, gradient: string, { builder, value, shapeOf, give }: Backward): void {
  const [x = "", weight = "", bias = ""] = node.inputs;
  const isTransposed = wholeOf(node, "transB", 0) === 1;
  give(weight, () => {
    const pair = isTransposed ? [gradient, value(x)] : [value(x), gradient];
    return builder.node("Gemm", pair, { transA: 1 });
  });
  give(bias, () => {
    const sum = builder.node("ReduceSum", [gradient, builder.wholes(0)], { keepdims: 0 });
    return builder.node("Reshape", [sum, builder.wholes(...shapeOf(bias))]);
  });
  give(x, () => builder.node("Gemm", [gradient, value(weight)], { transB: isTransposed ? 0 : 1 }));
}

function matMul(node: GraphNode, gradient: string, { builder, value, shapeOf, give }: Backward): void {
  const [x = "", weight = ""] = node.inputs;
  const [inner = 0, outer = 0] = shapeOf(weight);
  give(weight, () => {
    const rows = builder.node("Reshape", [value(x), builder.wholes(-1, inner)]);
    return builder.node("Gemm", [rows, builder.node("Reshape", [gradient, builder.wholes(-1, outer)])], { transA: 1 });
  });
  give(x, () => builder.node("MatMul", [gradient, builder.node("Transpose", [value(weight)], { perm: [1, 0] })]));
}

type Window = {
  readonly kernel: Shape;
  readonly strides: Shape;
  readonly pads: Shape;
  readonly dilations: Shape;
  /** Rows and columns of the output. */
  readonly size: Shape;
};

function windowOf(node: GraphNode, shapeOf: Backward["shapeOf"]): Window {
  return {
    kernel: wholesOf(node, "kernel_shape") ?? [],
    strides: wholesOf(node, "strides") ?? [1, 1],
    pads: wholesOf(node, "pads") ?? [0, 0, 0, 0],
    dilations: wholesOf(node, "dilations") ?? [1, 1],
    size: shapeOf(outputOf(node)).slice(1),
  };
}

const at = (sizes: Shape, i: number): number => sizes[i] ?? 0;

function conv(node: GraphNode, gradient: string, backward: Backward): void {
  const [x = "", weight = "", bias = ""] = node.inputs;
  const { builder, give } = backward;
  give(bias, () => builder.node("ReduceSum", [gradient, builder.wholes(0, 2, 3)], { keepdims: 0 }));
  give(weight, () => weightGradient(node, gradient, backward));
  give(x, () => dataGradient(node, gradient, backward));
}

function weightGradient(node: GraphNode, gradient: string, { builder, value, shapeOf }: Backward): string {
  const [x = "", weight = ""] = node.inputs;
  const window = windowOf(node, shapeOf);
  const [outputs = 0, inputsPerGroup = 0, taps = 0, columns = 0] = shapeOf(weight);
  const groups = wholeOf(node, "group", 1);
  const pixels = product(window.size);
  const [, ...before] = shapeOf(x);
  const rows = builder.node("Reshape", [gradient, builder.wholes(0, groups, outputs / groups, pixels)]);
  const gradients = builder.node("Transpose", [rows], { perm: [0, 1, 3, 2] });
  const products = patchesOf(value(x), before, window, builder).map((patches) => {
    let byGroup = builder.node("Reshape", [patches, builder.wholes(0, columns, groups, inputsPerGroup, pixels)]);
    if (groups > 1) byGroup = builder.node("Transpose", [byGroup], { perm: [0, 2, 1, 3, 4] });
    byGroup = builder.node("Reshape", [byGroup, builder.wholes(0, groups, columns * inputsPerGroup, pixels)]);
    const sums = builder.node("MatMul", [byGroup, gradients]);
    return builder.node("ReduceSum", [sums, builder.wholes(0)], { keepdims: 0 });
  });
  const all = products.length === 1 ? (products[0] ?? "") : builder.node("Concat", products, { axis: 1 });
  const split = builder.node("Reshape", [all, builder.wholes(groups, taps, columns, inputsPerGroup, outputs / groups)]);
  const ordered = builder.node("Transpose", [split], { perm: [0, 4, 3, 1, 2] });
  return builder.node("Reshape", [ordered, builder.wholes(...shapeOf(weight))]);
}

/**
 * im2col, a row of the kernel at a time: for every pixel of the output, the inputs under that row; N x (columns of the kernel x
 * channels) x rows x columns. Columns are shifted first, once for all rows of the kernel; rows are then copied as whole.
 */
function patchesOf(
  x: string,
  before: Shape,
  { kernel, strides, pads, dilations, size }: Window,
  builder: GraphBuilder,
) {
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const isPadded = pads.some((pad) => pad > 0);
  const padded = isPadded ? builder.node("Pad", [x, builder.wholes(0, 0, top, left, 0, 0, bottom, right)]) : x;
  const lengths = [at(before, 0) + top + bottom, at(before, 1) + left + right];
  const shifted = (tensor: string, axis: number, tap: number) => {
    const [stride, count] = [at(strides, axis), at(size, axis)];
    const start = tap * at(dilations, axis);
    if (count === at(lengths, axis)) return tensor;
    const bounds = [builder.wholes(start), builder.wholes(start + (count - 1) * stride + 1)];
    return builder.node("Slice", [tensor, ...bounds, builder.wholes(axis + 2), builder.wholes(stride)]);
  };
  const columns = Array.from({ length: at(kernel, 1) }, (_, tap) => shifted(padded, 1, tap));
  const joined = columns.length === 1 ? (columns[0] ?? "") : builder.node("Concat", columns, { axis: 1 });
  return Array.from({ length: at(kernel, 0) }, (_, tap) => shifted(joined, 0, tap));
}

function dataGradient(node: GraphNode, gradient: string, { builder, value, shapeOf }: Backward): string {
  const [x = "", weight = ""] = node.inputs;
  const { kernel, strides, pads, dilations, size } = windowOf(node, shapeOf);
  const [channels = 0, ...before] = shapeOf(x);
  const [outputs = 0, inputsPerGroup = 0] = shapeOf(weight);
  const group = wholeOf(node, "group", 1);
  const reach = kernel.map((taps, i) => (taps - 1) * at(dilations, i));
  const rest = pads.map((pad, i) => at(reach, i % 2) - pad);
  if (strides.some((stride) => stride > 1) || rest.some((pad) => pad < 0)) {
    const output_padding = before.map((pixels, i) => {
      const covered = (at(size, i) - 1) * at(strides, i) + at(reach, i) + 1;
      return pixels + at(pads, i) + at(pads, i + 2) - covered;
    });
    const attributes = { kernel_shape: kernel, strides, pads, dilations, group, output_padding };
    return builder.node("ConvTranspose", [gradient, value(weight)], attributes);
  }
  let turned = value(weight);
  if (group === 1) turned = builder.node("Transpose", [turned], { perm: [1, 0, 2, 3] });
  else {
    turned = builder.node("Reshape", [turned, builder.wholes(group, outputs / group, inputsPerGroup, ...kernel)]);
    turned = builder.node("Transpose", [turned], { perm: [0, 2, 1, 3, 4] });
    turned = builder.node("Reshape", [turned, builder.wholes(channels, outputs / group, ...kernel)]);
  }
  if (product(kernel) > 1) {
    const bounds = [builder.wholes(-1, -1), builder.wholes(-END, -END)];
    turned = builder.node("Slice", [turned, ...bounds, builder.wholes(2, 3), builder.wholes(-1, -1)]);
  }
  return builder.node("Conv", [gradient, turned], {
    kernel_shape: kernel,
    strides: [1, 1],
    pads: rest,
    dilations,
    group,
  });
}

/** Every output pixel gives each input under its window the same share. */
function averagePool(node: GraphNode, gradient: string, { builder, shapeOf, give }: Backward): void {
  const x = inputOf(node);
  give(x, () => {
    const { kernel, strides, pads, size } = windowOf(node, shapeOf);
    const shape = shapeOf(x);
    const shares = sharesOf(node, shape, shapeOf);
    const share = builder.constant({
      name: `${x}:shares:${outputOf(node)}`,
      type: "float32",
      dims: [1, 1, ...size],
      data: shares,
    });
    const planes = builder.node("Reshape", [builder.node("Mul", [gradient, share]), builder.wholes(-1, 1, ...size)]);
    const data = new Float32Array(product(kernel)).fill(1);
    const ones = builder.constant({ name: `ones:${kernel.join(",")}`, type: "float32", dims: [1, 1, ...kernel], data });
    const output_padding = shape.slice(1).map((pixels, i) => {
      const covered = (at(size, i) - 1) * at(strides, i) + at(kernel, i);
      return pixels + at(pads, i) + at(pads, i + 2) - covered;
    });
    const spread = builder.node("ConvTranspose", [planes, ones], {
      kernel_shape: kernel,
      strides,
      pads,
      output_padding,
    });
    return builder.node("Reshape", [spread, builder.wholes(-1, ...shape)]);
  });
}

/** Of each output pixel: one over the number of inputs that its mean is of. */
function sharesOf(node: GraphNode, shape: Shape, shapeOf: Backward["shapeOf"]): Float32Array {
  const { kernel, strides, pads, size } = windowOf(node, shapeOf);
  const countsPads = wholeOf(node, "count_include_pad", 0) === 1;
  const counts = [0, 1].map((axis) =>
    Array.from({ length: at(size, axis) }, (_, i) => {
      if (countsPads) return at(kernel, axis);
      const start = i * at(strides, axis) - at(pads, axis);
      return Math.min(start + at(kernel, axis), at(shape, axis + 1)) - Math.max(start, 0);
    }),
  );
  const [rows = [], columns = []] = counts;
  return Float32Array.from(rows.flatMap((row) => columns.map((column) => 1 / (row * column))));
}

/** The gradient of a maximum is added where ONNX Runtime found it; windows may overlap. */
function maxPool(node: GraphNode, gradient: string, { builder, value, shapeOf, give }: Backward): void {
  const x = inputOf(node);
  give(x, () => {
    const flat = (name: string) => builder.node("Reshape", [name, builder.wholes(-1)]);
    const zeros = builder.node("ConstantOfShape", [builder.node("Shape", [flat(value(x))])]);
    const places = [zeros, flat(value(indicesOf(node))), flat(gradient)];
    const sums = builder.node("ScatterElements", places, { axis: 0, reduction: "add" });
    return builder.node("Reshape", [sums, builder.wholes(-1, ...shapeOf(x))]);
  });
}
