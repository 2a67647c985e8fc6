/** Writes trained numbers into the deployed file: nodes, names, inputs and outputs stay, only initializers change.
 *
 * Of a quantised model numbers are rounded as onnxruntime's quantize_static does it (static, min-max): activations from their range with
 * zero in it, weights per channel with the deployed zero point, biases in int32 in units of input scale times weight scale.
 *
 * D1. Activations are scaled first, then weights, then biases: a bias has the units of both. Where a bias would not fit into
 *     int32, or its weights are all zero, the channel's weight scale follows the bias.
 * D2. Integers of a weight stay within what the deployed ones use: a file whose weights have 7 bits (reduce_range, for processors whose
 *     int8 products saturate) keeps 7 bits. */
import { invariant } from "@tributary/kernel";
import type { GraphNode, OnnxGraph, Tensor } from "./graph.ts";
import { channelsOf, isQuantising, type Quantiser, type Storage } from "./quantised.ts";
import { numbersOf } from "./reading.ts";
import type { LogitsBias, ParameterValues, Trainable } from "./trainable.ts";

/** Of each quantised activation, by the name of its tensor in the ranges graph. */
export type Ranges = Readonly<Record<string, { readonly min: number; readonly max: number }>>;

const INT32_MAX = 2 ** 31 - 1;
/** Units of a bias whose weights are all zero. */
const LONE_BIAS_UNITS = 2 ** 24;
const LIMITS = { uint8: [0, 255], int8: [-128, 127], int32: [-INT32_MAX, INT32_MAX] } as const;

/** The mean of what the ranges graph returned for each calibration batch; outputs by their name. */
export function meanRanges(
  batches: readonly Readonly<Record<string, { readonly data: ArrayLike<number | bigint> }>>[],
): Ranges {
  const ranges: Record<string, { min: number; max: number }> = {};
  for (const batch of batches) {
    for (const [output, { data }] of Object.entries(batch)) {
      const [, side = "", tensor = ""] = /^(min|max):(.*)$/s.exec(output) ?? [];
      if (side === "") continue;
      ranges[tensor] ??= { min: 0, max: 0 };
      ranges[tensor][side as "min" | "max"] += Number(data[0]) / batches.length;
    }
  }
  return ranges;
}

/** What the deployed file quantises by: with these and the deployed numbers, `deployableGraph` writes the deployed file. */
export function deployedRanges({ deployed, quantisers }: Trainable): Ranges {
  const stored = new Map(deployed.initializers.map((tensor) => [tensor.name, tensor]));
  const ranges = quantisers.flatMap(({ scale, zeroPoint, type, tensors }) => {
    const [step, zero] = [scale, zeroPoint].map((name) => Number(stored.get(name)?.data[0])) as [number, number];
    const [least, most] = LIMITS[type];
    return tensors.map((tensor) => [tensor, { min: (least - zero) * step, max: (most - zero) * step }] as const);
  });
  return Object.fromEntries(ranges);
}

/** The ranges of a model to whose logits these numbers are added. */
export function shiftedRanges(ranges: Ranges, { tensors }: LogitsBias, correction: Float32Array): Ranges {
  const shifted = tensors.flatMap((tensor) => {
    const range = ranges[tensor];
    return range === undefined
      ? []
      : [[tensor, { min: range.min + Math.min(...correction), max: range.max + Math.max(...correction) }] as const];
  });
  return { ...ranges, ...Object.fromEntries(shifted) };
}

/** The deployed file with new numbers; `ranges` of a float model are empty. */
export function deployableGraph(trainable: Trainable, values: ParameterValues, ranges: Ranges): OnnxGraph {
  const { deployed, parameters, quantisers, storages, storedBiases } = trainable;
  const graph = withOwnZeroPoints(deployed, quantisers);
  const written = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const biases = new Map([...storedBiases].map(([bias, { weight, inputScale }]) => [weight, { bias, inputScale }]));
  const numbersFor = (name: string): Float32Array => {
    const value = values[name];
    const length = parameters.find((parameter) => parameter.name === name)?.data.length;
    invariant(value?.length === length && value !== undefined, `${name} has ${value?.length} numbers, not ${length}`);
    return value;
  };
  const scaleOf = (name: string) => Number(written.get(name)?.data[0]);
  for (const quantiser of graph.quantisers)
    for (const tensor of activation(quantiser, ranges)) written.set(tensor.name, tensor);
  for (const { name, dims } of parameters) {
    const stored = storages.get(name);
    if (stored === undefined) written.set(name, { name, type: "float32", dims, data: numbersFor(name) });
    if (stored === undefined || storedBiases.has(name)) continue;
    const bias = biases.get(name);
    const units = bias === undefined ? null : { bias: numbersFor(bias.bias), inputScale: scaleOf(bias.inputScale) };
    for (const tensor of weight(stored, numbersFor(name), written, units)) written.set(tensor.name, tensor);
  }
  for (const [name, { weight: of, inputScale }] of storedBiases) {
    const stored = storages.get(name);
    const scales = written.get(storages.get(of)?.scale ?? "");
    invariant(stored !== undefined && scales !== undefined, `${name} and its weight are stored`); // D1
    for (const tensor of bias(stored, numbersFor(name), written, scales, scaleOf(inputScale)))
      written.set(tensor.name, tensor);
  }
  return { ...deployed, nodes: graph.nodes, initializers: [...written.values()] };
}

type Quantised = Pick<OnnxGraph, "nodes" | "initializers"> & { readonly quantisers: readonly Quantiser[] };

/** Tools that join equal initializers leave one zero point for many scales; the new ones may differ. */
function withOwnZeroPoints({ nodes, initializers }: OnnxGraph, quantisers: readonly Quantiser[]): Quantised {
  const scalesOf = new Map<string, Set<string>>();
  for (const { operator, inputs } of nodes) {
    const [, scale = "", zeroPoint = ""] = inputs;
    if (!isQuantising(operator)) continue;
    scalesOf.set(zeroPoint, (scalesOf.get(zeroPoint) ?? new Set()).add(scale));
  }
  const isShared = ({ zeroPoint }: Quantiser) => (scalesOf.get(zeroPoint)?.size ?? 0) > 1;
  const nameOf = ({ scale }: Quantiser) => `${scale}:zero_point`;
  const shared = new Map(quantisers.filter(isShared).map((quantiser) => [quantiser.scale, nameOf(quantiser)]));
  const renamed = (node: GraphNode): GraphNode => {
    const [from = "", scale = ""] = node.inputs;
    const own = isQuantising(node.operator) ? shared.get(scale) : undefined;
    return own === undefined ? node : { ...node, inputs: [from, scale, own] };
  };
  return {
    nodes: nodes.map(renamed),
    initializers,
    quantisers: quantisers.map((quantiser) =>
      isShared(quantiser) ? { ...quantiser, zeroPoint: nameOf(quantiser) } : quantiser,
    ),
  };
}

/** Scale and zero point of an activation. */
function activation({ scale, zeroPoint, type, tensors, fixed }: Quantiser, ranges: Ranges): Tensor[] {
  const measured = fixed === null ? tensors.map((tensor) => rangeIn(ranges, tensor)) : [fixed];
  const min = Math.min(0, ...measured.map((range) => range.min));
  const max = Math.max(0, ...measured.map((range) => range.max));
  const [least, most] = LIMITS[type];
  const step = max > min ? Math.fround((max - min) / (most - least)) : 1;
  const zero = max > min ? roundEven(least - min / step) : 0;
  return [
    { name: scale, type: "float32", dims: [], data: Float32Array.of(step) },
    { name: zeroPoint, type, dims: [], data: integersOf(type, [clamped(zero, least, most)]) },
  ];
}

function rangeIn(ranges: Ranges, tensor: string): { readonly min: number; readonly max: number } {
  const range = ranges[tensor];
  invariant(range !== undefined, `no range of "${tensor}" was measured`);
  invariant(Number.isFinite(range.min) && range.min <= range.max, `range of "${tensor}": ${range.min} to ${range.max}`);
  return range;
}

type Units = { readonly bias: Float32Array; readonly inputScale: number };

/** Integers, scales and zero points of a weight. */
function weight(
  stored: Storage,
  values: Float32Array,
  written: ReadonlyMap<string, Tensor>,
  units: Units | null,
): Tensor[] {
  const { integers, scales, zeros } = storedOf(stored, written);
  const channels = scales.data.length;
  const channelOf = channelsOf(integers.dims, stored.axis, channels);
  const [least, most] = LIMITS[integers.type as "int8" | "uint8" | "int32"];
  const lows = new Float64Array(channels);
  const highs = new Float64Array(channels);
  for (const [i, value] of values.entries()) {
    const channel = channelOf(i);
    lows[channel] = Math.min(lows[channel] ?? 0, value);
    highs[channel] = Math.max(highs[channel] ?? 0, value);
  }
  const own = zeros === null ? new Array<number>(channels).fill(0) : numbersOf(zeros);
  const isSymmetric = own.every((zero) => zero === own[0] && Math.abs(zero - (least + most) / 2) <= 1);
  const reach = isSymmetric ? reachOf(integers, own[0] ?? 0, least, most) : most - least;
  const steps = new Float32Array(channels);
  const zeroPoints = own;
  for (let channel = 0; channel < channels; channel++) {
    const [low, high] = [lows[channel] ?? 0, highs[channel] ?? 0];
    const range = isSymmetric ? Math.max(-low, high) : high - low;
    const step = Math.max(
      range / reach,
      range > 0 ? stepMinOf(units, channel, INT32_MAX) : stepMinOf(units, channel, LONE_BIAS_UNITS),
    );
    steps[channel] = step > 0 ? step : Number(scales.data[channel]);
    if (!isSymmetric && range > 0)
      zeroPoints[channel] = clamped(roundEven(least - low / (steps[channel] ?? 1)), least, most);
  }
  const rounded = Array.from(values, (value, i) => {
    const channel = channelOf(i);
    return clamped(roundEven(value / (steps[channel] ?? 1)) + (zeroPoints[channel] ?? 0), least, most);
  });
  return [
    { ...integers, data: integersOf(integers.type, rounded) },
    { ...scales, data: steps },
    ...(zeros === null ? [] : [{ ...zeros, data: integersOf(zeros.type, zeroPoints) }]),
  ];
}

/** How far integers go from their zero point: 7 bits where the deployed ones do not use the eighth (D2). */
function reachOf(integers: Tensor, zero: number, least: number, most: number): number {
  const full = Math.min(most - zero, zero - least);
  const half = Math.ceil(full / 2);
  return numbersOf(integers).every((value) => Math.abs(value - zero) <= half) ? half : full;
}

/** The least scale of a channel's weights with which its bias has at most `most` units (D1). */
function stepMinOf(units: Units | null, channel: number, most: number): number {
  return units === null ? 0 : Math.abs(units.bias[channel] ?? 0) / (units.inputScale * most);
}

/** Integers and scales of a bias; its zero point is zero. */
function bias(
  stored: Storage,
  values: Float32Array,
  written: ReadonlyMap<string, Tensor>,
  weightScales: Tensor,
  inputScale: number,
): Tensor[] {
  const { integers, scales } = storedOf(stored, written);
  const steps = Float32Array.from(numbersOf(scales), (_, channel) => {
    return Number(weightScales.data[weightScales.data.length === 1 ? 0 : channel]) * inputScale;
  });
  const rounded = Array.from(values, (value, i) => {
    return clamped(roundEven(value / (steps[steps.length === 1 ? 0 : i] ?? 1)), -INT32_MAX, INT32_MAX);
  });
  return [
    { ...integers, data: integersOf("int32", rounded) },
    { ...scales, data: steps },
  ];
}

function storedOf({ values, scale, zeroPoint }: Storage, written: ReadonlyMap<string, Tensor>) {
  const [integers, scales] = [written.get(values), written.get(scale)];
  invariant(integers !== undefined && scales !== undefined, `${values} is stored`);
  return { integers, scales, zeros: written.get(zeroPoint) ?? null };
}

function integersOf(type: Tensor["type"], values: readonly number[]): Tensor["data"] {
  if (type === "int8") return Int8Array.from(values);
  return type === "uint8" ? Uint8Array.from(values) : Int32Array.from(values);
}

const clamped = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

/** Halves go to the even neighbour, as NumPy and ONNX Runtime round. */
function roundEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
