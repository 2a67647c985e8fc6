/** The cause that holds for a verdict: by a person, else as found. */
import type { DriftVerdict, DriftVerdictReview } from "@tributary/contracts";

type Cause = Pick<DriftVerdict, "cause" | "fault">;

export function heldCause({
  cause,
  fault,
  review,
}: Cause & { readonly review: (Cause & Pick<DriftVerdictReview, "kind">) | null }): Cause {
  return review?.kind === "CORRECT" ? { cause: review.cause, fault: review.fault } : { cause, fault };
}
