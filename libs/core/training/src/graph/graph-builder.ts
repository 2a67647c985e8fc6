/** Collects the nodes of a graph of opset 17, and gives names to their outputs. */
import type { AttributeValue, GraphNode, OnnxGraph, Tensor, TensorInfo } from "./graph.ts";

const OPSET = 17;
const IR_VERSION = 8;

export class GraphBuilder {
  readonly #nodes: GraphNode[] = [];
  readonly #initializers = new Map<string, Tensor>();

  /** Returns the name of its first output. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    outputs: readonly string[] = [`step:${this.#nodes.length}`],
  ): string {
    const [output = ""] = outputs;
    this.#nodes.push({ name: output, operator, inputs, outputs, attributes });
    return output;
  }

  constant(tensor: Tensor): string {
    this.#initializers.set(tensor.name, tensor);
    return tensor.name;
  }

  wholes(...values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.constant({ name: `wholes:${values.join(",")}`, type: "int64", dims: [values.length], data });
  }

  /** A number without dimensions. */
  float(value: number): string {
    return this.constant({ name: `float:${value}`, type: "float32", dims: [], data: Float32Array.of(value) });
  }

  /** Names the result of a node as an output of the graph. */
  output(name: string, result: string): void {
    this.node("Identity", [result], {}, [name]);
  }

  graph(inputs: readonly TensorInfo[], outputs: readonly TensorInfo[]): OnnxGraph {
    const initializers = [...this.#initializers.values()];
    return { opset: OPSET, irVersion: IR_VERSION, nodes: this.#nodes, initializers, inputs, outputs };
  }
}
