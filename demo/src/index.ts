export * from "./candidates/candidates.ts";
export { editModel, type Node, type Weights } from "./candidates/onnx-edit.ts";
export * from "./photos.ts";
export * from "./rollout/api.ts";
export * from "./rollout/command-line.ts";
export * from "./rollout/watch.ts";
