import { join, resolve } from "node:path";
import { repositoryRoot } from "@tributary/testing";

const at = (...parts: string[]): string => join(repositoryRoot, ...parts);

export const mains = {
  bridge: at("edge/bridge/dist/main.js"),
  agent: at("edge/agent/dist/main.js"),
  sampleCamera: at("edge/agent/dist/sample-camera.js"),
  router: at("services/router/dist/main.js"),
  classifier: at("services/cloud-classifier/dist/main.js"),
  gateway: at("services/gateway/dist/main.js"),
  modelRegistry: at("services/model-registry/dist/main.js"),
  rolloutManager: at("services/rollout-manager/dist/main.js"),
  driftMonitor: at("services/drift-monitor/dist/main.js"),
  frameArchive: at("services/frame-archive/dist/main.js"),
  trainer: at("services/trainer/dist/main.js"),
  lightDevices: at("lab/stack/dist/light-devices/main.js"),
  modelServer: at("lab/stack/dist/model-server/main.js"),
} as const;

export const edgePackage: string = at("models/edge-resnet8");
/** Stands in for it where a camera has a deadline. */
export const litePackage: string = at("models/edge-lite");
export const cloudPackage: string = at("models/cloud-vgg");
export const samples: string = at("samples/cifar10-test");
/** Everything `npm start` writes; elsewhere for tests, which run beside a person's stack. */
export const runDir: string = resolve(process.env.TRIBUTARY_RUN_DIR ?? at(".local/run"));
