/**
 * Stores what people answer to verdicts on drift.reviews.v1; drift-monitor applies it. What is refused here cannot take effect, or
 * is not about what the person looked at.
 */
import { createHash } from "node:crypto";
import { Inject, Injectable } from "@nestjs/common";
import type { DriftReviewCount, DriftReviewRequest, DriftVerdictView } from "@tributary/api";
import { type DriftReview, type DriftVerdict, topics } from "@tributary/contracts";
import { cloudEventHeaders, KafkajsSink } from "@tributary/kafka";
import type { Clock, Instant } from "@tributary/kernel";
import { CLOCK, Problem, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { verdictReviewed } from "../events.ts";
import { viewOf } from "./verdict.ts";
import { VerdictTable } from "./verdict-table.ts";

const KNOWN_DAYS_MAX = 366;
const DAY_MS = 86_400_000;
const ID_DIGITS = 16;

@Injectable()
export class Reviews {
  constructor(
    private readonly table: VerdictTable,
    private readonly sink: KafkajsSink,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  /** The verdict with its answer: one that holds already is not stored again. @throws Problem */
  async review(verdictId: string, request: DriftReviewRequest): Promise<DriftVerdictView> {
    const { table, clock } = this;
    const verdict = table.get(verdictId);
    const newest = table.reviews.newest(verdict);
    const review = reviewOf(verdict, newest, request, clock.now());
    if (review.reviewId !== newest?.reviewId) {
      refuse(verdict, review, request.version);
      await this.#store(review);
      const { kind, found, cause, by } = review;
      const theirs = kind === "CORRECT" ? cause : "";
      this.telemetry.emit(verdictReviewed, { verdictId, kind, found, cause: theirs, by });
    }
    return viewOf(table.get(verdictId));
  }

  counts(): DriftReviewCount[] {
    return this.table.reviews.counts().flatMap(({ found, kind, cause, verdicts }) => {
      if (kind === "UNKNOWN") return [];
      return [{ found, kind, cause: kind === "CORRECT" && cause !== "UNKNOWN" ? cause : null, verdicts }];
    });
  }

  async #store(review: DriftReview): Promise<void> {
    const { name: topic, codec } = topics.driftReviews;
    const { verdictId: key, reviewId, reviewedAt } = review;
    const type = "tributary.v1.DriftReview";
    const id = `${key}:${reviewId}:${reviewedAt}`;
    const headers = cloudEventHeaders({ id, source: "/tributary/gateway", type, time: reviewedAt });
    try {
      const [place] = await this.sink.send([{ topic, key, value: codec.encodeConfluent(review), headers }]);
      if (place !== undefined) this.table.reviewed(review, { offset: place.offset, at: reviewedAt });
    } catch (error) {
      const detail = `Kafka did not store the answer to ${key}; it may or may not be there. Send it again: that does no harm.`;
      throw new Problem(503, "kafka-unavailable", "retry", detail, { cause: error });
    }
  }
}

/** `newest`: the answer that holds until now. */
function reviewOf(
  verdict: DriftVerdict,
  newest: DriftReview | null,
  request: DriftReviewRequest,
  now: Instant,
): DriftReview {
  const { kind, by, note } = request;
  const isUndone = kind === "WITHDRAW" && newest?.kind === "ACCEPT";
  const answer = {
    verdictId: verdict.verdictId,
    openedAt: verdict.openedAt,
    kind,
    by,
    cause: kind === "CORRECT" ? request.cause : ("UNKNOWN" as const),
    fault: kind === "CORRECT" ? request.fault : "",
    until: kind === "KNOWN" ? untilOf(request.until, now) : null,
    note,
    devices: kind === "ACCEPT" ? camerasOf(verdict) : isUndone ? newest.devices : [],
  };
  const reviewId = createHash("sha256").update(JSON.stringify(answer)).digest("hex").slice(0, ID_DIGITS);
  return { ...answer, reviewId, reviewedAt: now, version: verdict.version, found: verdict.cause };
}

const camerasOf = ({ devices }: DriftVerdict): DriftReview["devices"] =>
  devices.filter(({ cameras }) => cameras.length > 0).map(({ deviceId, cameras }) => ({ deviceId, cameras }));

function untilOf(text: string, now: Instant): Instant {
  const until = Date.parse(text);
  const isInTime = until > now && until <= now + KNOWN_DAYS_MAX * DAY_MS;
  if (isInTime) return until;
  const what = until > now ? "more than a year ahead: nobody would look at it again" : "in the past";
  throw new Problem(400, "until-invalid", "give-up", `until: ${text} is ${what}. Give a time within a year from now.`);
}

/** Throws a Problem if the answer cannot take effect. */
function refuse(verdict: DriftVerdict, { kind, devices }: DriftReview, version: number | undefined): void {
  const { verdictId, state, review, cause } = verdict;
  const refusal = (code: string, detail: string) => new Problem(409, code, "give-up", detail);
  if (version !== undefined && BigInt(version) !== verdict.version) {
    const detail = `Verdict ${verdictId} has version ${verdict.version}, not ${version}: look at it again, then answer that version.`;
    throw refusal("verdict-changed", detail);
  }
  if (state === "CLOSED" && !(kind === "WITHDRAW" && review?.kind === "ACCEPT")) {
    const because = `Verdict ${verdictId} has closed: ${verdict.closedBecause}.`;
    throw refusal("verdict-closed", `${because} There is nothing to answer; if it opens again, answer that opening.`);
  }
  if (kind === "WITHDRAW" && (review === null || review.kind === "WITHDRAW")) {
    throw refusal("review-missing", `Nobody has answered verdict ${verdictId}: there is nothing to withdraw.`);
  }
  if (kind !== "ACCEPT" || devices.length > 0) return;
  const why =
    cause === "PREPROCESSING"
      ? "golden frames that are not reproduced cannot become normal: repair it"
      : "it is about lost frames, not about pictures, so no baseline can be learned anew: retrain";
  const detail = `Verdict ${verdictId} is ${cause}: ${why}. If it is expected until a date, answer KNOWN.`;
  throw new Problem(422, "verdict-not-acceptable", "give-up", detail);
}
