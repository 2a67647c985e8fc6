/**
 * The random sample: the frames whose cloud answer keeps our statistics honest, since escalated frames alone are biased.
 *
 * S1. Every frame has a propensity pi > 0, logged with q and the draw.
 * S2. The draw is a function of the frame's identity and a secret key: replayable, and not to be steered by a camera.
 */
import type { RoutingPolicy } from "@tributary/contracts";

export type SamplingPolicy = Pick<RoutingPolicy, "samplePropensityMin" | "sampleBudget" | "sampleUncertaintyMean">;

/** pi = max(floor, min(1, b u / u-bar)), u = sqrt(q (1 - q)): Neyman's allocation, more where q is uncertain. */
export function samplePropensity(policy: SamplingPolicy, edgeRight: number): number {
  const uncertainty = Math.sqrt(edgeRight * (1 - edgeRight));
  const mean = policy.sampleUncertaintyMean;
  const wanted = mean > 0 ? (policy.sampleBudget * uncertainty) / mean : policy.sampleBudget;
  return Math.max(policy.samplePropensityMin, Math.min(1, wanted));
}

/** Whether the frame is drawn; `hash` is HMAC-SHA-256(device's key, frame id), at least 6 bytes of it. */
export function sampleDraw(hash: Uint8Array, propensity: number): boolean {
  let uniform = 0;
  // 48 bits: more would round up to 1, and a frame of propensity 1 could be missed.
  for (let i = 5; i >= 0; i--) uniform = (uniform + (hash[i] ?? 0)) / 256; // first byte is the most significant
  return uniform < propensity;
}
