export { BET_SHARES, LossBet, logMeanExp, lossRateExceeds, lossRateUpper, type WeighedDraw } from "./betting.ts";
export { binomialCdf, clopperPearson, clopperPearsonLower, clopperPearsonUpper, type Interval } from "./binomial.ts";
export { bootstrapIntervals } from "./bootstrap.ts";
export { expectedCalibrationError, fitTemperature, negativeLogLikelihood } from "./calibration.ts";
export { chiBarQuantile, chiBarTail } from "./chi-bar.ts";
export {
  type ClusterSums,
  clusteredLower,
  clusteredP,
  clustersNeeded,
  mergedSums,
  sumsOfClusters,
  sumsOfItems,
} from "./clusters.ts";
export { confidentLabels } from "./confident.ts";
export { hypergeometricTail } from "./hypergeometric.ts";
export { fitLogistic } from "./logistic.ts";
export { momentsOf, quantileOf } from "./moments.ts";
export { normalCdf, normalQuantile } from "./normal.ts";
export { pairedDifference } from "./paired.ts";
export { RateRegion, type RateSample } from "./rate-region.ts";
export { type DifferingPairs, holmAdjusted, mcNemarP, weightedSignTest } from "./signs.ts";
export { studentCritical, studentTail } from "./student.ts";
export {
  type NonInferiorityPlan,
  nonInferiorityItems,
  nonInferiorityMargin,
  nonInferiorityP,
  tangoLower,
} from "./tango.ts";
