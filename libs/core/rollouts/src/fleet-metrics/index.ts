export { FleetAnalysis } from "./analysis.ts";
export { foldEdgeMetrics } from "./edge-metrics.ts";
export { FleetMetrics } from "./fleet-metrics.ts";
export { LatencyHistory, type LatencyHistoryState } from "./latency-history.ts";
