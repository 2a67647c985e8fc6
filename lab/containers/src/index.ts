export { type ComposeFile, composeWorkloads } from "./compose.ts";
export { type KubernetesObject, kubernetesWorkloads } from "./kubernetes.ts";
