export type { CallContext, CloudBackend, CloudFrame, CloudOutcome } from "./cloud-backend.ts";
export { type ClassifierConfig, configSchema } from "./config.ts";
