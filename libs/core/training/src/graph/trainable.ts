/** A deployed model as a float graph that can be differentiated, with a plan of how new numbers are written into its file.
 *
 * The graph is the deployed one without quantisation (quantised.ts) in a few operators (lowering.ts). Its parameters are all
 * weights and biases that these operators read, in float32; everything else stays as it is deployed. */
import { Failure } from "@tributary/kernel";
import type { GraphNode, OnnxGraph, TensorInfo } from "./graph.ts";
import { type Lowered, lower } from "./lowering.ts";
import { type FloatGraph, type Quantiser, type Storage, withoutQuantisers } from "./quantised.ts";

/** A weight or bias that can be trained, in float32 also where the deployed file is quantised. */
export type Parameter = {
  /** Of the deployed file's tensor, without the ending of a quantised one. */
  readonly name: string;
  readonly dims: readonly number[];
  /** The deployed numbers. */
  readonly data: Float32Array;
};

/** Numbers of every parameter, by its name. */
export type ParameterValues = Readonly<Record<string, Float32Array>>;

/** A bias in int32 is stored in units of its input's scale times its weight's. */
export type StoredBias = { readonly weight: string; readonly inputScale: string };

export type Trainable = {
  readonly deployed: OnnxGraph;
  /** Name and shape of the input; its batch is free. */
  readonly input: TensorInfo;
  readonly classes: number;
  readonly parameters: readonly Parameter[];
  /** Quantised activations: without any there is nothing to calibrate. */
  readonly isQuantised: boolean;
  readonly lowered: Lowered;
  /** Names in the lowered graph. */
  readonly logits: string;
  readonly features: string | null;
  readonly quantisers: readonly Quantiser[];
  /** By the parameter's name; without one it is a float initializer. */
  readonly storages: ReadonlyMap<string, Storage>;
  readonly storedBiases: ReadonlyMap<string, StoredBias>;
};

export type TrainableTensors = {
  readonly input: string;
  readonly logits: string;
  /** Undefined or null: the model has no such output. */
  readonly features?: string | null;
};

/** Names of what the training graphs read and write beside parameters. */
const RESERVED = new Set(["target", "loss", "logits", "features"]);
const WEIGHTED = new Set(["Conv", "Gemm", "MatMul"]);
const REFUSED_MAX = 20;

/** Throws a Failure: `training-operator-unsupported`, `training-graph-unsupported`. */
export function trainableOf(graph: OnnxGraph, tensors: TrainableTensors): Trainable {
  const refused: string[] = [];
  const refuse = ({ operator, name }: GraphNode, why: string) => {
    refused.push(why === "" ? `${operator} ("${name}")` : `${operator} ("${name}": ${why})`);
  };
  const input = inputOf(graph, tensors.input);
  for (const name of [tensors.logits, tensors.features ?? tensors.logits]) {
    if (!graph.outputs.some((output) => output.name === name)) throw unsupported(`it has no output "${name}"`);
  }
  const float = withoutQuantisers(graph, refuse);
  const logits = float.resolve(tensors.logits);
  const features = tensors.features == null ? null : float.resolve(tensors.features);
  const live = leadingTo(float.nodes, features === null ? [logits] : [logits, features]);
  const lowered = lower(live, { name: input.name, shape: input.shape.slice(1).map(Number) }, float.constants, refuse);
  if (refused.length === 0) checkScales(graph, float, refuse);
  if (refused.length > 0) throw refusal(refused);
  const [classes = 0, ...more] = lowered.shapes.get(logits) ?? [];
  if (more.length > 0 || classes < 2) throw unsupported(`"${tensors.logits}" is not one number per class`);
  const parameters = parametersOf(float, lowered);
  for (const name of [input.name, ...parameters.map((parameter) => parameter.name)]) {
    if (RESERVED.has(name)) throw unsupported(`a tensor is named "${name}", as one of the training's own; rename it`);
  }
  if (parameters.length === 0) throw unsupported("it has no weights that can be trained");
  const quantisers = float.quantisers
    .map((quantiser) => ({ ...quantiser, tensors: quantiser.tensors.filter((tensor) => lowered.shapes.has(tensor)) }))
    .filter((quantiser) => quantiser.tensors.length > 0);
  return {
    deployed: graph,
    input,
    classes,
    parameters,
    isQuantised: quantisers.length > 0,
    lowered,
    logits,
    features,
    quantisers,
    storages: new Map([...float.storages].filter(([name]) => lowered.parameters.includes(name))),
    storedBiases: storedBiasesOf(graph, float),
  };
}

/** Names of the last layer's parameters. */
export function lastLayer({ lowered }: Trainable): readonly string[] {
  const last = lowered.nodes.findLastIndex(({ operator }) => WEIGHTED.has(operator));
  const read = new Set(lowered.nodes.slice(last).flatMap(({ inputs }) => inputs));
  return lowered.parameters.filter((name) => read.has(name));
}

export type LogitsBias = {
  readonly name: string;
  /** Tensors that what is added to it moves by as much. */
  readonly tensors: readonly string[];
};

/** What hands on to the logits, as much moved, what was added to all numbers of a class. */
const HANDS_ON = new Set(["Reshape", "ReduceMean"]);

/** The parameter that is added to the logits, one number per class; null: there is none, or something else reads it as well. */
export function logitsBias({ lowered, logits, parameters, classes }: Trainable): LogitsBias | null {
  const tensors = [logits];
  const writer = (tensor: string) => lowered.nodes.find(({ outputs }) => outputs.includes(tensor));
  let node = writer(logits);
  while (node !== undefined && HANDS_ON.has(node.operator)) {
    const [from = ""] = node.inputs;
    tensors.push(from);
    node = writer(from);
  }
  const added =
    node?.operator === "Add" ? node.inputs : WEIGHTED.has(node?.operator ?? "") ? node?.inputs.slice(2) : [];
  const bias = parameters.find(({ name, data }) => added?.includes(name) && data.length === classes);
  const readers = lowered.nodes.filter(({ inputs }) => bias !== undefined && inputs.includes(bias.name));
  return bias !== undefined && readers.length === 1 ? { name: bias.name, tensors } : null;
}

function inputOf({ inputs, initializers }: OnnxGraph, name: string): TensorInfo {
  const stored = new Set(initializers.map((tensor) => tensor.name));
  const real = inputs.filter((input) => !stored.has(input.name));
  const [input] = real;
  if (input === undefined || real.length > 1 || input.name !== name) {
    throw unsupported(`its inputs are ${real.map((one) => `"${one.name}"`).join(", ")}, not "${name}" alone`);
  }
  const [batch, ...shape] = input.shape;
  if (input.type !== "float32" || batch === undefined) throw unsupported(`its input is ${input.type}, not float32`);
  if (shape.some((size) => typeof size !== "number" || size < 1)) {
    throw unsupported(
      `"${name}" has a free size beside its batch: ${input.shape.join(" x ")}; export it with fixed ones`,
    );
  }
  return { ...input, shape: ["N", ...shape] };
}

/** The nodes that some of `wanted` needs. */
function leadingTo(nodes: readonly GraphNode[], wanted: readonly string[]): GraphNode[] {
  const needed = new Set(wanted);
  const live: GraphNode[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) needed.add(input);
    live.push(node);
  }
  return live.reverse();
}

function parametersOf(float: FloatGraph, lowered: Lowered): Parameter[] {
  const byName = new Map([...float.constants.values()].map((tensor) => [tensor.name, tensor]));
  return lowered.parameters.flatMap((name) => {
    const tensor = byName.get(name);
    return tensor?.data instanceof Float32Array ? [{ name, dims: tensor.dims, data: tensor.data }] : [];
  });
}

function* biasedNodes(graph: OnnxGraph, float: FloatGraph) {
  const types = new Map(graph.initializers.map(({ name, type }) => [name, type]));
  const nameOf = (input: string | undefined) => float.constants.get(float.resolve(input ?? ""))?.name ?? "";
  for (const node of graph.nodes) {
    if (node.operator !== "Conv" && node.operator !== "Gemm") continue;
    const [bias, weight] = [nameOf(node.inputs[2]), nameOf(node.inputs[1])];
    if (types.get(float.storages.get(bias)?.values ?? "") !== "int32") continue;
    yield { node, bias, weight, inputScale: float.scaleOf(node.inputs[0] ?? "") };
  }
}

/** Every scale that is written must have one owner; quantize_static gives each tensor its own. */
function checkScales(graph: OnnxGraph, float: FloatGraph, refuse: (node: GraphNode, why: string) => void): void {
  const owners = new Map<string, string>();
  const own = (scale: string, owner: string, node: GraphNode) => {
    const known = owners.get(scale) ?? owner;
    if (known !== owner) refuse(node, `scale "${scale}" is that of ${known}, too`);
    owners.set(scale, known);
  };
  for (const node of graph.nodes) {
    const [from = "", scale = ""] = node.inputs;
    if (node.operator === "QuantizeLinear") own(scale, "activations", node);
    if (node.operator === "DequantizeLinear")
      own(scale, float.scaleOf(node.outputs[0] ?? "") === null ? from : "activations", node);
  }
  const biases = new Map<string, string>();
  for (const { node, bias, weight, inputScale } of biasedNodes(graph, float)) {
    const use = `${weight} ${inputScale}`;
    if (inputScale === null || !float.storages.has(weight))
      refuse(node, "its bias is quantised, its input or weight is not");
    else if ((biases.get(bias) ?? use) !== use) refuse(node, "its bias is that of another node, too");
    biases.set(bias, use);
  }
}

function storedBiasesOf(graph: OnnxGraph, float: FloatGraph): Map<string, StoredBias> {
  const biases = new Map<string, StoredBias>();
  for (const { bias, weight, inputScale } of biasedNodes(graph, float)) {
    if (inputScale !== null) biases.set(bias, { weight, inputScale });
  }
  return biases;
}

const OTHERWISE = "train it with a backend command";

function refusal(refused: readonly string[]): Failure {
  const more = refused.length > REFUSED_MAX ? ` and ${refused.length - REFUSED_MAX} more` : "";
  const names = refused.slice(0, REFUSED_MAX).join(", ");
  const message = `the model has operators that cannot be trained here: ${names}${more}; ${OTHERWISE}`;
  return new Failure("training-operator-unsupported", "give-up", message);
}

const unsupported = (what: string): Failure =>
  new Failure("training-graph-unsupported", "give-up", `the model cannot be trained here: ${what}, or ${OTHERWISE}`);
