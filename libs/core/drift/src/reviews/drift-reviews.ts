/**
 * What people answered to verdicts: the fold of drift.reviews.v1.
 *
 * R1. Of several reviews about one opening of a verdict, that with the highest offset holds; likewise of those about one camera. So
 *     the fold does not depend on the order in which they are taken, nor on how often.
 * R2. Everything is bounded: what was reviewed first is forgotten first. A verdict keeps its review in its own record. */
import type { DriftReview, DriftVerdict, DriftVerdictReview } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";

/** Where a review stands in the log. `at`: when Kafka took it. */
export type ReviewPlace = { readonly offset: bigint; readonly at: Instant };

/** What holds for the baseline of a camera: it is learned anew, or the one before is restored. */
export type CameraReview = ReviewPlace & { readonly reviewId: string; readonly kind: "ACCEPT" | "WITHDRAW" };

/** Which review a camera's state contains. */
export type AppliedReview = Pick<CameraReview, "offset" | "reviewId">;

/** Openings of verdicts, by what was found and what people answered. */
export type ReviewCount = Pick<DriftReview, "found" | "kind" | "cause"> & { readonly verdicts: number };

const VERDICTS_MAX = 10_000;
const CAMERAS_MAX = 200_000;

type Known = { readonly review: DriftReview; readonly offset: bigint };

export class DriftReviews {
  /** By verdict and opening. */
  readonly #known = new Map<string, Known>();
  readonly #cameras = new Map<string, CameraReview>();

  take(review: DriftReview, { offset, at }: ReviewPlace): void {
    keepNewest(this.#known, openingOf(review), { review, offset }, VERDICTS_MAX);
    const { kind, reviewId, devices } = review;
    if (kind !== "ACCEPT" && kind !== "WITHDRAW") return;
    for (const { deviceId, cameras } of devices) {
      for (const cameraId of cameras) {
        keepNewest(this.#cameras, cameraKey(deviceId, cameraId), { offset, at, reviewId, kind }, CAMERAS_MAX);
      }
    }
  }

  /** Of this opening; null: none. */
  newest(verdict: Pick<DriftVerdict, "verdictId" | "openedAt">): DriftReview | null {
    return this.#known.get(openingOf(verdict))?.review ?? null;
  }

  /** The one that holds: of the log or, where the log has an older one or none any more, of the record. */
  of(verdict: Pick<DriftVerdict, "verdictId" | "openedAt" | "review">): DriftVerdictReview | null {
    const known = this.#known.get(openingOf(verdict));
    if (known === undefined || (verdict.review !== null && verdict.review.offset >= known.offset))
      return verdict.review;
    const { reviewId, kind, by, reviewedAt, version, cause, fault, until, note } = known.review;
    return { reviewId, kind, by, reviewedAt, version, cause, fault, until, note, offset: known.offset };
  }

  ofCamera(deviceId: string, cameraId: string): CameraReview | undefined {
    return this.#cameras.size === 0 ? undefined : this.#cameras.get(cameraKey(deviceId, cameraId));
  }

  /** Whether the camera is to learn its baseline anew, and has not started to. */
  isToLearn(deviceId: string, cameraId: string, applied: AppliedReview | undefined): boolean {
    const review = this.ofCamera(deviceId, cameraId);
    return review?.kind === "ACCEPT" && isNews(review, applied);
  }

  /** By found cause, kind, and cause by the person; those that were withdrawn do not count. */
  counts(): readonly ReviewCount[] {
    const counts = new Map<string, ReviewCount>();
    for (const { review } of this.#known.values()) {
      const { found, kind, cause } = review;
      if (kind === "WITHDRAW" || kind === "UNKNOWN") continue;
      const key = `${found} ${kind} ${cause}`;
      counts.set(key, { found, kind, cause, verdicts: (counts.get(key)?.verdicts ?? 0) + 1 });
    }
    return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count);
  }
}

/** A review that was sent twice has two offsets and one id. */
export const isNews = ({ offset, reviewId }: AppliedReview, applied: AppliedReview | undefined): boolean =>
  applied === undefined || (offset > applied.offset && reviewId !== applied.reviewId);

const openingOf = ({ verdictId, openedAt }: Pick<DriftVerdict, "verdictId" | "openedAt">): string =>
  `${verdictId} ${openedAt}`;

const cameraKey = (deviceId: string, cameraId: string): string => `${deviceId}/${cameraId}`;

/** R1, R2 */
function keepNewest<T extends { readonly offset: bigint }>(of: Map<string, T>, key: string, one: T, max: number): void {
  const known = of.get(key);
  if (known !== undefined && known.offset >= one.offset) return;
  of.delete(key);
  of.set(key, one);
  const oldest = of.keys().next();
  if (of.size > max && !oldest.done) of.delete(oldest.value);
}
