/** Evidence that the canary crashes more than its share (first crash of a device; the device is the unit).
 *
 * Under equal risk each first crash is the canary's with probability `share`, its share of the exposure. The alternative is
 * a Beta(1, 1) prior on larger shares only: fewer crashes are no reason to roll back (truncated beta mixture; Robbins 1970). */
import betainc from "@stdlib/math-base-special-betainc";
import betaln from "@stdlib/math-base-special-betaln";
import { invariant } from "@tributary/kernel";

const [A, B] = [1, 1];

/** ln e after `crashes` first crashes in both arms, `canary` of them there. */
export function logCrashEvidence(canary: number, crashes: number, share: number): number {
  invariant(canary >= 0 && canary <= crashes && share > 0 && share < 1, `${canary} of ${crashes} at ${share}`);
  const [a, b] = [A + canary, B + crashes - canary];
  const mixed = betaln(a, b) - betaln(A, B) - canary * Math.log(share) - (crashes - canary) * Math.log1p(-share);
  return mixed + Math.log(betainc(share, a, b, true, true)) - Math.log(betainc(share, A, B, true, true));
}
