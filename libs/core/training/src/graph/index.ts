export type { AttributeValue, GraphNode, OnnxGraph, Tensor, TensorInfo, TensorType } from "./graph.ts";
