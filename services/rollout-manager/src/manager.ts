/**
 * The rollout-manager, apart from HTTP: topics in, the controller's decisions out. Every instance folds the same state from Kafka.
 *
 * M1. Nothing is decided, and no request is answered, before what Kafka held at the start was read.
 * M2. (V1) It acts on events that are in the log, never on what it tried to append.
 * M3. (G5) Past looks do not widen a rollout. While this instance is behind the present it never widens, however long that
 *     takes, and ends no analysis for lack of data, unless nothing more can be read for `foldBehindMsMax`.
 * M4. Every round is bounded, and a failure of one (Kafka away) is logged and retried with the next.
 * M5. A model that is revoked while it is rolled out is rolled back, whatever its canary shows.
 * M6. Instances would propose the same at the same moment: each waits a short random time and checks again before it proposes.
 * M7. While its clock differs from Kafka's it proposes nothing: decisions of all instances count from the times of events.
 */
import { randomUUID } from "node:crypto";
import type { BeforeApplicationShutdown, OnModuleInit } from "@nestjs/common";
import {
  type Experiment as ExperimentRecord,
  type Model,
  type Rollout as RolloutRecord,
  topics,
} from "@tributary/contracts";
import {
  codeOf,
  type FollowContext,
  type Following,
  follow,
  followAll,
  type PartitionReader,
  type RecordSink,
} from "@tributary/kafka";
import { type Clock, Failure, type Random, reasonOf, repeat } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import {
  applyEvent,
  type Command,
  isFinished,
  type LogEvent,
  type Proposal,
  type Rollout,
  RolloutController,
  type RolloutEvent,
  stepOf,
} from "@tributary/rollouts";
import { applyExperimentEvent, type Experiment, type ExperimentProposal } from "@tributary/rollouts/experiment";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import type { Telemetry } from "@tributary/telemetry";
import { Adoptions } from "./adoptions.ts";
import { AutoStart } from "./auto-start.ts";
import { BY } from "./by.ts";
import { Champions } from "./champion.ts";
import { Checkpoints } from "./checkpoints/checkpoints.ts";
import { controllerSettingsOf, type RolloutManagerConfig, settingsThatDiffer } from "./config.ts";
import { adoptionUidOf, experimentSpecOf, planExperiment } from "./creation/plan-experiment.ts";
import { planRollout } from "./creation/plan-rollout.ts";
import { refuseUnprovided, specOf } from "./creation/spec-problems.ts";
import { DesiredWriter } from "./desired/desired-writer.ts";
import { appendFailed, writeFailed } from "./events.ts";
import { FleetTable } from "./fleet/fleet-table.ts";
import { ObservedStates } from "./fleet/observed-states.ts";
import { addGauges } from "./gauges.ts";
import { EventLog, type ProposalOutcome } from "./log/event-log.ts";
import { Policies } from "./policies.ts";
import { type Observer, observerOf } from "./prometheus/observer.ts";
import { refuseQueries } from "./prometheus/preflight.ts";
import { experimentStatus } from "./status/experiment-record.ts";
import { rolloutStatus } from "./status/rollout-record.ts";
import type { StatusPublisher } from "./status/status-publisher.ts";
import { Watch } from "./watching/watch.ts";

export type ManagerOptions = {
  readonly config: RolloutManagerConfig;
  readonly reader: PartitionReader;
  /** A reader of its own: reading a slice would otherwise wait for the long polls of followed topics. */
  readonly slices: PartitionReader;
  readonly sink: RecordSink;
  /** Of checkpoints, which are large, and not worth a wait at the end. Default: `sink`. */
  readonly checkpointSink?: RecordSink;
  readonly clock: Clock;
  /** M7; by default never. */
  readonly isClockOff?: () => boolean;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

const TICK_MS = 200;
/** M6 */
const PROPOSAL_JITTER_MS = 250;
const EXPERIMENT = "experiment";
export class Manager implements OnModuleInit, BeforeApplicationShutdown {
  readonly fleet = new FleetTable();
  readonly models = new ModelTable();
  readonly controller: RolloutController;
  readonly policies: Policies;
  readonly status: StatusPublisher<RolloutRecord>;
  readonly experimentStatus: StatusPublisher<ExperimentRecord>;
  readonly #options: ManagerOptions;
  readonly #metrics: FleetMetrics;
  readonly #log: EventLog;
  readonly #desired: DesiredWriter;
  readonly #observed: ObservedStates;
  readonly #checkpoints: Checkpoints;
  readonly #watch: Watch;
  readonly #observer: Observer | null;
  readonly #autoStart: AutoStart;
  readonly #champions: Champions | null;
  readonly #adoptions: Adoptions;
  readonly #stop = new AbortController();
  /** When a proposal may be made, by rollout and version. */
  readonly #dueAt = new Map<string, { readonly version: number; readonly at: number }>();
  #ended: Promise<unknown> = Promise.resolve();
  #isCaughtUp = false;

  constructor(options: ManagerOptions) {
    const { config, slices, sink, clock, random, telemetry } = options;
    const { epoch, limits, judge, updates, defaults, modelRegistry: access } = config;
    const { fleet, models } = this;
    this.#options = options;
    const metrics = new FleetMetrics({ devicesMax: limits.devicesMax });
    const controller = new RolloutController(metrics, controllerSettingsOf(config));
    this.#metrics = metrics;
    this.controller = controller;
    this.#log = new EventLog({
      controller,
      epoch,
      sink,
      clock,
      telemetry,
      readBackMsMax: limits.readBackMsMax,
      onChange: (event, generation) => this.#changed(event, generation),
    });
    this.#desired = new DesiredWriter({
      controller,
      models,
      settings: updates,
      sink,
      clock,
      telemetry,
      isRevoked: (deviceId) => fleet.isRevoked(deviceId),
      nextGeneration: () => this.#log.nextGeneration,
    });
    this.policies = new Policies(sink);
    const publishing = { epoch, sink, clock, everyMs: limits.statusEveryMs };
    this.status = rolloutStatus(controller, models, publishing);
    this.experimentStatus = experimentStatus(controller, this.policies, publishing);
    this.#checkpoints = checkpointsOf(options);
    this.#watch = new Watch({
      controller,
      checkpoints: this.#checkpoints,
      models,
      metrics,
      slices,
      judge,
      goneMs: config.fleet.goneMs,
      limits,
      clock,
      random,
      telemetry,
      onFrames: (deviceIds) => this.#observed.hadFrames(deviceIds),
    });
    this.#observed = new ObservedStates({
      fleet,
      devices: controller.devices,
      inconsistentAfterMs: config.fleet.lieAfterMs,
      byFrames: (deviceId) => this.#watch.byFrames(deviceId),
    });
    this.#observer = observerOf(config, {
      controller,
      fleet: metrics,
      sink,
      clock,
      random,
      telemetry,
      isReady: () => this.#watch.behindMs < limits.foldBehindMsMax,
    });
    this.#autoStart = new AutoStart({
      models,
      defaults,
      clock,
      telemetry,
      championOf: (name) => this.#championOf(name),
      isBusy: (uid) => this.#log.isBusy(uid),
      create: (written, by, uid) => this.create(written, by, uid),
    });
    const accuracyBefore = (deviceId: string) => this.#metrics.rateOf(deviceId, "system-accuracy");
    this.#adoptions = new Adoptions({ controller, fleet, policies: this.policies, accuracyBefore, clock, telemetry });
    this.#champions =
      access === undefined ? null : new Champions({ access, controller, models, fleet, clock, telemetry });
    this.#addGauges();
  }

  /** True, or what is still missing. */
  get health(): true | string {
    return this.#isCaughtUp || "still reading what Kafka holds";
  }

  /** True, or the rollouts that nothing is decided about here (event-log.ts L4). */
  get histories(): true | { readonly degraded: string } {
    const [first, ...others] = this.#log.unreadable;
    if (first === undefined) return true;
    const more = others.length === 0 ? "" : `; and of ${others.length} more`;
    return { degraded: `not ready for ${first[0]}: ${first[1]}${more}` };
  }

  /** True, or for how long canaries have not been looked at. */
  get looks(): true | string {
    return this.#watch.standstill ?? true;
  }

  async onModuleInit(): Promise<void> {
    const { reader, clock, random, telemetry } = this.#options;
    const { signal } = this.#stop;
    const context: FollowContext = { reader, clock, random, telemetry, signal };
    const tables = await followAll([
      this.#observed.follow(context),
      follow(context, topics.models, this.models.onModel),
      follow(context, topics.modelAliases, this.models.onAliases),
      this.policies.follow(context),
      this.status.follow(context),
      this.experimentStatus.follow(context),
      this.#desired.follow(context),
      this.#checkpoints.follow(context),
    ]);
    this.#live(context, tables).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** The log is read last: the desired states that its events imply are compared with the stored ones. */
  async #live(context: FollowContext, tables: Following): Promise<void> {
    const { signal } = this.#stop;
    await tables.caughtUp;
    const log = await this.#log.follow(context);
    this.#ended = Promise.all([tables.ended, log.ended]);
    await log.caughtUp;
    if (signal.aborted) return;
    this.#isCaughtUp = true; // M1
    this.status.start();
    this.experimentStatus.start();
    this.#ended = Promise.all([this.#ended, this.#work(), this.#watch.run(signal), this.#observer?.run(signal)]);
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** Throws SpecRefused, or the Failure of a conflict. A caller that may repeat the call gives `uid`. */
  async create(written: unknown, by: string, uid: string = randomUUID()): Promise<Rollout> {
    this.#refuseEarly();
    const spec = specOf(written);
    refuseUnprovided(spec, this.#options.config);
    const change = planRollout(spec, {
      fleet: this.fleet,
      models: this.models,
      championOf: (name) => this.#championOf(name),
      accuracyBefore: (deviceId) => this.#metrics.rateOf(deviceId, "accuracy"),
      latencyMsMax: (deviceIds, modelDigest) => this.#watch.latencyMsMax(deviceIds, modelDigest),
      salt: uid,
    });
    const { prometheus } = this.#options.config;
    if (prometheus !== undefined)
      await refuseQueries(spec, change.order, prometheus, this.#options.clock.now(), this.#stop.signal);
    const event: RolloutEvent = { uid, version: 1, at: 0, by, change };
    const planned = applyEvent(null, event, 0n) as Rollout;
    this.controller.refuse(planned);
    await this.#settled(await this.#log.propose({ uid, version: 1, change }, by));
    return this.controller.rollout(uid) ?? planned;
  }

  /** Throws SpecRefused, or the Failure of a conflict. */
  async createExperiment(written: unknown, by: string): Promise<Experiment> {
    this.#refuseEarly();
    const spec = experimentSpecOf(written);
    const { experiments } = this.controller;
    const uid = randomUUID();
    const { change, policies } = planExperiment(spec, {
      fleet: this.fleet,
      policies: this.policies,
      running: experiments.all.filter(({ phase }) => phase === "Running"),
      accuracyBefore: (deviceId) => this.#metrics.rateOf(deviceId, "system-accuracy"),
      salt: uid,
    });
    const event = { uid, version: 1, at: 0, by, change };
    const planned = applyExperimentEvent(null, event, 0n) as Experiment;
    this.controller.refuseExperiment(planned);
    await this.policies.publishVersions(policies);
    await this.#settled(await this.#log.propose({ uid, version: 1, change }, by), EXPERIMENT);
    return experiments.get(uid) ?? planned;
  }

  async stopExperiment(uid: string, by: string, why: string): Promise<Experiment> {
    this.#refuseEarly();
    const { experiments } = this.controller;
    const proposalOf = () => experiments.stop(uid, by, why, this.#options.clock.now());
    await this.#settled(await this.#log.proposeNext(uid, proposalOf, by), EXPERIMENT);
    return experiments.get(uid) as Experiment;
  }

  /** `step`: the active one that the caller saw. Throws Failure `rollout-changed` when another is active by now. */
  async command(uid: string, wanted: Command, by: string, step?: number): Promise<Rollout> {
    this.#refuseEarly();
    const proposalOf = () => {
      const active = this.controller.rollout(uid)?.step;
      if (step === undefined || active === undefined || active === step)
        return this.controller.command(uid, wanted, by);
      const what = `step ${active + 1} is active, no longer step ${step + 1}; look, and try again`;
      throw new Failure("rollout-changed", "retry", what);
    };
    await this.#settled(await this.#log.proposeNext(uid, proposalOf, by));
    return this.controller.rollout(uid) as Rollout;
  }

  #addGauges(): void {
    const { clock, telemetry } = this.#options;
    addGauges(telemetry, {
      controller: this.controller,
      fleet: this.fleet,
      metrics: this.#metrics,
      clock,
      observed: this.#observed,
      watch: this.#watch,
      desired: this.#desired,
    });
  }

  #championOf(name: string): Model | undefined {
    return this.#champions === null ? this.models.byAlias(name, "champion") : this.#champions.championOf(name);
  }

  #refuseEarly(): void {
    if (this.#isCaughtUp) return;
    throw new Failure("rollout-manager-starting", "retry", `the rollout-manager is ${this.health}; try again`);
  }

  /** Resolves when the command counts; throws why it does not. */
  async #settled(outcome: ProposalOutcome, what = "rollout"): Promise<void> {
    switch (outcome.kind) {
      case "counts":
        return;
      case "stale":
        throw new Failure(
          `${what}-changed`,
          "retry",
          `the ${what} has just changed: ${outcome.reason}; look, and try again`,
        );
      case "conflicts":
        throw new Failure(`${what}-conflict`, "ask-a-person", outcome.reason);
      case "unknown":
        throw new Failure(
          `${what}-unread`,
          "retry",
          `whether it counts is not known yet: ${outcome.reason}; look again`,
        );
      default:
        return outcome satisfies never;
    }
  }

  #changed(event: LogEvent, generation: bigint): void {
    const { change, uid } = event;
    this.#desired.decided(event, generation);
    if (change.kind === "created") this.#autoStart.created(change.modelDigest);
    this.#dueAt.delete(uid);
    this.#watch.changed();
    this.status.due(uid);
    this.experimentStatus.due(uid);
    const adopted = this.controller.experiments.all.find((one) => adoptionUidOf(one) === uid);
    if (adopted === undefined) return;
    this.#adoptions.started(uid);
    this.experimentStatus.due(adopted.uid);
  }

  // Proposals and writes.

  #work(): Promise<void> {
    const { clock } = this.#options;
    return repeat(() => this.#round(), { clock, everyMs: TICK_MS, signal: this.#stop.signal });
  }

  /** M4 */
  async #round(): Promise<void> {
    const { clock, telemetry, isClockOff } = this.#options;
    if (isClockOff?.() === true) return; // M7
    const withdrawn = this.#withdrawn();
    for (const proposal of withdrawn.values()) this.#propose(proposal);
    for (const proposal of this.controller.propose(clock.now()))
      if (!withdrawn.has(proposal.uid)) this.#propose(proposal);
    for (const proposal of this.controller.experiments.propose(clock.now())) this.#propose(proposal);
    for (const proposal of this.#adoptions.propose()) this.#propose(proposal);
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        telemetry.emit(writeFailed, { what, code: codeOf(error), reason: reasonOf(error) });
      }
    };
    await attempt("desired states", () => this.#desired.write(this.#stop.signal));
    for (const rollout of this.controller.rollouts) if (!isFinished(rollout)) this.status.due(rollout.uid);
    for (const one of this.controller.experiments.all)
      if (one.phase === "Running" || one.verdict === "adopt") this.experimentStatus.due(one.uid);
    await attempt("status", () => this.status.publish());
    await attempt("status of experiments", () => this.experimentStatus.publish());
    this.#autoStart.round();
    this.#champions?.round();
  }

  /** M5. By rollout. */
  #withdrawn(): ReadonlyMap<string, Proposal> {
    const withdrawn = new Map<string, Proposal>();
    for (const rollout of this.controller.rollouts) {
      const { uid, version, modelDigest, aborted } = rollout;
      const model = this.models.byDigest(modelDigest);
      if (isFinished(rollout) || aborted !== null || model?.state !== "REVOKED") continue;
      const why = `${model.name}@${model.version} was revoked`;
      withdrawn.set(uid, { uid, version: version + 1, change: { kind: "aborted", why, evidence: {} } });
    }
    return withdrawn;
  }

  #propose({ uid, version, change }: Proposal | ExperimentProposal): void {
    const { clock, random, telemetry } = this.#options;
    if (this.#log.unreadable.has(uid) || this.#log.isBusy(uid) || this.#mustWait(uid, change)) return;
    const now = clock.monotonicMs();
    const due = this.#dueAt.get(uid);
    if (due?.version !== version) {
      this.#dueAt.set(uid, { version, at: now + random() * PROPOSAL_JITTER_MS }); // M6
      return;
    }
    if (now < due.at) return;
    this.#dueAt.delete(uid);
    const proposal = { uid, version, change: this.#withSettings(change) } as Proposal | ExperimentProposal;
    this.#log.propose(proposal, BY).catch((error: unknown) => {
      telemetry.emit(appendFailed, { uid, kind: change.kind, code: codeOf(error), reason: reasonOf(error) });
    });
  }

  /** M3. Commands of people are not checked here. */
  #mustWait(uid: string, change: LogEvent["change"]): boolean {
    const { judge, limits } = this.#options.config;
    const isBehind = this.#watch.behindMs > 2 * judge.lookEveryMs + judge.settleMs;
    switch (change.kind) {
      case "analysed":
        // Harm of the past is evidence enough: rolling back is safe whatever happened since.
        if (change.verdict === "Failed") return false;
        if (change.verdict === "Successful") return isBehind;
        return isBehind && this.#watch.stuckMs < limits.foldBehindMsMax;
      case "step-finished": {
        const step = stepOf(this.controller.rollout(uid) as Rollout);
        return isBehind && step !== undefined && "analysis" in step;
      }
      case "completed":
      case "rolled-back":
        return this.#adoptions.mustWait(this.controller.rollout(uid) as Rollout, change.kind);
      case "experiment-decided": // What later frames show may change what is adopted, or that nothing is.
      case "experiment-arm-judged":
        return isBehind && (change.verdict === "adopt" || this.#watch.stuckMs < limits.foldBehindMsMax);
      case "resumed": // A pause is over: harm that showed meanwhile comes first.
        return isBehind;
      default:
        return false;
    }
  }

  #withSettings(change: LogEvent["change"]): LogEvent["change"] {
    if (!("evidence" in change) || change.evidence?.format !== "tributary.analysis/1") return change;
    const settings = settingsThatDiffer(this.#options.config);
    return { ...change, evidence: { ...change.evidence, settings } } as LogEvent["change"];
  }
}

function checkpointsOf({ config, checkpointSink, sink, clock, telemetry }: ManagerOptions): Checkpoints {
  const { epoch, judge, checkpoints } = config;
  const { propensityMean } = judge;
  return new Checkpoints({ ...checkpoints, epoch, propensityMean, sink: checkpointSink ?? sink, clock, telemetry });
}
