/**
 * Trainings as the trainer publishes them, and what happened to each. Of one run the record of the highest version holds.
 *
 * Memory is bounded (G9): of `rememberedMax` runs, ended ones that changed first are forgotten first, and events of
 * `historyBytesMax` in all are held, those of the run that changed last the longest. Whoever asks for events that are no
 * longer held is referred to the topic.
 */
import type { TrainingFilter, TrainingView } from "@tributary/api";
import { type TrainingEvent, type TrainingRun, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, followAll } from "@tributary/kafka";
import { Problem } from "@tributary/service-kit";
import { isEnded } from "@tributary/training";
import type { StreamFormat, Subscribers } from "../http/subscribers.ts";
import { matchesTraining, viewOf } from "./training.ts";

export type TrainingSubscribers = Subscribers<TrainingView, TrainingFilter>;
export const TRAINING_SUBSCRIBERS = Symbol("subscribers of trainings");
/** The service that alone writes trainings, to which commands are forwarded. */
export const TRAINER = Symbol("trainer");
export const trainingStream: StreamFormat<TrainingView, TrainingFilter> = {
  matches: matchesTraining,
  textOf: (run) => `event: training\nid: ${run.runId}-${run.version}\ndata: ${JSON.stringify(run)}\n\n`,
};

type TrainingTableLimits = { readonly rememberedMax: number; readonly historyBytesMax: number };
type History = { events: TrainingEvent[]; bytes: number; isWhole: boolean };

/** Of an event, beside its details. */
const EVENT_BYTES = 200;

export class TrainingTable {
  readonly #limits: TrainingTableLimits;
  readonly #subscribers: Pick<TrainingSubscribers, "publish">;
  /** Those that changed last are last. */
  readonly #runs = new Map<string, TrainingRun>();
  readonly #histories = new Map<string, History>();
  #bytes = 0;

  constructor(limits: TrainingTableLimits, subscribers: Pick<TrainingSubscribers, "publish">) {
    this.#limits = limits;
    this.#subscribers = subscribers;
  }

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.trainingResults, (run, { key }) => {
        if (run !== null) this.stands(run);
        else this.#runs.delete(key ?? "");
      }),
      follow(context, topics.trainingRequests, (event) => event && this.happened(event)),
    ]);
  }

  get open(): number {
    return [...this.#runs.values()].filter((run) => !isEnded(run)).length;
  }

  stands(run: TrainingRun): void {
    const known = this.#runs.get(run.runId);
    if (known !== undefined && run.version < known.version) return;
    this.#runs.delete(run.runId);
    this.#runs.set(run.runId, run);
    if (this.#runs.size > this.#limits.rememberedMax) {
      const all = [...this.#runs.values()];
      this.#runs.delete((all.find(isEnded) ?? all[0])?.runId ?? "");
    }
    this.#subscribers.publish(viewOf(run));
  }

  happened(event: TrainingEvent): void {
    const { runId, version } = event;
    const history = this.#histories.get(runId) ?? { events: [], bytes: 0, isWhole: true };
    if (version <= (history.events.at(-1)?.version ?? 0n)) return;
    const bytes = event.details.length + EVENT_BYTES;
    history.events.push(event);
    history.bytes += bytes;
    this.#bytes += bytes;
    this.#histories.delete(runId);
    this.#histories.set(runId, history);
    this.#evict();
  }

  /** Newest first. */
  list(filter: TrainingFilter, limit: number): TrainingView[] {
    return this.records((run) => matchesTraining(run, filter))
      .slice(0, limit)
      .map(viewOf);
  }

  /** Newest first. */
  records(wants: (run: TrainingRun) => boolean): TrainingRun[] {
    return [...this.#runs.values()]
      .filter(wants)
      .sort((a, b) => b.requestedAt - a.requestedAt || (a.runId < b.runId ? -1 : 1));
  }

  /** The newest of a model that ended with a new champion after a moment. */
  trainedSince(model: string, since: number): TrainingRun | undefined {
    return this.records(
      (run) =>
        run.model === model &&
        run.phase === "SUCCEEDED" &&
        run.candidateVersion !== "" &&
        (run.endedAt ?? run.changedAt) > since,
    )[0];
  }

  /** @throws Problem */
  get(runId: string): TrainingRun {
    const run = this.#runs.get(runId);
    if (run !== undefined) return run;
    const detail = `No training ${runId} is known. GET /api/v1/trainings lists them.`;
    throw new Problem(404, "training-unknown", "give-up", detail);
  }

  /** In order. @throws Problem */
  history(runId: string): readonly TrainingEvent[] {
    this.get(runId);
    const { events = [], isWhole = true } = this.#histories.get(runId) ?? {};
    if (isWhole) return events;
    const detail = `Events of training ${runId} are no longer in memory: raise trainings.historyBytesMax, or read ${topics.trainingRequests.name}.`;
    throw new Problem(503, "history-bounded", "ask-a-person", detail);
  }

  #evict(): void {
    for (const [runId, history] of this.#histories) {
      if (this.#histories.size > 2 * this.#limits.rememberedMax) this.#histories.delete(runId);
      else if (this.#bytes <= this.#limits.historyBytesMax) return;
      this.#bytes -= history.bytes;
      Object.assign(history, { events: [], bytes: 0, isWhole: false });
    }
  }
}
