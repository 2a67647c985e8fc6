/** Verdicts as the public API shows them: the contract's record, with times as RFC 3339. */
import type { DriftFilter, DriftReviewView, DriftVerdictDetail, DriftVerdictView } from "@tributary/api";
import type { DriftVerdict, DriftVerdictReview } from "@tributary/contracts";
import { isoOf } from "../answers/answer.ts";

/** Of a cause: found, or by a person. */
export const matchesVerdict = (
  verdict: Pick<DriftVerdictView, "state" | "cause"> & {
    readonly review: Pick<DriftReviewView, "kind" | "cause"> | null;
  },
  { state, cause }: DriftFilter,
): boolean =>
  (state === "all" || (state === "closed") === (verdict.state === "CLOSED")) &&
  (cause === undefined ||
    verdict.cause === cause ||
    (verdict.review?.kind === "CORRECT" && verdict.review.cause === cause));

export function viewOf(record: DriftVerdict): DriftVerdictView {
  const { devices: _d, features: _f, timeline: _t, mix: _m, steps: _s, ...rest } = record;
  return {
    ...rest,
    version: Number(record.version),
    since: timeOf(record.since),
    openedAt: timeOf(record.openedAt),
    updatedAt: timeOf(record.updatedAt),
    closedAt: isoOf(record.closedAt),
    loss: { ...record.loss },
    review: record.review === null ? null : reviewOf(record.review),
  };
}

function reviewOf(review: DriftVerdictReview): DriftReviewView {
  const { reviewId: _r, offset: _o, ...rest } = review;
  return {
    ...rest,
    version: Number(review.version),
    reviewedAt: timeOf(review.reviewedAt),
    until: isoOf(review.until),
  };
}

export const detailOf = (record: DriftVerdict): DriftVerdictDetail => ({
  ...viewOf(record),
  devices: record.devices.map(({ deviceId, cameras, since }) => ({
    deviceId,
    cameras: [...cameras],
    since: timeOf(since),
  })),
  features: record.features.map((one) => ({ ...one, reference: [...one.reference], current: [...one.current] })),
  timeline: record.timeline.map(({ at, shifts }) => ({ at: timeOf(at), shifts: [...shifts] })),
  mix: { ...record.mix },
  steps: record.steps.map((step) => ({ ...step })),
});

const timeOf = (ms: number): string => isoOf(ms) ?? "";
