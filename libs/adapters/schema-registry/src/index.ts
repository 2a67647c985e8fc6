export * from "./client.ts";
export * from "./external.ts";
export * from "./registry.ts";
