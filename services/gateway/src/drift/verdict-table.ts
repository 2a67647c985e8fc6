/**
 * Verdicts of drift as drift-monitor publishes them. Of one verdict the newest record holds: its writer is fenced, so the
 * order in Kafka is the order of its decisions. Memory is bounded (G9): of `rememberedMax` verdicts, closed ones that
 * changed first are forgotten first.
 */
import type { DriftFilter, DriftVerdictView } from "@tributary/api";
import { type DriftVerdict, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";
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
  readonly #rememberedMax: number;
  readonly #subscribers: Pick<VerdictSubscribers, "publish">;
  /** Those that changed last are last. */
  readonly #verdicts = new Map<string, DriftVerdict>();

  constructor(rememberedMax: number, subscribers: Pick<VerdictSubscribers, "publish">) {
    this.#rememberedMax = rememberedMax;
    this.#subscribers = subscribers;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.driftVerdicts, (verdict, { key }) => {
      if (verdict !== null) this.changed(verdict);
      else this.#verdicts.delete(key ?? "");
    });
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
    this.#subscribers.publish(viewOf(verdict));
  }

  /** Those that opened last are first. */
  list(filter: DriftFilter, limit: number): DriftVerdictView[] {
    return [...this.#verdicts.values()]
      .filter((verdict) => matchesVerdict(verdict, filter))
      .sort((a, b) => b.openedAt - a.openedAt || (a.verdictId < b.verdictId ? -1 : 1))
      .slice(0, limit)
      .map(viewOf);
  }

  /** @throws Problem */
  get(verdictId: string): DriftVerdict {
    const verdict = this.#verdicts.get(verdictId);
    if (verdict !== undefined) return verdict;
    const detail = `No verdict ${verdictId} is known. GET /api/v1/drift?state=all lists them.`;
    throw new Problem(404, "verdict-unknown", "give-up", detail);
  }
}
