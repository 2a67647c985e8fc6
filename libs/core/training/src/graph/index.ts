export { deployableGraph, deployedRanges, meanRanges, type Ranges } from "./deployable.ts";
export type { AttributeValue, GraphNode, OnnxGraph, Tensor, TensorInfo, TensorType } from "./graph.ts";
export {
  lastBias,
  lastLayer,
  type ParameterValues,
  type Trainable,
  trainableOf,
} from "./trainable.ts";
export { gradientGraph, inferenceGraph, rangesGraph } from "./training-graph.ts";
