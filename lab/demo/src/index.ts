export { type Candidate, Candidates } from "./candidates/candidates.ts";
export { editModel, type Node, type Weights } from "./candidates/onnx-edit.ts";
export { preparePhotos } from "./photos.ts";
export { tributary } from "./rollout/command-line.ts";
export { ReportedWatch } from "./rollout/watch.ts";
