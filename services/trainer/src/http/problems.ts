/** What a person asks of a training that does not permit it now is a conflict, not a failure of the service. */
import type { Failure } from "@tributary/kernel";
import { Problem } from "@tributary/service-kit";

const CONFLICTS = [
  ...["training-open", "training-busy", "training-changed", "training-ended"],
  ...["training-in-rollout", "training-rolled-out", "training-not-held", "training-lacks"],
];

/** Undefined: the common mapping. */
export function problemOf(failure: Failure): Problem | undefined {
  const { code, advice, message } = failure;
  if (!CONFLICTS.includes(code)) return undefined;
  return new Problem(409, code, advice, message, { cause: failure });
}
