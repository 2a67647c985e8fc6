/**
 * One request through the targets of its plan.
 *
 * D1. A target that fails, sheds or runs out of its time hands over to the next while the deadline leaves room; one that
 *     answers or refuses the frame does not. What remains is the last verdict, with what all of them cost.
 */
import type { Clock, Instant } from "@tributary/kernel";
import type { Submission, Target, Verdict } from "./target.ts";

export type Dispatched = { readonly target: string; readonly verdict: Verdict };

export type DispatchOptions = {
  readonly targets: readonly Target[];
  readonly reserveMs: number;
  readonly clock: Clock;
  readonly onFallback: (event: { readonly from: string; readonly to: string; readonly code: string }) => void;
};

export async function dispatch(submission: Submission, options: DispatchOptions): Promise<Dispatched> {
  const { targets, reserveMs, clock, onFallback } = options;
  let spent = { attempts: 0, costMicros: 0 };
  let from: Dispatched | undefined;
  for (const [i, target] of targets.entries()) {
    if (from !== undefined) onFallback({ from: from.target, to: target.name, code: codeOf(from.verdict) });
    const deadlineAt = sharedDeadline(submission.deadlineAt, clock.now(), reserveMs, targets.length - 1 - i);
    const verdict = await target.submit({ ...submission, deadlineAt });
    spent = {
      attempts: spent.attempts + verdict.attempts,
      costMicros: spent.costMicros + verdict.costMicros,
    };
    from = { target: target.name, verdict: { ...verdict, ...spent } };
    const isLate = !submission.keepExpired && clock.now() >= submission.deadlineAt;
    if (isLate || !handsOver(verdict)) break; // D1
  }
  return from as Dispatched;
}

/** All but the reserve of each successor; where that is too little, an equal share of what is left. */
function sharedDeadline(deadlineAt: Instant, now: Instant, reserveMs: number, successors: number): Instant {
  const leftMs = Math.max(0, deadlineAt - now);
  return successors === 0 ? deadlineAt : now + Math.max(leftMs - reserveMs * successors, leftMs / (successors + 1));
}

const handsOver = (verdict: Verdict): boolean =>
  verdict.kind === "outcome"
    ? verdict.outcome.kind === "failed"
    : verdict.kind === "expired" || verdict.kind === "overloaded";

function codeOf(verdict: Verdict): string {
  switch (verdict.kind) {
    case "outcome":
      return verdict.outcome.kind === "answered" ? "" : verdict.outcome.code;
    case "expired":
      return verdict.code;
    case "overloaded":
      return "queue-full";
    case "closing":
      return "closing";
    default:
      return verdict satisfies never;
  }
}
