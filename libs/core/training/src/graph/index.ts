export { deployableGraph, deployedRanges, meanRanges, type Ranges, shiftedRanges } from "./deployable.ts";
export type { AttributeValue, GraphNode, OnnxGraph, Tensor, TensorInfo, TensorType } from "./graph.ts";
export {
  lastLayer,
  logitsBias,
  type ParameterValues,
  type Trainable,
  trainableOf,
} from "./trainable.ts";
export { gradientGraph, inferenceGraph, rangesGraph } from "./training-graph.ts";
