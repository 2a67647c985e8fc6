/** For programs that compose devices in another way than start-agent.ts. */

export { Agent, type AgentPorts } from "./agent.ts";
export type { Camera, CameraContext } from "./cameras/camera.ts";
export { type AgentConfig, agentConfig } from "./config.ts";
export { type Measured, measured, type Promised } from "./driving/lite.ts";
export { goldenMismatch, type LoadedPackage, type ModelRuntime } from "./model-runtime.ts";
export { inMemory } from "./outbox/memory.ts";
export { openPhotoFolder } from "./photo-folder.ts";
export type { LatencyOf } from "./pipeline.ts";
export { doneOf } from "./updates/done.ts";
export { medianTooSlow } from "./updates/latency.ts";
export { PackageStore } from "./updates/package-store.ts";
export type { UpdateStore } from "./updates/store.ts";
export { openModelRegistryTrust } from "./updates/trust.ts";
export { mqttLink, type OpenLink } from "./uplink.ts";
export { World } from "./world/world.ts";
