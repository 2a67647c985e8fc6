/**
 * What a process that follows NAME@ALIAS does next. Pure: time is an argument.
 *
 * It holds which package is active, and what failed of the one that is wanted. What drives it: the alias moves, an attempt
 * to take a package ends, time passes.
 *
 * W1. The active package stays until the wanted one is ready, whatever happens to that one.
 * W2. Attempts at one package are apart by a backoff; another wanted package is tried at once.
 * W3. A package that nobody wants any more is not tried.
 */
import type { Digest } from "@tributary/kernel";

export type Following = {
  /** Null: none yet. */
  readonly active: Digest | null;
  /** The last attempt at a package that is not active; null: none failed. */
  readonly failed: { readonly digest: Digest; readonly attempts: number; readonly dueAtMs: number } | null;
};

export type NextStep =
  /** Nothing, until the alias moves. */
  | { readonly kind: "rest" }
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "take"; readonly digest: Digest };

export const nothingActive: Following = { active: null, failed: null };

/** `wanted`: null while the reference names no package. */
export function nextStep({ active, failed }: Following, wanted: Digest | null, nowMs: number): NextStep {
  if (wanted === null || wanted === active) return { kind: "rest" }; // W3
  if (failed?.digest === wanted && nowMs < failed.dueAtMs) return { kind: "wait", untilMs: failed.dueAtMs }; // W2
  return { kind: "take", digest: wanted };
}

export const taken = (digest: Digest): Following => ({ active: digest, failed: null });

/** How many attempts at it failed before. */
export const attemptsAt = ({ failed }: Following, digest: Digest): number =>
  failed?.digest === digest ? failed.attempts : 0;

/** W1, W2 */
export const failedAt = (following: Following, digest: Digest, dueAtMs: number): Following => ({
  active: following.active,
  failed: { digest, attempts: attemptsAt(following, digest) + 1, dueAtMs },
});
