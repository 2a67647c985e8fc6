/**
 * Experiments as rollout-manager publishes them. Records of one may come from several instances: the older one, by epoch and version,
 * changes nothing (`compareGenerations`). Memory is bounded (G9): of `rememberedMax`, ended ones that changed first are forgotten
 * first. Their events stand in the log of rollouts, see `RolloutTable`.
 */
import type { ExperimentDetail, ExperimentFilter, ExperimentView } from "@tributary/api";
import { type Experiment, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { compareGenerations } from "@tributary/rollouts";
import { Problem } from "@tributary/service-kit";
import { detailOf, matchesExperiment, type Shown, viewOf } from "./experiment.ts";

export type ExperimentTableOptions = Omit<Shown, "now"> & {
  readonly clock: Clock;
  readonly rememberedMax: number;
  readonly onForgotten: (uid: string) => void;
};

export class ExperimentTable {
  readonly #options: ExperimentTableOptions;
  /** Those that changed last are last. */
  readonly #records = new Map<string, Experiment>();

  constructor(options: ExperimentTableOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#records.size;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.experiments, (record, { key }) => {
      if (record !== null) this.stands(record);
      else this.#records.delete(key ?? "");
    });
  }

  stands(record: Experiment): void {
    const known = this.#records.get(record.uid);
    if (known !== undefined && compareGenerations(record, known) < 0) return;
    this.#records.delete(record.uid);
    this.#records.set(record.uid, record);
    if (this.#records.size > this.#options.rememberedMax) this.#forgetOldest();
  }

  /** Newest first. */
  list(filter: ExperimentFilter, limit: number): ExperimentView[] {
    const shown = this.#shown;
    return [...this.#records.values()]
      .filter((record) => matchesExperiment(record, filter))
      .sort((a, b) => b.createdAt - a.createdAt || (a.uid < b.uid ? -1 : 1))
      .slice(0, limit)
      .map((record) => viewOf(record, shown));
  }

  /** @throws Problem */
  get(uid: string): ExperimentDetail {
    const record = this.#records.get(uid);
    if (record !== undefined) return detailOf(record, this.#shown);
    const detail = `No experiment ${uid} is known. GET /api/v1/experiments lists them.`;
    throw new Problem(404, "experiment-unknown", "give-up", detail);
  }

  get #shown(): Shown {
    const { naming, trainedSince, clock } = this.#options;
    return { naming, trainedSince, now: clock.now() };
  }

  #forgetOldest(): void {
    const all = [...this.#records.values()];
    const oldest = all.find(({ phase }) => phase !== "RUNNING") ?? all[0];
    if (oldest === undefined) return;
    this.#records.delete(oldest.uid);
    this.#options.onForgotten(oldest.uid);
  }
}
