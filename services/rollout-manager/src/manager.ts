/**
 * The rollout-manager, apart from HTTP: topics in, the controller's decisions out. All state is folded from Kafka, by any
 * number of instances alike.
 *
 * M1. Nothing is decided, and no request is answered, before what Kafka held at the start was read.
 * M2. (V1) It acts on what stands in the log, never on what it meant to write there.
 * M3. Looks happen at multiples of `judge.lookEveryMs` of record time. An analysis does not end for want of data while this
 *     instance has not read the data yet.
 * M4. Every round is bounded, and a failure of one (Kafka away) is told and tried again with the next.
 * M5. Two instances propose the same at the same moment: each waits a little, by chance, and looks again before it does.
 */
import { randomUUID } from "node:crypto";
import { type Topic, topics } from "@tributary/contracts";
import { FleetMetrics } from "@tributary/fleet-metrics";
import { codeOf, type PartitionReader, type RecordSink } from "@tributary/kafka";
import { backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import {
  applyEvent,
  type Command,
  isFinished,
  type Proposal,
  type Rollout,
  type RolloutChange,
  RolloutController,
  type RolloutEvent,
} from "@tributary/rollouts";
import { type FollowContext, type Following, follow } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { autoUidOf, BY, codeOfRefusal, waitingChallengers } from "./auto-start.ts";
import { makeChampion, promotionsOf } from "./champion.ts";
import { controllerSettingsOf, defaultSpecOf, type RolloutManagerConfig, settingsThatDiffer } from "./config.ts";
import { planRollout } from "./creation/plan-rollout.ts";
import { refuseUnprovided, specOf } from "./creation/spec-problems.ts";
import { DesiredWriter } from "./desired/desired-writer.ts";
import {
  aliasFailed,
  aliasMoved,
  appendFailed,
  autoStarted,
  autoStartRefused,
  foldFailed,
  looked,
  reportIgnored,
  testHooksSet,
  writeFailed,
} from "./events.ts";
import { believedOf, isContradicted, slotsOf } from "./fleet/believed.ts";
import { FleetTable } from "./fleet/fleet-table.ts";
import { EventLog, type Fate } from "./log/event-log.ts";
import { ModelTable } from "./models/model-table.ts";
import { askPrometheus } from "./prometheus/client.ts";
import { Observer } from "./prometheus/observer.ts";
import { refuseQueries } from "./prometheus/preflight.ts";
import { StatusPublisher } from "./status/status-publisher.ts";
import { noHooks, type TestHooks } from "./test-hooks.ts";
import { MetricsFold } from "./watching/metrics-fold.ts";
import type { SliceReader } from "./watching/topic-slices.ts";

export type ManagerOptions = {
  readonly config: RolloutManagerConfig;
  readonly reader: PartitionReader;
  /** Of its own: a slice would else wait for the long polls of what is followed. */
  readonly slices: SliceReader & Pick<PartitionReader, "close">;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly hooks?: TestHooks;
};

const TICK_MS = 200;
/** M5 */
const PROPOSAL_JITTER_MS = 250;
const AUTO_START_EVERY_MS = 30_000;
const CHAMPION_EVERY_MS = 5_000;
const HOUR = 3_600_000;
const FOLD_BACKOFF = { minMs: 200, maxMs: 5_000 };

export class Manager {
  readonly fleet = new FleetTable();
  readonly models = new ModelTable();
  readonly metrics: FleetMetrics;
  readonly controller: RolloutController;
  readonly log: EventLog;
  readonly desired: DesiredWriter;
  readonly status: StatusPublisher;
  readonly #options: ManagerOptions;
  readonly #hooks: TestHooks;
  readonly #fold: MetricsFold;
  /** Null: there is no Prometheus to ask; what other instances are answered counts all the same. */
  readonly #observer: Observer | null;
  readonly #stop = new AbortController();
  /** When a proposal may be made, by rollout and version. */
  readonly #dueAt = new Map<string, { readonly version: number; readonly at: number }>();
  readonly #rolledOut = new Set<string>();
  readonly #contradicted = new Set<string>();
  readonly #refusedStarts = new Map<string, string>();
  #budgets: ReadonlyMap<string, string> | null = null;
  #ended: Promise<unknown> = Promise.resolve();
  #isCaughtUp = false;
  #round: Promise<void> = Promise.resolve();
  #autoStartAt = 0;
  #championAt = 0;
  #modelsSeen = -1;

  constructor(options: ManagerOptions) {
    const { config, slices, sink, clock, telemetry } = options;
    const { epoch, limits, judge, updates } = config;
    const hooks = options.hooks ?? noHooks;
    this.#options = options;
    this.#hooks = hooks;
    this.metrics = new FleetMetrics({ devicesMax: limits.devicesMax });
    this.controller = new RolloutController(this.metrics, controllerSettingsOf(config));
    this.log = new EventLog({
      ...{ controller: this.controller, epoch, sink, clock, telemetry, hooks, readBackMsMax: limits.readBackMsMax },
      onChange: (event, generation) => this.#changed(event, generation),
    });
    this.desired = new DesiredWriter({
      ...{ controller: this.controller, models: this.models, settings: updates, sink, clock, telemetry, hooks },
      isRevoked: (deviceId) => this.fleet.isRevoked(deviceId),
      nextGeneration: () => this.log.nextGeneration,
    });
    this.status = new StatusPublisher({
      ...{ controller: this.controller, models: this.models, sink, clock, everyMs: limits.statusEveryMs },
    });
    this.#fold = new MetricsFold({
      ...{ reader: slices, fleet: this.metrics, telemetry, propensityMean: judge.propensityMean, limits },
      budgetOf: (deviceId, modelDigest) => this.#budgetOf(deviceId, modelDigest),
      createdAt: (uid, metric) => this.#createdAt(uid, metric),
      noted: (uid, metric, words) => this.controller.noted(uid, metric, words),
    });
    this.#observer = this.#observerOf(options);
    this.#gauges();
  }

  /** True, or what is still missing. */
  get health(): true | string {
    return this.#isCaughtUp || "still reading what Kafka holds";
  }

  async start(): Promise<void> {
    const { reader, clock, random, telemetry } = this.#options;
    if (this.#hooks.set !== undefined) telemetry.emit(testHooksSet, { set: this.#hooks.set });
    await this.#awaitTopics();
    const context: FollowContext = { reader, clock, random, telemetry, signal: this.#stop.signal };
    const caughtUp = (followings: readonly Following[]) => Promise.all(followings.map((one) => one.caughtUp));
    const tables = await Promise.all([
      follow(context, topics.registry, (registration, { key }) => {
        this.fleet.registered(key ?? "", registration);
        if (this.fleet.isRevoked(key ?? "")) this.controller.forget(key ?? "");
        else this.#believe(key ?? "");
      }),
      follow(context, topics.reported, (reported, { key, timestamp }) => {
        const deviceId = key ?? "";
        const reason = this.fleet.reported(deviceId, reported, timestamp);
        if (reason !== null) telemetry.emit(reportIgnored, { device: deviceId, reason });
        else if (reported === null) this.controller.forget(deviceId);
        else this.#believe(deviceId);
      }),
      follow(context, topics.models, (model, { key }) => this.models.model(key ?? "", model)),
      follow(context, topics.modelAliases, (aliases, { key }) => this.models.aliases(key ?? "", aliases)),
      this.status.follow(context),
      this.desired.follow(context),
    ]);
    void this.#live(context, tables, caughtUp(tables));
  }

  /** The log comes last: what its events ask of devices is compared with what stands there. */
  async #live(context: FollowContext, tables: readonly Following[], caughtUp: Promise<unknown>): Promise<void> {
    await caughtUp;
    const log = await this.log.follow(context);
    this.#ended = Promise.all([...tables.map((one) => one.ended), log.ended]);
    await log.caughtUp;
    if (this.#stop.signal.aborted) return;
    this.#isCaughtUp = true; // M1
    for (const { uid } of this.controller.rollouts) this.status.due(uid);
    this.#ended = Promise.all([this.#ended, this.#work(), this.#watch(), this.#observer?.run(this.#stop.signal)]);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    await this.#round;
    const { reader, slices, sink } = this.#options;
    await Promise.all([reader.close(), slices.close(), sink.close()]);
  }

  /** Throws SpecRefused, or the Failure of a conflict. `uid` is given by whoever may repeat the call. */
  async create(written: unknown, by: string, uid: string = randomUUID()): Promise<Rollout> {
    this.#refuseEarly();
    const spec = specOf(written);
    refuseUnprovided(spec, this.#options.config);
    const change = planRollout(spec, {
      fleet: this.fleet,
      models: this.models,
      accuracyBefore: (deviceId) => this.metrics.rateOf(deviceId, "accuracy"),
      salt: uid,
    });
    const { prometheus } = this.#options.config;
    if (prometheus !== undefined)
      await refuseQueries(spec, change.order, prometheus, this.#options.clock.now(), this.#stop.signal);
    const event: RolloutEvent = { uid, version: 1, at: 0, by, change };
    const planned = applyEvent(null, event, 0n) as Rollout;
    this.controller.refuse(planned);
    await this.#settled(await this.log.propose({ uid, version: 1, change }, by));
    return this.controller.rollout(uid) ?? planned;
  }

  /** `step`: the one that whoever wants it saw at work. Throws Failure `rollout-changed` when another is by now. */
  async command(uid: string, wanted: Command, by: string, step?: number): Promise<Rollout> {
    this.#refuseEarly();
    const atWork = this.controller.rollout(uid)?.step;
    if (step !== undefined && atWork !== undefined && atWork !== step) {
      const what = `step ${atWork + 1} is at work, no longer step ${step + 1}; look, and try again`;
      throw new Failure("rollout-changed", "retry", what);
    }
    await this.#settled(await this.log.propose(this.controller.command(uid, wanted, by), by));
    return this.controller.rollout(uid) as Rollout;
  }

  #refuseEarly(): void {
    if (this.#isCaughtUp) return;
    throw new Failure("rollout-manager-starting", "retry", `the rollout-manager is ${this.health}; try again`);
  }

  /** What became of a person's wish. */
  async #settled(fate: Fate): Promise<void> {
    switch (fate.kind) {
      case "counts":
        return;
      case "stale":
        throw new Failure(
          "rollout-changed",
          "retry",
          `the rollout has just changed: ${fate.reason}; look, and try again`,
        );
      case "conflicts":
        throw new Failure("rollout-conflict", "ask-a-person", fate.reason);
      case "unknown":
        throw new Failure("rollout-unread", "retry", `whether it counts is not known yet: ${fate.reason}; look again`);
      default:
        return fate satisfies never;
    }
  }

  #changed(event: RolloutEvent, generation: bigint): void {
    const { change, uid } = event;
    this.desired.decided(event, generation);
    if (change.kind === "created") this.#rolledOut.add(change.modelDigest);
    this.#budgets = null;
    this.status.due(uid);
  }

  // What is proposed and written.

  async #work(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#round = this.#once();
      await this.#round;
      await clock.sleep(TICK_MS, signal).catch(() => {});
    }
  }

  /** M4 */
  async #once(): Promise<void> {
    const { clock, telemetry } = this.#options;
    for (const proposal of this.controller.propose(clock.now())) this.#propose(proposal);
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        telemetry.emit(writeFailed, { what, code: codeOf(error), reason: reasonOf(error) });
      }
    };
    await attempt("desired states", () => this.desired.write(this.#stop.signal));
    for (const rollout of this.controller.rollouts) if (!isFinished(rollout)) this.status.due(rollout.uid);
    await attempt("status", () => this.status.publish());
    this.#autoStart();
    this.#makeChampions();
  }

  #propose({ uid, version, change }: Proposal): void {
    const { clock, random, telemetry } = this.#options;
    if (this.log.isBusy(uid) || this.#mustWait(change)) return;
    const now = clock.monotonicMs();
    const due = this.#dueAt.get(uid);
    if (due?.version !== version) {
      this.#dueAt.set(uid, { version, at: now + random() * PROPOSAL_JITTER_MS }); // M5
      return;
    }
    if (now < due.at) return;
    this.#dueAt.delete(uid);
    const proposal = { uid, version, change: this.#withSettings(change) };
    this.log.propose(proposal, BY).catch((error: unknown) => {
      telemetry.emit(appendFailed, { uid, kind: change.kind, code: codeOf(error), reason: reasonOf(error) });
    });
  }

  /** M3 */
  #mustWait(change: RolloutChange): boolean {
    if (change.kind !== "analysed" || change.verdict === "Failed" || change.verdict === "Successful") return false;
    const { judge, limits } = this.#options.config;
    const behindMs = this.#options.clock.now() - (this.#fold.foldedTo ?? 0);
    return behindMs > 2 * judge.lookEveryMs + judge.settleMs && behindMs < limits.foldBehindMsMax;
  }

  #withSettings(change: RolloutChange): RolloutChange {
    if (!("evidence" in change) || change.evidence.format !== "tributary.analysis/1") return change;
    return { ...change, evidence: { ...change.evidence, settings: settingsThatDiffer(this.#options.config) } };
  }

  // What is looked at.

  async #watch(): Promise<void> {
    const { clock, config, random, telemetry } = this.#options;
    const { lookEveryMs, settleMs } = config.judge;
    const { signal } = this.#stop;
    let next = await this.#beginFold();
    for (let failures = 0; !signal.aborted; ) {
      const waitMs = next + settleMs - clock.now();
      if (waitMs > 0) {
        await clock.sleep(Math.min(waitMs, lookEveryMs), signal).catch(() => {});
        continue;
      }
      try {
        await this.#fold.foldTo(next, clock.now() - settleMs, signal);
        if (signal.aborted) return;
        this.#lookAt(next);
        this.metrics.keepCounters((uid) => this.controller.rollout(uid) !== null);
        next += lookEveryMs;
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        telemetry.emit(foldFailed, { code: codeOf(error), reason: reasonOf(error) });
        await clock.sleep(backoffMs(FOLD_BACKOFF, failures++, random), signal).catch(() => {});
      }
    }
  }

  /** The first moment to look at; what was before is folded in one piece. */
  async #beginFold(): Promise<number> {
    const { clock, config, random, telemetry } = this.#options;
    const { lookEveryMs, preperiodHours } = config.judge;
    const starts = this.controller.rollouts.flatMap(({ uid }) => this.metrics.analysis(uid)?.plan.startedAt ?? []);
    const first = Math.min(clock.now(), ...starts);
    for (let failures = 0; !this.#stop.signal.aborted; ) {
      try {
        await this.#fold.begin(first - preperiodHours * HOUR, this.#observedFrom());
        break;
      } catch (error) {
        telemetry.emit(foldFailed, { code: codeOf(error), reason: reasonOf(error) });
        await clock.sleep(backoffMs(FOLD_BACKOFF, failures++, random), this.#stop.signal).catch(() => {});
      }
    }
    return Math.floor(first / lookEveryMs) * lookEveryMs;
  }

  /** What Prometheus said of a rollout is one history from its creation on, also if it is retried. */
  #observedFrom(): number {
    const provided = this.controller.rollouts.filter(
      ({ phase, spec }) => phase !== "Healthy" && spec.spec.metrics.some(({ provider }) => provider !== undefined),
    );
    return Math.min(Number.POSITIVE_INFINITY, ...provided.map(({ createdAt }) => createdAt));
  }

  #createdAt(uid: string, metric: string): number | undefined {
    const rollout = this.controller.rollout(uid);
    const isProvided = rollout?.spec.spec.metrics.some(
      ({ name, provider }) => name === metric && provider !== undefined,
    );
    return isProvided === true ? rollout?.createdAt : undefined;
  }

  #observerOf({ config, sink, clock, random, telemetry }: ManagerOptions): Observer | null {
    const { prometheus, judge, limits } = config;
    if (prometheus === undefined) return null;
    const { everyMs, delayMs, ...access } = prometheus;
    return new Observer({
      ask: (query, at, signal) => askPrometheus(access, query, at, signal),
      ...{ grid: { everyMs, delayMs, pastMs: judge.preperiodHours * HOUR } },
      ...{ controller: this.controller, fleet: this.metrics, sink, clock, random, telemetry },
      isReady: () => clock.now() - (this.#fold.foldedTo ?? 0) < limits.foldBehindMsMax,
    });
  }

  #lookAt(at: number): void {
    const { clock, telemetry } = this.#options;
    this.#contradict();
    const startedMs = clock.monotonicMs();
    this.controller.look(at);
    const ms = clock.monotonicMs() - startedMs;
    for (const { uid } of this.controller.rollouts) {
      const evidence = this.controller.evidence(uid);
      if (evidence === null || evidence.startedAtMs > at) continue;
      telemetry.emit(looked, { uid, sinceMs: evidence.sinceMs, why: evidence.why, ms });
    }
  }

  // What devices say.

  #believe(deviceId: string): void {
    const device = this.fleet.get(deviceId);
    if (device === undefined || this.fleet.isRevoked(deviceId)) return;
    const { lieAfterMs } = this.#options.config.fleet;
    const frames = this.#fold.byFrames(deviceId);
    for (const slot of slotsOf(device)) {
      this.controller.reported(deviceId, slot, believedOf(device, slot, frames, lieAfterMs));
    }
  }

  /** Devices whose frames began or ceased to say something else than they report. */
  #contradict(): void {
    const { lieAfterMs } = this.#options.config.fleet;
    for (const deviceId of this.#fold.takeTouched()) {
      const device = this.fleet.get(deviceId);
      if (device === undefined) continue;
      const isNow = isContradicted(device, this.#fold.byFrames(deviceId), lieAfterMs);
      if (isNow === this.#contradicted.has(deviceId)) continue;
      if (isNow) this.#contradicted.add(deviceId);
      else this.#contradicted.delete(deviceId);
      this.#believe(deviceId);
    }
  }

  #budgetOf(deviceId: string, modelDigest: string): number | undefined {
    this.#budgets ??= new Map(
      this.controller.rollouts
        .filter((rollout) => !isFinished(rollout))
        .flatMap(({ cohorts, stableDigest }) => cohorts.order.map((id) => [id, stableDigest])),
    );
    return this.models.ofDigest(this.#budgets.get(deviceId) ?? modelDigest)?.latencyBudgetMs;
  }

  // What begins and ends by itself.

  #autoStart(): void {
    const { clock, config, telemetry } = this.#options;
    const now = clock.monotonicMs();
    const isDue = this.#modelsSeen !== this.models.changes || now >= this.#autoStartAt;
    if (!isDue) return;
    this.#modelsSeen = this.models.changes;
    this.#autoStartAt = now + AUTO_START_EVERY_MS;
    for (const model of waitingChallengers(this.models, config.defaults, (digest) => this.#rolledOut.has(digest))) {
      const called = `${model.name}@${model.version}`;
      const uid = autoUidOf(model);
      if (this.log.isBusy(uid)) continue;
      this.create(defaultSpecOf(config.defaults[model.name], called), BY, uid).then(
        () => telemetry.emit(autoStarted, { uid, model: called }),
        (error: unknown) => {
          if (this.#rolledOut.has(model.modelDigest)) return; // Another instance was faster.
          const [code, reason] = [codeOfRefusal(error), reasonOf(error)];
          if (this.#refusedStarts.get(uid) === reason) return; // Told already.
          this.#refusedStarts.set(uid, reason);
          telemetry.emit(autoStartRefused, { model: called, code, reason });
        },
      );
    }
  }

  #makeChampions(): void {
    const { clock, config, telemetry } = this.#options;
    const access = config.modelRegistry;
    if (access === undefined || clock.monotonicMs() < this.#championAt) return;
    this.#championAt = clock.monotonicMs() + CHAMPION_EVERY_MS;
    for (const promotion of promotionsOf(this.controller.rollouts, this.models)) {
      const { name: model, version } = promotion;
      makeChampion(promotion, access, BY).then(
        () => telemetry.emit(aliasMoved, { model, alias: "champion", version }),
        (error: unknown) => telemetry.emit(aliasFailed, { model: `${model}@${version}`, reason: reasonOf(error) }),
      );
    }
  }

  async #awaitTopics(): Promise<void> {
    const { reader, clock, random, config } = this.#options;
    const { signal } = this.#stop;
    const needed: readonly Topic[] = [
      ...[topics.registry, topics.reported, topics.desired, topics.models, topics.modelAliases],
      ...[topics.rolloutEvents, topics.rollouts, topics.predictions, topics.metrics],
      ...[topics.classifications, topics.groundTruth, topics.observations],
    ] as readonly Topic[];
    const givesUpAt = clock.monotonicMs() + config.limits.startMsMax;
    for (let attempt = 0; ; attempt++) {
      const missing = await Promise.all(
        needed.map(({ name }) =>
          reader.partitions(name).then(
            (partitions) => (partitions.length > 0 ? [] : [name]),
            () => [name],
          ),
        ),
      ).then((names) => names.flat());
      if (missing.length === 0) return;
      if (clock.monotonicMs() >= givesUpAt) {
        const what = `Kafka cannot be used, or lacks ${missing.join(", ")}; create topics with: tributary topics create`;
        throw new Failure("topics-unusable", "ask-a-person", what);
      }
      await clock.sleep(backoffMs({ minMs: 200, maxMs: 2_000 }, attempt, random), signal);
    }
  }

  #gauges(): void {
    const { telemetry, clock } = this.#options;
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_rollout_${name}`, help }, read);
    telemetry.gauge(
      {
        name: "tributary_rollout_phase",
        help: "1 for the phase of each rollout that is not finished, and of those that stand degraded",
        labels: ["name", "uid", "phase"],
      },
      () =>
        this.controller.rollouts
          .filter((rollout) => !isFinished(rollout) || rollout.phase === "Degraded")
          .map(({ uid, phase, spec }) => ({ labels: { name: spec.metadata.name, uid, phase }, value: 1 })),
    );
    telemetry.gauge(
      {
        name: "tributary_rollout_changed_timestamp_seconds",
        help: "When an unfinished rollout changed last",
        labels: ["name", "uid"],
      },
      () =>
        this.controller.rollouts
          .filter((rollout) => !isFinished(rollout))
          .map(({ uid, spec, changedAt }) => ({ labels: { name: spec.metadata.name, uid }, value: changedAt / 1_000 })),
    );
    telemetry.gauge(
      {
        name: "tributary_rollout_devices",
        help: "Devices of an unfinished rollout: reached, updated, refused, and those that have the model",
        labels: ["name", "uid", "state"],
      },
      () =>
        this.controller.rollouts
          .filter((rollout) => !isFinished(rollout))
          .flatMap(({ uid, spec }) => {
            const { reached, updated, refused, onModel } = this.controller.seen(uid, clock.now());
            const states = { reached, updated, refused, "on-model": onModel };
            const { name } = spec.metadata;
            return Object.entries(states).map(([state, value]) => ({ labels: { name, uid, state }, value }));
          }),
    );
    gauge("fold_behind_seconds", "How far the metrics that are read lie behind the present", () => {
      const to = this.#fold.foldedTo;
      return to === null ? 0 : Math.max(0, clock.now() - to) / 1_000;
    });
    gauge("fleet_devices", "Devices that reported", () => this.fleet.size);
    gauge(
      "contradicted_devices",
      "Devices whose frames are of another model than they report",
      () => this.#contradicted.size,
    );
    telemetry.gauge(
      {
        name: "tributary_rollout_metrics_refused",
        help: "Reports that were not counted, by reason",
        labels: ["reason"],
      },
      () => Object.entries(this.metrics.refused).map(([reason, value]) => ({ labels: { reason }, value })),
    );
    gauge("desired_pending", "Desired states that wait for Kafka", () => this.desired.pending);
  }
}
