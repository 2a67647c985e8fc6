export { configSchema, type RegistryConfig } from "./config.ts";
export type { ModelView } from "./models/model-view.ts";
