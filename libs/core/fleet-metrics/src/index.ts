export * from "./analysis.ts";
export * from "./counters.ts";
export * from "./edge-metrics.ts";
export * from "./fleet-metrics.ts";
export * from "./latency-history.ts";
export * from "./watermarks.ts";
