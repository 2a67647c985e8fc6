/** Student's t with `freedom` degrees of freedom. */
import betainc from "@stdlib/math-base-special-betainc";
import betaQuantile from "@stdlib/stats-base-dists-beta-quantile";
import { normalCdf, normalQuantile } from "./normal.ts";

/** From here on it is the normal distribution, to five digits. */
const NORMAL_FROM = 100_000;

/** P(T >= t). */
export function studentTail(t: number, freedom: number): number {
  if (freedom >= NORMAL_FROM || !Number.isFinite(t)) return normalCdf(-t);
  const tail = betainc(freedom / (freedom + t * t), freedom / 2, 0.5) / 2;
  return t > 0 ? tail : 1 - tail;
}

/** The t that is exceeded with probability `alpha`, at most a half. */
export function studentCritical(alpha: number, freedom: number): number {
  if (freedom >= NORMAL_FROM) return normalQuantile(1 - alpha);
  const share = betaQuantile(2 * alpha, freedom / 2, 0.5);
  return Math.sqrt((freedom * (1 - share)) / share);
}
