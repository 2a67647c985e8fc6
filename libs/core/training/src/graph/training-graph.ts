/** The graphs that training runs, in stock operators of opset 17: a training step needs ONNX Runtime and no framework (ADR 50).
 *
 * All read the model's input and every parameter by its name, so that one session serves every step. Tensors of the deployed graph
 * are named `value:TENSOR`, which no parameter is. */
import { invariant } from "@tributary/kernel";
import { type Backward, gradientRules, indicesOf } from "./gradients.ts";
import type { GraphNode, OnnxGraph, TensorInfo } from "./graph.ts";
import { GraphBuilder } from "./graph-builder.ts";
import type { Parameter, Trainable } from "./trainable.ts";

/** Inputs: the model's input, `target` (float32, N x classes: probabilities) and every parameter by its name. Outputs: `loss` (mean
 * cross entropy), `logits` and `gradient:PARAMETER`, of the parameters in `only` or of all. */
export function gradientGraph(trainable: Trainable, only?: readonly string[]): OnnxGraph {
  const { input, classes, parameters } = trainable;
  const wanted = parameters.filter(({ name }) => only === undefined || only.includes(name));
  invariant(only === undefined || wanted.length === only.length, `parameters of the model: ${only?.join(", ")}`);
  const builder = new GraphBuilder();
  const value = forward(trainable, builder, true);
  const { logits, gradient } = lossOf(value(trainable.logits), input.name, builder);
  const gradients = backward(trainable, wanted, gradient, builder, value);
  builder.output("logits", logits);
  for (const { name } of wanted) {
    const own = gradients.get(name) ?? builder.node("Mul", [name, builder.float(0)]);
    builder.output(`gradient:${name}`, own);
  }
  const target: TensorInfo = { name: "target", type: "float32", shape: ["N", classes] };
  return builder.graph(
    [input, target, ...parameters.map(({ name, dims }) => float32(name, dims))],
    [
      float32("loss", []),
      float32("logits", ["N", classes]),
      ...wanted.map(({ name, dims }) => float32(`gradient:${name}`, dims)),
    ],
  );
}

/** Inputs: the model's input and every parameter. Outputs: `logits`, and `features` if the model has them. */
export function inferenceGraph(trainable: Trainable): OnnxGraph {
  const { lowered, logits, features } = trainable;
  const builder = new GraphBuilder();
  const value = forward(trainable, builder, false);
  const outputs = Object.entries({ logits, features }).flatMap(([name, tensor]) => {
    if (tensor === null) return [];
    builder.output(name, value(tensor));
    return [float32(name, ["N", ...(lowered.shapes.get(tensor) ?? [])])];
  });
  return builder.graph(inputsOf(trainable), outputs);
}

/** Inputs as the inference graph's. Outputs: `min:TENSOR` and `max:TENSOR` (float32, no dimensions) of each quantised activation. */
export function rangesGraph(trainable: Trainable): OnnxGraph {
  const builder = new GraphBuilder();
  const value = forward(trainable, builder, false);
  const outputs = trainable.quantisers
    .filter(({ fixed }) => fixed === null)
    .flatMap(({ tensors }) => tensors)
    .flatMap((tensor) => {
      builder.node("ReduceMin", [value(tensor)], { keepdims: 0 }, [`min:${tensor}`]);
      builder.node("ReduceMax", [value(tensor)], { keepdims: 0 }, [`max:${tensor}`]);
      return [float32(`min:${tensor}`, []), float32(`max:${tensor}`, [])];
    });
  return builder.graph(inputsOf(trainable), outputs);
}

const float32 = (name: string, shape: TensorInfo["shape"]): TensorInfo => ({ name, type: "float32", shape });

const inputsOf = ({ input, parameters }: Trainable): TensorInfo[] => [
  input,
  ...parameters.map(({ name, dims }) => float32(name, dims)),
];

/** Adds the deployed graph. Returns the names of its tensors. */
function forward(trainable: Trainable, builder: GraphBuilder, withIndices: boolean): (name: string) => string {
  const { input, lowered } = trainable;
  const own = new Set([input.name, ...lowered.parameters]);
  const value = (name: string) => (own.has(name) ? name : `value:${name}`);
  for (const tensor of lowered.constants.values()) builder.constant({ ...tensor, name: value(tensor.name) });
  for (const node of lowered.nodes) {
    const outputs = withIndices && node.operator === "MaxPool" ? [...node.outputs, indicesOf(node)] : node.outputs;
    builder.node(node.operator, node.inputs.map(value), node.attributes, outputs.map(value));
  }
  return value;
}

/** Mean cross entropy (`loss`), and its gradient by the logits. */
function lossOf(logits: string, input: string, builder: GraphBuilder) {
  const surprise = builder.node("Mul", ["target", builder.node("LogSoftmax", [logits], { axis: 1 })]);
  const sums = builder.node("ReduceSum", [surprise, builder.wholes(1)], { keepdims: 0 });
  builder.output("loss", builder.node("Neg", [builder.node("ReduceMean", [sums], { axes: [0], keepdims: 0 })]));
  const frames = builder.node("Slice", [builder.node("Shape", [input]), builder.wholes(0), builder.wholes(1)]);
  const difference = builder.node("Sub", [builder.node("Softmax", [logits], { axis: 1 }), "target"]);
  // The number of frames.
  const gradient = builder.node("Div", [difference, builder.node("Cast", [frames], { to: 1 })]);
  return { logits, gradient };
}

/** Gradients by the name of their tensor in the lowered graph. */
function backward(
  { lowered, logits, parameters }: Trainable,
  wanted: readonly Parameter[],
  ofLogits: string,
  builder: GraphBuilder,
  value: (name: string) => string,
): ReadonlyMap<string, string> {
  const needed = new Set(wanted.map(({ name }) => name));
  for (const { inputs, outputs } of lowered.nodes) {
    if (inputs.some((name) => needed.has(name))) for (const output of outputs) needed.add(output);
  }
  const dims = new Map(parameters.map((parameter) => [parameter.name, parameter.dims]));
  const gradients = new Map([[logits, ofLogits]]);
  const give = (name: string, gradient: () => string) => {
    if (!needed.has(name)) return;
    const before = gradients.get(name);
    gradients.set(name, before === undefined ? gradient() : builder.node("Add", [before, gradient()]));
  };
  const shapeOf = (name: string) =>
    lowered.shapes.get(name) ?? dims.get(name) ?? lowered.constants.get(name)?.dims ?? [];
  const isActivation = (name: string) => lowered.shapes.has(name);
  const context: Backward = { builder, value, shapeOf, isActivation, give };
  for (const node of lowered.nodes.toReversed()) {
    const gradient = gradients.get(node.outputs[0] ?? "");
    if (gradient !== undefined) ruleOf(node)(node, gradient, context);
  }
  return gradients;
}

function ruleOf({ operator }: GraphNode) {
  const rule = gradientRules[operator];
  invariant(rule !== undefined, `a lowered graph has operators with a gradient, not ${operator}`);
  return rule;
}
