/**
 * Verdicts of drift as drift-monitor publishes them, with what people answered. Of one verdict the newest record holds: its writer is
 * fenced, so the order in Kafka is the order of its decisions. An answer is shown before drift-monitor has applied it. Memory is bounded (G9): of `rememberedMax` verdicts, closed ones that
 * changed first are forgotten first.
 */
import type { DriftFilter, DriftVerdictView } from "@tributary/api";
import { type DriftReview, type DriftVerdict, topics } from "@tributary/contracts";
import { DriftReviews } from "@tributary/drift";
import { type FollowContext, type Following, follow, followAll } from "@tributary/kafka";
import { Problem } from "@tributary/service-kit";
import type { StreamFormat, Subscribers } from "../http/subscribers.ts";
import { matchesVerdict, viewOf } from "./verdict.ts";

export type VerdictSubscribers = Subscribers<DriftVerdictView, DriftFilter>;
export const VERDICT_SUBSCRIBERS = Symbol("subscribers of verdicts");
export const verdictStream: StreamFormat<DriftVerdictView, DriftFilter> = {
  matches: matchesVerdict,
  textOf: (verdict) =>
    `event: verdict\nid: ${verdict.verdictId}-${verdict.version}\ndata: ${JSON.stringify(verdict)}\n\n`,
};

export class VerdictTable {
  readonly reviews = new DriftReviews();
  readonly #rememberedMax: number;
  readonly #subscribers: Pick<VerdictSubscribers, "publish">;
  /** Those that changed last are last. */
  readonly #verdicts = new Map<string, DriftVerdict>();

  constructor(rememberedMax: number, subscribers: Pick<VerdictSubscribers, "publish">) {
    this.#rememberedMax = rememberedMax;
    this.#subscribers = subscribers;
  }

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.driftVerdicts, (verdict, { key }) => {
        if (verdict !== null) this.changed(verdict);
        else this.#verdicts.delete(key ?? "");
      }),
      follow(context, topics.driftReviews, (review, { offset, timestamp: at }) => {
        if (review !== null) this.reviewed(review, { offset, at });
      }),
    ]);
  }

  get open(): number {
    return [...this.#verdicts.values()].filter(({ state }) => state !== "CLOSED").length;
  }

  changed(verdict: DriftVerdict): void {
    this.#verdicts.delete(verdict.verdictId);
    this.#verdicts.set(verdict.verdictId, verdict);
    if (this.#verdicts.size > this.#rememberedMax) {
      const all = [...this.#verdicts.values()];
      const oldest = all.find(({ state }) => state === "CLOSED") ?? all[0];
      this.#verdicts.delete(oldest?.verdictId ?? "");
    }
    this.#subscribers.publish(viewOf(this.#withReview(verdict)));
  }

  reviewed(review: DriftReview, place: Parameters<DriftReviews["take"]>[1]): void {
    const verdict = this.#verdicts.get(review.verdictId);
    const before = verdict && this.reviews.of(verdict);
    this.reviews.take(review, place);
    if (verdict === undefined) return;
    const after = this.#withReview(verdict);
    if (after.review?.offset !== before?.offset) this.#subscribers.publish(viewOf(after));
  }

  /** Those that opened last are first. */
  list(filter: DriftFilter, limit: number): DriftVerdictView[] {
    return [...this.#verdicts.values()]
      .map((verdict) => this.#withReview(verdict))
      .filter((verdict) => matchesVerdict(verdict, filter))
      .sort((a, b) => b.openedAt - a.openedAt || (a.verdictId < b.verdictId ? -1 : 1))
      .slice(0, limit)
      .map(viewOf);
  }

  /** @throws Problem */
  get(verdictId: string): DriftVerdict {
    const verdict = this.#verdicts.get(verdictId);
    if (verdict !== undefined) return this.#withReview(verdict);
    const detail = `No verdict ${verdictId} is known. GET /api/v1/drift?state=all lists them.`;
    throw new Problem(404, "verdict-unknown", "give-up", detail);
  }

  #withReview(verdict: DriftVerdict): DriftVerdict {
    return { ...verdict, review: this.reviews.of(verdict) };
  }
}
