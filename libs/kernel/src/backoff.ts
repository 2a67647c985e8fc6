import type { Random } from "./random.ts";

export type Backoff = { readonly minMs: number; readonly maxMs: number };

/** Full jitter (Brooker 2015): uniform in [minMs, min(maxMs, minMs * 2^attempt)]. `attempt` counts from 0. */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const ceiling = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(attempt, 30));
  return backoff.minMs + random() * (ceiling - backoff.minMs);
}
