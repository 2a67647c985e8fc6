/**
 * Queries Prometheus for the metrics of active rollouts and writes the answers to metrics.observations.v1.
 *
 * It decides nothing and counts nothing: every instance judges by the records in the topic, so all reach the same verdict,
 * also those that cannot reach Prometheus or start later (ADR 25). Any number of instances may query the same moment; the
 * first record in the log counts (C2 of counters.ts). A slow or unreachable Prometheus stops nothing: it is counted, logged
 * at most every `REPORT_EVERY_MS`, and the topic gets the reason why there is no data. A round queries `ASKS_AT_ONCE`
 * metrics at a time, each bounded in time; a metric that fails backs off (G9).
 */
import { type MetricObservations, topics } from "@tributary/contracts";
import { codeOf, type RecordSink } from "@tributary/kafka";
import { backoffMs, type Clock, type Instant, type Random, reasonOf, repeat } from "@tributary/kernel";
import { isFinished, type MetricSpec, type Rollout, type RolloutController } from "@tributary/rollouts";
import type { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import type { Telemetry } from "@tributary/telemetry";
import type { RolloutManagerConfig } from "../config.ts";
import { observed, observingFailed, observingTrouble, seriesRefused, writeFailed } from "../events.ts";
import { askPrometheus, type Vector } from "./client.ts";
import { type Grid, momentsDue } from "./moments.ts";
import { problemOf, type Readings, readingsOf } from "./readings.ts";

export type ObserverOptions = {
  /** One instant vector at a moment; throws Failure `prometheus-…`. */
  readonly ask: (query: string, at: Instant, signal: AbortSignal) => Promise<Vector>;
  readonly grid: Grid;
  readonly controller: Pick<RolloutController, "rollouts">;
  readonly fleet: FleetMetrics;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** False until this instance has read the observations of the others. */
  readonly isReady: () => boolean;
};

type Provided = NonNullable<MetricSpec["provider"]>["prometheus"];
type Ask = {
  readonly rollout: Rollout;
  readonly metric: string;
  readonly provided: Provided;
  readonly moments: readonly Instant[];
  /** The devices whose counters are read; if live, those of the comparison. */
  readonly members: ReadonlySet<string>;
  readonly isLive: boolean;
};
type State = {
  answeredTo: Instant | null;
  failures: number;
  /** Monotonic. */
  dueAt: number;
  /** The moment for which the lack of data was published. */
  excusedAt: Instant | null;
  trouble: string | null;
  reportedAt: number;
};

const ROUND_MS = 500;
const ASKS_AT_ONCE = 4;
/** Keeps a record far below Kafka's limit. */
export const DEVICES_A_RECORD = 1_000;
const BACKOFF = { minMs: 500, maxMs: 60_000 };
const REPORT_EVERY_MS = 600_000;
const HOUR = 3_600_000;

/** Null: no Prometheus is configured; the observations of other instances count all the same. */
export function observerOf(
  { prometheus, judge }: RolloutManagerConfig,
  parts: Omit<ObserverOptions, "ask" | "grid">,
): Observer | null {
  if (prometheus === undefined) return null;
  const { everyMs, delayMs, ...access } = prometheus;
  return new Observer({
    ...parts,
    ask: (query, at, signal) => askPrometheus(access, query, at, signal),
    grid: { everyMs, delayMs, pastMs: judge.preperiodHours * HOUR },
  });
}

export class Observer {
  readonly #options: ObserverOptions;
  readonly #states = new Map<string, State>();

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, isReady, grid } = this.#options;
    const everyMs = Math.min(ROUND_MS, grid.everyMs);
    return repeat(() => isReady() && this.round(signal), { clock, everyMs, signal });
  }

  /** Queries every metric that is due. */
  async round(signal: AbortSignal): Promise<void> {
    const asks = this.#asks();
    const work = async () => {
      for (let ask = asks.shift(); ask !== undefined && !signal.aborted; ask = asks.shift())
        await this.#ask(ask, signal);
    };
    await Promise.all(Array.from({ length: ASKS_AT_ONCE }, work));
  }

  #asks(): Ask[] {
    const { controller, fleet, grid, clock } = this.#options;
    const [now, monotonic] = [clock.now(), clock.monotonicMs()];
    const asks: Ask[] = [];
    const known = new Set<string>();
    for (const rollout of controller.rollouts) {
      if (isFinished(rollout)) continue;
      for (const { name: metric, provider } of rollout.spec.spec.metrics) {
        if (provider === undefined) continue;
        const { uid, createdAt, cohorts } = rollout;
        const key = keyOf(uid, metric);
        known.add(key);
        const state = this.#state(key);
        if (monotonic < state.dueAt) continue;
        const analysis = fleet.analysis(uid);
        const startedAt = analysis?.plan.startedAt ?? null;
        const answeredTo = newestOf(state.answeredTo, fleet.countedTo(uid, metric));
        const moments = momentsDue({ createdAt, startedAt, answeredTo }, grid, now);
        if (moments.length === 0) continue;
        const isLive = startedAt !== null && (moments[0] as Instant) >= startedAt;
        const members = new Set(isLive ? analysis?.members : cohorts.order);
        asks.push({ rollout, metric, provided: provider.prometheus, moments, members, isLive });
      }
    }
    for (const key of this.#states.keys()) if (!known.has(key)) this.#states.delete(key);
    return asks;
  }

  async #ask(ask: Ask, signal: AbortSignal): Promise<void> {
    const { clock, telemetry, random } = this.#options;
    const { rollout, metric, moments, members, isLive } = ask;
    const { uid } = rollout;
    const state = this.#state(keyOf(uid, metric));
    const startedMs = clock.monotonicMs();
    const last = moments.at(-1) as Instant;
    const records: MetricObservations[] = [];
    let problem: string | null = null;
    let answered = last;
    try {
      for (const at of moments) {
        const read = await this.#readings(ask, at, signal);
        if (isLive) problem = this.#reportRefused(ask, read);
        records.push(...recordsOf(uid, metric, at, read, isLive ? problem : null));
      }
      state.failures = 0;
      const ms = clock.monotonicMs() - startedMs;
      telemetry.emit(observed, { uid, metric, devices: members.size, ms });
    } catch (error) {
      if (signal.aborted) return;
      problem = reasonOf(error);
      telemetry.emit(observingFailed, { uid, metric, code: codeOf(error), reason: problem });
      state.dueAt = clock.monotonicMs() + backoffMs(BACKOFF, state.failures++, random);
      records.length = 0;
      answered = state.answeredTo ?? Number.NEGATIVE_INFINITY;
      if (isLive && state.excusedAt !== last) records.push({ rolloutUid: uid, metric, at: last, devices: [], problem });
    }
    this.#report(state, uid, metric, problem);
    try {
      const { name: topic, codec } = topics.observations;
      if (records.length > 0)
        await this.#options.sink.send(
          records.map((record) => ({ topic, key: uid, value: codec.encodeConfluent(record) })),
        );
      if (Number.isFinite(answered)) state.answeredTo = answered;
      if (state.failures > 0) state.excusedAt = last;
    } catch (error) {
      state.dueAt = clock.monotonicMs() + BACKOFF.minMs;
      telemetry.emit(writeFailed, { what: "observations", code: codeOf(error), reason: reasonOf(error) });
    }
  }

  async #readings({ provided, members }: Ask, at: Instant, signal: AbortSignal): Promise<Readings> {
    const { good, total, deviceLabel } = provided;
    const { ask } = this.#options;
    const [goods, totals] = await Promise.all([ask(good, at, signal), ask(total, at, signal)]);
    return readingsOf(goods, totals, deviceLabel, (deviceId) => members.has(deviceId));
  }

  /** Reports the refused series; returns what is wrong with the answer. */
  #reportRefused({ rollout: { uid }, metric, members }: Ask, read: Readings): string | null {
    for (const [reason, { count, some }] of read.refused) {
      this.#options.telemetry.emit(seriesRefused, { uid, metric, reason, count, some: some.join(", ") });
    }
    return problemOf(read, members.size);
  }

  #report(state: State, uid: string, metric: string, problem: string | null): void {
    const { clock, telemetry } = this.#options;
    const now = clock.monotonicMs();
    const isNews = (problem === null) !== (state.trouble === null) || now - state.reportedAt >= REPORT_EVERY_MS;
    state.trouble = problem;
    if (!isNews || problem === null) return;
    state.reportedAt = now;
    telemetry.emit(observingTrouble, { uid, metric, problem });
  }

  #state(key: string): State {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state: State = {
      answeredTo: null,
      failures: 0,
      dueAt: Number.NEGATIVE_INFINITY,
      excusedAt: null,
      trouble: null,
      reportedAt: Number.NEGATIVE_INFINITY,
    };
    this.#states.set(key, state);
    return state;
  }
}

const keyOf = (uid: string, metric: string): string => `${uid} ${metric}`;

const newestOf = (a: Instant | null, b: Instant | null): Instant | null =>
  a === null || b === null ? (a ?? b) : Math.max(a, b);

function recordsOf(
  rolloutUid: string,
  metric: string,
  at: Instant,
  { readings }: Readings,
  problem: string | null,
): readonly MetricObservations[] {
  const records: MetricObservations[] = [];
  for (let i = 0; i < readings.length; i += DEVICES_A_RECORD)
    records.push({ rolloutUid, metric, at, devices: readings.slice(i, i + DEVICES_A_RECORD), problem });
  if (records.length === 0 && problem !== null) records.push({ rolloutUid, metric, at, devices: [], problem });
  return records;
}
