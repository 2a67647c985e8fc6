export * from "./comparison.ts";
export * from "./crashes.ts";
export * from "./evidence.ts";
export * from "./metric-watch.ts";
export * from "./plan.ts";
export * from "./rerandomisation.ts";
