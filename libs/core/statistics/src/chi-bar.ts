/** Sums of squares of the positive parts of independent standard normal variables (chi-bar-squared): what one-sided deviations of
 * several rates add up to. */
import { invariant } from "@tributary/kernel";
import { normalCdf } from "./normal.ts";

const STEPS = 60;

/** P(sum over `terms` of max(0, Z)² > x). */
export function chiBarTail(x: number, terms: number): number {
  if (x <= 0) return 1;
  let tail = 0;
  // Of `terms` variables j are positive with probability C(terms, j) / 2^terms; the sum is then chi-squared with j degrees of freedom.
  let logShare = -terms * Math.LN2;
  const tails = [0, 2 * normalCdf(-Math.sqrt(x))];
  // ln of what two more degrees of freedom add, (x/2)^(j/2) e^(-x/2) / gamma(j/2 + 1).
  const steps = [-x / 2, 0.5 * Math.log(x / 2) - x / 2 - Math.log(Math.sqrt(Math.PI) / 2)];
  for (let j = 1; j <= terms; j++) {
    logShare += Math.log((terms - j + 1) / j);
    if (j >= 2) {
      tails[j] = (tails[j - 2] as number) + Math.exp(steps[j - 2] as number);
      steps[j] = (steps[j - 2] as number) + Math.log(x / 2 / (j / 2));
    }
    tail += Math.exp(logShare) * (tails[j] as number);
  }
  return tail;
}

/** The x that the sum exceeds with probability `alpha`. */
export function chiBarQuantile(alpha: number, terms: number): number {
  invariant(alpha > 0 && alpha < 0.5 && terms > 0, "a tail of a sum");
  let [low, high] = [0, 1];
  while (chiBarTail(high, terms) > alpha) high *= 2;
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    if (chiBarTail(middle, terms) > alpha) low = middle;
    else high = middle;
  }
  return high;
}
