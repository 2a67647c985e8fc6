/**
 * One request through the targets of its plan.
 *
 * After a target that fails, sheds or runs out of its time the next one is asked, while the deadline leaves room; after one
 * that answers or refuses the frame, none is. The result is the last verdict, with the cost of all of them.
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
    if (isLate || !needsFallback(verdict)) break;
  }
  return from as Dispatched;
}

/** All but the reserve of each successor; where that is too little, an equal share of what is left. */
function sharedDeadline(deadlineAt: Instant, now: Instant, reserveMs: number, successors: number): Instant {
  const leftMs = Math.max(0, deadlineAt - now);
  return successors === 0 ? deadlineAt : now + Math.max(leftMs - reserveMs * successors, leftMs / (successors + 1));
}

const needsFallback = (verdict: Verdict): boolean =>
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
