/** Takes the quantisation out of a graph. What onnxruntime's quantize_static writes (QDQ: QuantizeLinear, DequantizeLinear) rounds
 * activations and stores weights as integers; without it the same nodes compute in float32.
 *
 * An activation's pair becomes an alias of the float tensor; a stored weight becomes a float tensor that can be trained. The
 * quantiser left out a Relu (a Clip from 0 to 6) where its own range cuts at the same place: it is put into the graph again,
 * or a trained model would be another function than the deployed one. */

import type { GraphNode, OnnxGraph, Tensor } from "./graph.ts";
import { wholeOf } from "./reading.ts";

/** Scale and zero point of activations: names of two initializers. Pairs that share a scale share their range. */
export type Quantiser = {
  readonly scale: string;
  readonly zeroPoint: string;
  readonly type: "uint8" | "int8";
  /** In the float graph. */
  readonly tensors: readonly string[];
  /** A range that a Clip fixes. */
  readonly fixed: { readonly min: number; readonly max: number } | null;
};

/** Integers that a weight or bias is stored as: names of initializers. */
export type Storage = {
  readonly values: string;
  readonly scale: string;
  /** Empty: zero. */
  readonly zeroPoint: string;
  readonly axis: number;
};

export type FloatGraph = {
  readonly nodes: readonly GraphNode[];
  /** By the name that nodes read them by. A stored weight is named as its integers are, without the ending of quantize_static. */
  readonly constants: ReadonlyMap<string, Tensor>;
  /** By the name of the weight. */
  readonly storages: ReadonlyMap<string, Storage>;
  readonly quantisers: readonly Quantiser[];
  /** The name in the float graph of a tensor of the deployed one. */
  resolve(name: string): string;
  /** The quantiser's scale of a tensor as a node of the deployed graph reads it; null: it is float. */
  scaleOf(name: string): string | null;
};

export type Refuse = (node: GraphNode, why: string) => void;

const QUANTISE = "QuantizeLinear";
const DEQUANTISE = "DequantizeLinear";
export const isQuantising = (operator: string): boolean => operator === QUANTISE || operator === DEQUANTISE;

const CUT_BY_QUANTISER = new Set(["Conv", "Add", "Gemm", "MatMul", "BatchNormalization"]);
const RELU6 = 6;

export function withoutQuantisers(graph: OnnxGraph, refuse: Refuse): FloatGraph {
  const initializers = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const constants = new Map(initializers);
  const storages = new Map<string, Storage>();
  const aliases = new Map<string, string>();
  const scales = new Map<string, string>();
  const producers = new Map<string, GraphNode>();
  const quantisers = new Map<string, Quantiser>();
  const nodes: GraphNode[] = [];
  const resolve = (name: string): string => aliases.get(name) ?? name;
  for (const node of graph.nodes) {
    const [from = "", scale = "", zeroPoint = ""] = node.inputs;
    const to = node.outputs[0] ?? "";
    if (node.operator === DEQUANTISE && initializers.has(from)) {
      const rank = initializers.get(from)?.dims.length ?? 0;
      const axis = wholeOf(node, "axis", 1);
      const stored = { values: from, scale, zeroPoint, axis: axis < 0 ? axis + rank : axis };
      const short = from.replace(/_quantized$/, "");
      const name = initializers.has(short) ? from : short;
      const weights = dequantised(name, stored, initializers);
      if (weights === null) refuse(node, "its integers, scales and zero points do not match, or are no constants");
      else constants.set(to, weights);
      if ((storages.get(name)?.scale ?? scale) !== scale) refuse(node, "its integers are read with other scales, too");
      storages.set(name, stored);
    } else if (node.operator === QUANTISE && initializers.has(resolve(from))) {
      refuse(node, "it quantises a constant");
    } else if (node.operator === QUANTISE) {
      const source = resolve(from);
      const range = rangeOf(node, initializers);
      if (range === null) refuse(node, "only one scale and zero point, of uint8 or int8, is read");
      const cut = range === null ? null : cutOf(range, producers.get(source));
      const target = cut === null ? source : `${source}:${cut.operator}`;
      if (cut !== null && !producers.has(target)) {
        const added = { name: target, inputs: [source], outputs: [target], ...cut };
        nodes.push(added);
        producers.set(target, added);
      }
      aliases.set(to, target);
      const known = quantisers.get(scale);
      const tensors = [...new Set([...(known?.tensors ?? []), target])];
      const fixed = cut?.operator === "Clip" ? { min: 0, max: RELU6 } : (known?.fixed ?? null);
      quantisers.set(scale, { scale, zeroPoint, type: range?.type ?? "uint8", tensors, fixed });
    } else if (node.operator === DEQUANTISE) {
      aliases.set(to, resolve(from));
      scales.set(to, scale);
    } else if (node.operator === "Identity" || node.operator === "Dropout") {
      aliases.set(to, resolve(from));
      const read = scales.get(from);
      if (read !== undefined) scales.set(to, read);
    } else {
      const own = { ...node, inputs: node.inputs.map(resolve) };
      nodes.push(own);
      for (const output of node.outputs) producers.set(output, own);
    }
  }
  return {
    nodes,
    constants,
    storages,
    quantisers: [...quantisers.values()],
    resolve,
    scaleOf: (name) => scales.get(name) ?? null,
  };
}

type QuantisedRange = { readonly type: "uint8" | "int8"; readonly cutsAtZero: boolean; readonly max: number };

function rangeOf(node: GraphNode, initializers: ReadonlyMap<string, Tensor>): QuantisedRange | null {
  const scale = initializers.get(node.inputs[1] ?? "");
  const zeroPoint = initializers.get(node.inputs[2] ?? "");
  if (scale?.data.length !== 1 || zeroPoint?.data.length !== 1) return null;
  if (zeroPoint.type !== "uint8" && zeroPoint.type !== "int8") return null;
  const zero = Number(zeroPoint.data[0]) - (zeroPoint.type === "int8" ? -128 : 0);
  return { type: zeroPoint.type, cutsAtZero: zero === 0, max: Number(scale.data[0]) * (255 - zero) };
}

/** The operator that the quantiser does the work of. */
function cutOf(
  { cutsAtZero, max }: QuantisedRange,
  producer: GraphNode | undefined,
): Pick<GraphNode, "operator" | "attributes"> | null {
  if (!cutsAtZero || producer === undefined || !CUT_BY_QUANTISER.has(producer.operator)) return null;
  if (Math.abs(max - RELU6) > 1e-5) return { operator: "Relu", attributes: {} };
  return { operator: "Clip", attributes: { min: { float: 0 }, max: { float: RELU6 } } };
}

function dequantised(name: string, stored: Storage, initializers: ReadonlyMap<string, Tensor>): Tensor | null {
  const values = initializers.get(stored.values);
  const scales = initializers.get(stored.scale);
  const zeros = stored.zeroPoint === "" ? null : initializers.get(stored.zeroPoint);
  if (values === undefined || scales?.type !== "float32" || zeros === undefined) return null;
  if (values.type !== "int8" && values.type !== "uint8" && values.type !== "int32") return null;
  const channels = scales.data.length;
  if (channels > 1 && values.dims[stored.axis] !== channels) return null;
  if (zeros !== null && zeros.data.length !== channels) return null;
  const data = new Float32Array(values.data.length);
  const channelOf = channelsOf(values.dims, stored.axis, channels);
  for (let i = 0; i < data.length; i++) {
    const channel = channelOf(i);
    data[i] = (Number(values.data[i]) - Number(zeros?.data[channel] ?? 0)) * Number(scales.data[channel]);
  }
  return { name, type: "float32", dims: values.dims, data };
}

/** The channel of the i-th number of a tensor whose scales are along `axis`. */
export function channelsOf(dims: readonly number[], axis: number, channels: number): (i: number) => number {
  if (channels === 1) return () => 0;
  const inner = dims.slice(axis + 1).reduce((all, size) => all * size, 1);
  return (i) => Math.floor(i / inner) % channels;
}
