export * from "./bridge.ts";
export * from "./config.ts";
export * from "./external/external-bridge.ts";
