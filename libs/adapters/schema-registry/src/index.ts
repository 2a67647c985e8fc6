export { type RegistryAccess, type RegistryClient, registryClient } from "./client.ts";
export { ExternalRegistry } from "./external.ts";
/** @public The inferred types of the gateway's controllers name them. */
export type { Schema, SubjectVersion } from "./registry.ts";
export { type Registry, RegistryError, registryOf } from "./registry.ts";
