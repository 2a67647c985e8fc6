export * from "./cohorts.ts";
export * from "./decide.ts";
export * from "./event-record.ts";
export * from "./events.ts";
export * from "./evidence.ts";
export * from "./rollout.ts";
export * from "./spec.ts";
