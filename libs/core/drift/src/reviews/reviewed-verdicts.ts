/**
 * Verdicts with what people answered to them. What is found stays in the verdict; the review stands beside it, and holds while the
 * verdict is open.
 *
 * P1. A look depends on the view, the verdicts, the reviews and the time alone. What is found is decided as if nobody had answered,
 *     except that cameras of an accepted verdict are not compared until they have learned anew.
 * P2. A review is about one opening of a verdict: one that opens again is unanswered. */
import type { DriftCause, DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { decideVerdicts } from "../decide-verdicts.ts";
import type { FleetView } from "../fleet-view.ts";
import type { VerdictSettings } from "../settings.ts";
import { isReasonToRetrain } from "../verdict.ts";
import type { DriftReviews } from "./drift-reviews.ts";
import { heldCause } from "./held-cause.ts";

/** Whether a person expects it for now. */
const isKnown = ({ review }: Pick<DriftVerdict, "review">, now: Instant): boolean =>
  review?.kind === "KNOWN" && review.until !== null && now < review.until;

/** Open ones that nobody expects, and those that somebody does, by the cause that holds. */
export function openByCause(
  verdicts: Iterable<DriftVerdict>,
  now: Instant,
): { readonly unexpected: ReadonlyMap<DriftCause, number>; readonly known: ReadonlyMap<DriftCause, number> } {
  const counts = { unexpected: new Map<DriftCause, number>(), known: new Map<DriftCause, number>() };
  for (const verdict of verdicts) {
    if (verdict.state !== "OPEN") continue;
    const { cause } = heldCause(verdict);
    const of = isKnown(verdict, now) ? counts.known : counts.unexpected;
    of.set(cause, (of.get(cause) ?? 0) + 1);
  }
  return counts;
}

/** The verdicts that are new or have changed, by id, as `decideVerdicts`; the view has to know the reviews (P1). */
export function decideReviewedVerdicts(
  view: FleetView,
  verdicts: ReadonlyMap<string, DriftVerdict>,
  reviews: DriftReviews,
  now: Instant,
  settings: VerdictSettings,
  sha256Hex: (text: string) => string,
): readonly DriftVerdict[] {
  const found = new Map([...verdicts].map(([id, verdict]) => [id, asFound(verdict, settings)]));
  const changed = new Map(
    decideVerdicts(view, found, now, settings, sha256Hex).map((verdict) => [verdict.verdictId, verdict]),
  );
  for (const [id, before] of verdicts) {
    const one = changed.get(id);
    const after = withReview(one ?? before, reviews, now, settings);
    if (one !== undefined) changed.set(id, before.state === "OPEN" ? whyAccepted(after) : after);
    else if (after.review?.offset !== before.review?.offset || after.retrain !== before.retrain) {
      changed.set(id, { ...after, version: after.version + 1n, updatedAt: now });
    }
  }
  return [...changed.values()].sort((a, b) => (a.verdictId < b.verdictId ? -1 : 1));
}

const asFound = (verdict: DriftVerdict, settings: VerdictSettings): DriftVerdict => ({
  ...verdict,
  retrain: isReasonToRetrain(verdict.cause, verdict, verdict.updatedAt, settings),
});

/** A closed one only shows its review. */
function withReview(found: DriftVerdict, reviews: DriftReviews, now: Instant, settings: VerdictSettings): DriftVerdict {
  const verdict = { ...found, review: reviews.of(found) };
  if (verdict.state !== "OPEN") return verdict;
  const { cause } = heldCause(verdict);
  return { ...verdict, retrain: isReasonToRetrain(cause, verdict, now, settings) && !isKnown(verdict, now) };
}

/** Of one that closes now. */
const whyAccepted = (verdict: DriftVerdict): DriftVerdict =>
  verdict.state === "CLOSED" && verdict.review?.kind === "ACCEPT"
    ? { ...verdict, closedBecause: `accepted by ${verdict.review.by}` }
    : verdict;
