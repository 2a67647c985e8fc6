export { MetricsFold } from "./watching/metrics-fold.ts";
