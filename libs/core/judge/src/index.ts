export type { Arm } from "./comparison.ts";
export { logCrashEvidence } from "./crashes.ts";
export { type Band, type Comparison, pOfOneLook } from "./evidence.ts";
export type { Counts } from "./harm-process.ts";
export { type MetricLook, MetricWatch, metricDefaults, SEGMENT_LEAST, segmentWeights } from "./metric-watch.ts";
export { DEVICES_MIN, plannedVariance, smallestArms } from "./plan.ts";
export { CrossCheck, crossCheckProblem, plannedLooks, type Strata } from "./rerandomisation.ts";
