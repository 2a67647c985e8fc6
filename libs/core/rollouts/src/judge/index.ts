export type { Arm } from "./comparison.ts";
export { logEvidence, mixtureVariance, pOfOneLook } from "./evidence.ts";
export { GroupSequential, logarithmic, looksUntil, type Spending } from "./group-sequential.ts";
export type { Counts } from "./harm-process.ts";
export { type MetricLook, MetricWatch, metricDefaults, segmentWeights } from "./metric-watch.ts";
export { DEVICES_MIN, plannedVariance, smallestArms } from "./plan.ts";
export { CrossCheck, plannedLooks } from "./rerandomisation.ts";
