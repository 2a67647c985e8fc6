export { type Candidate, Candidates } from "./candidates/candidates.ts";
export { editModel, type Node, type Weights } from "./candidates/onnx-edit.ts";
export { preparePhotos } from "./photos.ts";
export { ReportedWatch } from "./rollout/watch.ts";
