export { type SchemaRegistryAccess, type SchemaRegistryClient, schemaRegistryClient } from "./client.ts";
export { ExternalSchemaRegistry } from "./external.ts";
/** @public The inferred types of the gateway's controllers name them. */
export type { Schema, SubjectVersion } from "./schema-registry.ts";
export {
  type SchemaRegistry,
  SchemaRegistryError,
  schemaRegistryOf,
} from "./schema-registry.ts";
