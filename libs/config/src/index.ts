export * from "./blocks.ts";
export * from "./config-error.ts";
export * from "./invocation.ts";
export * from "./load.ts";
