export * from "./batch-handling.ts";
export * from "./events.ts";
export * from "./health.ts";
export * from "./kafka-batches.ts";
export * from "./operations.module.ts";
export * from "./run-service.ts";
export * from "./traced.ts";
