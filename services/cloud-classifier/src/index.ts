export { startKserve } from "./backends/kserve.ts";
export { OnnxBackend } from "./backends/onnx.ts";
export type { RemoteContext } from "./backends/remote-start.ts";
export { SagemakerBackend } from "./backends/sagemaker.ts";
export { startTfServing } from "./backends/tf-serving.ts";
export type { CloudBackend } from "./cloud-backend.ts";
export { type ClassifierConfig, configSchema, type TargetConfig } from "./config.ts";
