export * from "./comparison.ts";
export * from "./crashes.ts";
export * from "./evidence.ts";
export * from "./forecast.ts";
export * from "./harm-process.ts";
export * from "./metric-watch.ts";
export * from "./plan.ts";
export * from "./rerandomisation.ts";
