/** Evidence that an arm of a fleet does worse, as e-values: under "no worse", the chance that one ever reaches 1/alpha is at
 * most alpha, at whatever moment one looks (G11). The device is the unit: frames of one device are not independent, so
 * variances are between devices (Welch 1947). The e-value is the mixture t-statistic over half-normal harms (Robbins 1970;
 * Johari et al. 2022; Lindon et al. 2022), one-sided: doing better is no evidence of harm, and takes none away from later
 * harm. Logarithms throughout: evidence of a clear harm exceeds what a double can hold. */
import erfcx from "@stdlib/math-base-special-erfcx";
import { invariant } from "@tributary/kernel";
import { normalCdf, studentTail } from "@tributary/statistics";

/** How much worse the canary does than the control, and how well that is known. */
export type Comparison = {
  /** Control's adjusted mean less the canary's, in units of the metric: harm is above 0. */
  readonly harm: number;
  /** Variance of `harm`. */
  readonly variance: number;
  /** Degrees of freedom of that variance (Welch-Satterthwaite). */
  readonly freedom: number;
};

/** The mixture's variance that makes evidence grow fastest when the variance is `planned` (Johari et al. 2022, eq. 13). */
export function mixtureVariance(planned: number, alpha: number): number {
  invariant(planned > 0 && alpha > 0 && alpha < 0.5, `mixture for variance ${planned} at level ${alpha}`);
  const l = Math.log(1 / (2 * alpha));
  return planned * (2 * l + Math.log1p(2 * l));
}

/** ln e for "the harm is above 0" against "it is 0 or below". */
export function logEvidence({ harm, variance, freedom }: Comparison, mixture: number): number {
  const g = variance / (variance + mixture);
  const t2 = (harm * harm) / (freedom * variance);
  const twoSided = 0.5 * Math.log(g) + ((freedom + 1) / 2) * (Math.log1p(t2) - Math.log1p(g * t2));
  const z = (harm * Math.sqrt(mixture)) / Math.sqrt(variance * (variance + mixture));
  return twoSided + Math.LN2 + logNormalCdf(z);
}

/** The largest ln e that any harm can give: with too few devices no harm is evidence enough. */
export function logEvidenceMax({ variance, freedom }: Omit<Comparison, "harm">, mixture: number): number {
  return (freedom / 2) * Math.log1p(mixture / variance) + Math.LN2;
}

/** One-sided p of "the harm is 0 or below", of one look fixed beforehand: Student's t. Looks may not choose among these. */
export const pOfOneLook = ({ harm, variance, freedom }: Comparison): number =>
  studentTail(harm / Math.sqrt(variance), freedom);

export type Band = { readonly lower: number; readonly upper: number };

/** An interval for the harm that is right at all times with probability 1 - alpha; unbounded while little is known. */
export function bandOf({ harm, variance, freedom }: Comparison, mixture: number, alpha: number): Band {
  const g = variance / (variance + mixture);
  const k = (1 / (alpha * alpha * g)) ** (1 / (freedom + 1));
  if (g * k >= 1) return { lower: Number.NEGATIVE_INFINITY, upper: Number.POSITIVE_INFINITY };
  const half = Math.sqrt((variance * freedom * (k - 1)) / (1 - g * k));
  return { lower: harm - half, upper: harm + half };
}

/** ln of the normal distribution function, also far out where the function itself is 0. */
export function logNormalCdf(z: number): number {
  return z > -5 ? Math.log(normalCdf(z)) : Math.log(erfcx(-z / Math.SQRT2) / 2) - (z * z) / 2;
}

/** ln of a weighted sum of exponentials, without leaving the range of a double. */
export function logSum(logs: readonly number[]): number {
  const largest = Math.max(...logs);
  if (largest === Number.NEGATIVE_INFINITY) return largest;
  return largest + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - largest), 0));
}
