import cdf from "@stdlib/stats-base-dists-normal-cdf";
import quantile from "@stdlib/stats-base-dists-normal-quantile";

/** Quantile of the standard normal distribution. */
export const normalQuantile = (probability: number): number => quantile(probability, 0, 1);

/** Distribution function of the standard normal distribution. */
export const normalCdf = (z: number): number => cdf(z, 0, 1);
