/**
 * Rollouts as rollout-manager publishes them: their state, and their history. Experiments share the log, so their history is here
 * as well.
 *
 * Only events that count are history (events.ts V1), by the same rule as rollout-manager's (`RolloutLog`). The others are
 * counted and passed over. Records of a rollout may come from several instances: one that is older than what is known, by
 * epoch and version (`compareGenerations`), changes nothing. Memory is bounded (G9): of `rememberedMax` rollouts those that
 * changed last are listed, and histories of `historyBytesMax` in all are held. An older history is read from Kafka again
 * when it is asked for.
 */
import type { RolloutDetail, RolloutFilter, RolloutView } from "@tributary/api";
import { type Rollout, topics } from "@tributary/contracts";
import {
  type FollowContext,
  type Following,
  follow,
  followAll,
  type InRecord,
  type PartitionReader,
} from "@tributary/kafka";
import { Failure } from "@tributary/kernel";
import {
  compareGenerations,
  type EventRecord,
  eventOfRecord,
  type RolloutEvent,
  RolloutLog,
} from "@tributary/rollouts";
import { type ExperimentEvent, isExperimentEvent } from "@tributary/rollouts/experiment";
import { Problem } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { rolloutEventPassedOver } from "../events.ts";
import { decoded, type FrameSearch } from "../frames/search.ts";
import type { Subscribers } from "../http/subscribers.ts";
import { detailOf, matchesRollout, type Naming, viewOf } from "./rollout.ts";

export type RolloutSubscribers = Subscribers<RolloutView, RolloutFilter>;
export const ROLLOUT_SUBSCRIBERS = Symbol("subscribers of rollouts");
export const rolloutStream = {
  matches: matchesRollout,
  textOf: (rollout: RolloutView) =>
    `event: rollout\nid: ${rollout.uid}-${rollout.version}\ndata: ${JSON.stringify(rollout)}\n\n`,
};

export type RolloutTableOptions = {
  readonly reader: PartitionReader;
  readonly search: Pick<FrameSearch, "within">;
  readonly naming: Naming;
  readonly subscribers: RolloutSubscribers;
  readonly telemetry: Telemetry;
  readonly limits: {
    readonly rememberedMax: number;
    readonly finishedMax: number;
    readonly historyBytesMax: number;
  };
  /** Records that reading a history again may scan. */
  readonly recordsMax: number;
};

type History = {
  /** Where the events that count are, in order. */
  readonly offsets: bigint[];
  bytes: number;
  /** Null: no longer held. */
  events: EventRecord[] | null;
};
type Place = Pick<InRecord, "key" | "offset">;

export class RolloutTable {
  readonly #options: RolloutTableOptions;
  readonly #log: RolloutLog;
  /** Those that changed last are last. */
  readonly #records = new Map<string, Rollout>();
  readonly #histories = new Map<string, History>();
  #bytes = 0;

  constructor(options: RolloutTableOptions) {
    this.#options = options;
    this.#log = new RolloutLog(options.limits.finishedMax);
  }

  get count(): number {
    return this.#records.size;
  }

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.rollouts, (record, { key }) => {
        if (record !== null) this.stands(record);
        else this.#records.delete(key ?? "");
      }),
      follow(context, topics.rolloutEvents, (event, record) => event && this.happened(event, record)),
    ]);
  }

  stands(record: Rollout): void {
    const known = this.#records.get(record.uid);
    if (known !== undefined && compareGenerations(record, known) < 0) return;
    this.#records.delete(record.uid);
    this.#records.set(record.uid, record);
    if (this.#records.size > this.#options.limits.rememberedMax) this.#forgetOldest();
    this.#options.subscribers.publish(viewOf(record, this.#options.naming));
  }

  happened(record: EventRecord, place: Place): void {
    const { uid } = record;
    if (!this.#counts(record, place)) return;
    const history = this.#histories.get(uid) ?? { offsets: [], bytes: 0, events: [] };
    history.offsets.push(place.offset);
    if (history.events !== null) {
      history.events.push(record);
      history.bytes += record.details.length;
      this.#bytes += record.details.length;
    }
    this.#histories.delete(uid);
    this.#histories.set(uid, history);
    this.#evict(uid);
  }

  #counts(record: EventRecord, { key, offset }: Place): boolean {
    const { uid, version } = record;
    const passOver = (code: string) => {
      this.#options.telemetry.emit(rolloutEventPassedOver, { uid, version: `${version}`, code });
      return false;
    };
    try {
      const event = eventOfRecord(record);
      if (key !== uid) return passOver("rollout-event-unusable");
      const { kind } = this.#log.apply(event, offset);
      return kind === "counts" || passOver(`rollout-event-${kind}`);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return passOver(error.code);
    }
  }

  /** Newest first. */
  list(filter: RolloutFilter, limit: number): RolloutView[] {
    return [...this.#records.values()]
      .map((record) => viewOf(record, this.#options.naming))
      .filter((rollout) => matchesRollout(rollout, filter))
      .sort((a, b) => (a.createdAt === b.createdAt ? (a.uid < b.uid ? -1 : 1) : a.createdAt < b.createdAt ? 1 : -1))
      .slice(0, limit);
  }

  get(uid: string): RolloutDetail {
    const record = this.#records.get(uid);
    if (record === undefined) {
      const detail = `No rollout ${uid} is known. GET /api/v1/rollouts lists them.`;
      throw new Problem(404, "rollout-unknown", "give-up", detail);
    }
    return detailOf(record, this.#options.naming);
  }

  /** The events that count, in order. @throws Problem */
  async history(uid: string): Promise<readonly RolloutEvent[]> {
    const events = (await this.#eventsOf(uid)).flatMap((event) => (isExperimentEvent(event) ? [] : [event]));
    if (events.length > 0) return events;
    const detail = `No events of a rollout ${uid} are known. GET /api/v1/rollouts lists rollouts.`;
    throw new Problem(404, "rollout-unknown", "give-up", detail);
  }

  /** The same of an experiment. @throws Problem */
  async experimentHistory(uid: string): Promise<readonly ExperimentEvent[]> {
    const events = (await this.#eventsOf(uid)).filter(isExperimentEvent);
    if (events.length > 0) return events;
    const detail = `No events of an experiment ${uid} are known. GET /api/v1/experiments lists experiments.`;
    throw new Problem(404, "experiment-unknown", "give-up", detail);
  }

  /** Of what is no longer listed. */
  forgetHistory(uid: string): void {
    this.#bytes -= this.#histories.get(uid)?.bytes ?? 0;
    this.#histories.delete(uid);
  }

  async #eventsOf(uid: string) {
    const history = this.#histories.get(uid);
    const records = history === undefined ? [] : (history.events ?? (await this.#readAgain(uid, history.offsets)));
    return records.map(eventOfRecord);
  }

  /** Drops the events of the oldest histories beyond `historyBytesMax`; they are read again when asked for. */
  #evict(newest: string): void {
    const { historyBytesMax } = this.#options.limits;
    for (const [uid, history] of this.#histories) {
      if (this.#bytes <= historyBytesMax) return;
      if (uid === newest || history.events === null) continue;
      this.#bytes -= history.bytes;
      Object.assign(history, { bytes: 0, events: null });
    }
  }

  #forgetOldest(): void {
    const all = [...this.#records.values()];
    const oldest =
      all.find(({ phase, isBack, abandonedDevices }) => phase === "HEALTHY" || isBack || abandonedDevices > 0) ??
      all[0];
    if (oldest === undefined) return;
    this.#records.delete(oldest.uid);
    this.forgetHistory(oldest.uid);
  }

  #readAgain(uid: string, offsets: readonly bigint[]): Promise<EventRecord[]> {
    const { reader, search, recordsMax } = this.#options;
    const { name } = topics.rolloutEvents;
    const [from = 0n, last = -1n] = [offsets[0], offsets.at(-1)];
    const wanted = new Set(offsets);
    return search.within(async (signal) => {
      const events: EventRecord[] = [];
      if (last - from < BigInt(recordsMax)) {
        for await (const record of reader.read(name, 0, { from, until: last + 1n, signal })) {
          const event = wanted.has(record.offset) ? decoded(topics.rolloutEvents, record) : undefined;
          if (event !== undefined) events.push(event);
        }
      }
      if (events.length === wanted.size) return events;
      const detail = `The history of ${uid} is among more than ${recordsMax} events, or reading it takes longer than this gateway may: raise scan.recordsMax and scan.msMax.`;
      throw new Problem(503, "history-bounded", "ask-a-person", detail);
    });
  }
}
