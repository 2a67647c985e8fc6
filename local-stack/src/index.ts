export * from "./account.ts";
export type { ExternalMqtt } from "./external-mqtt.ts";
export * from "./ledger.ts";
export type { Part } from "./part.ts";
export * from "./paths.ts";
export { pssBytes } from "./proc.ts";
export * from "./stack.ts";
export * from "./topic-log.ts";
export * from "./verify.ts";
