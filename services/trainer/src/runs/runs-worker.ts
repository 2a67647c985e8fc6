/**
 * The trainings, for the instance that owns them.
 *
 * It follows what trainings depend on, lets the core decide what each does next, performs that outside of its turn, and writes
 * what became of it: the run's record and its event, in one send of its claim.
 *
 * W1. (G12) Trainings are claimed before they are read, and written by that claim alone. An effect's outcome counts only under the
 *     claim and for the version of the record that it was started with.
 * W2. A look is a pure function of what Kafka holds and of the time; effects are idempotent by run and attempt. So another owner
 *     continues in any phase.
 * W3. (G9) At most `effectsMax` effects run at a time, one of a run, each for a bounded time; they are aborted with the claim.
 */
import { createHash } from "node:crypto";
import { type Dataset, type DriftVerdict, type Rollout, type TrainingRun, topics } from "@tributary/contracts";
import {
  cloudEventHeaders,
  codeOf,
  follow,
  followAll,
  type OutRecord,
  type PartitionFence,
  type PartitionReader,
  readTopic,
  takeOrSkip,
} from "@tributary/kafka";
import { type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { OwnedPartition } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import {
  applied,
  type Changed,
  cancelled,
  changed,
  checkResumable,
  cleanupOf,
  decide,
  type Effect,
  isEnded,
  type PersonRequest,
  type RunSettings,
  requestedBy,
  resumed,
  triggersDue,
  type World,
} from "@tributary/training";
import type { Datasets } from "../datasets/port.ts";
import { effectEnded, lookFailed, outcomeDropped, runChanged, runsGivenUp, runsTakenOver } from "../events.ts";
import type { Effects, Performed } from "./effects.ts";

export type RunsWorkerOptions = {
  readonly fence: PartitionFence;
  readonly reader: PartitionReader;
  readonly datasets: Datasets;
  readonly effects: Effects;
  readonly settings: RunSettings;
  /** The next scheduled moment after this one; null: there is no schedule. */
  readonly scheduledAfter: World["scheduledAfter"];
  readonly effectsMax: number;
  readonly effectMsMax: number;
  /** Pause between two looks at labels, a job, or what is unreachable. */
  readonly labelsEveryMs: number;
  readonly jobEveryMs: number;
  readonly outageEveryMs: number;
  readonly endedMsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Who is shown every training as it changes, and all of them at a takeover. */
  readonly watcher?: { note(run: TrainingRun): void; noteAll(runs: Iterable<TrainingRun>): void } | undefined;
};

type Underway = { readonly effect: Effect; readonly stop: AbortController; readonly ended: Promise<void> };

type Memory = {
  readonly runs: Map<string, TrainingRun>;
  readonly verdicts: Map<string, DriftVerdict>;
  readonly rollouts: Map<string, Rollout>;
  readonly models: ModelTable;
  readonly world: World;
  /** By run. */
  readonly underway: Map<string, Underway>;
  readonly dueAtMs: Map<string, number>;
  /** Runs that a person's command is changing: nothing else is started for them. */
  readonly held: Set<string>;
  readonly stop: AbortController;
};

const SOURCE = "/tributary/trainer";
/** A person waits for the answer. */
const LACKS_MS_MAX = 5_000;
/** Transitions of a run in one look; more follow in the next. */
const CHANGES_MAX = 8;
/** What leaves nothing behind when it is aborted. */
const ABORTABLE: readonly Effect["kind"][] = ["count-labels", "freeze", "poll-job", "pack"];

export class RunsWorker extends OwnedPartition<Memory> {
  readonly #options: RunsWorkerOptions;

  constructor(options: RunsWorkerOptions) {
    const { telemetry } = options;
    super({
      ...options,
      number: 0,
      rebuild: (signal) => read(options, signal),
      onRebuilt: ({ runs }, ms) => {
        const open = [...runs.values()].filter((run) => !isEnded(run)).length;
        telemetry.emit(runsTakenOver, { runs: runs.size, open, ms });
        options.watcher?.noteAll(runs.values());
      },
      onForgotten: ({ code, reason, memory }) => {
        memory.stop.abort();
        telemetry.emit(runsGivenUp, { code, reason });
      },
    });
    this.#options = options;
  }

  /** How many are open, by phase. */
  get phases(): ReadonlyMap<string, number> {
    const phases = new Map<string, number>();
    for (const run of this.memory?.runs.values() ?? []) {
      if (!isEnded(run)) phases.set(run.phase, (phases.get(run.phase) ?? 0) + 1);
    }
    return phases;
  }

  override async revoke(): Promise<Memory | undefined> {
    const memory = this.memory;
    memory?.stop.abort();
    await super.revoke();
    await Promise.all([...(memory?.underway.values() ?? [])].map(({ ended }) => ended));
    return memory;
  }

  /** W2. Starts what is due, and takes every run as far as it goes without waiting. */
  look(): Promise<void> {
    return this.whenIdle(async (memory) => {
      const { clock, settings, endedMsMax } = this.#options;
      const now = clock.now();
      await this.#write(memory, triggersDue(memory.world, now, settings, sha256Hex));
      const open = [...memory.runs.values()].filter((run) => !isEnded(run));
      for (const { runId } of open.sort((a, b) => a.requestedAt - b.requestedAt)) await this.#advance(memory, runId);
      const gone = [...memory.runs.values()].filter(({ endedAt }) => endedAt !== null && endedAt < now - endedMsMax);
      await this.send(memory, () =>
        gone.map(({ runId: key }) => ({ topic: topics.trainingResults.name, key, value: null })),
      );
      for (const { runId } of gone) memory.runs.delete(runId);
    });
  }

  /** Rejects with a Failure that names what is in the way. */
  async request(request: PersonRequest): Promise<TrainingRun> {
    const { clock, settings, effects, effectMsMax } = this.#options;
    const asked = ({ world }: Memory) => requestedBy(request, world, clock.now(), settings, sha256Hex);
    await this.#inTurn(async (memory) => asked(memory));
    const lacking = await effects.lacks(request.model, AbortSignal.timeout(Math.min(LACKS_MS_MAX, effectMsMax)));
    if (lacking !== null) throw new Failure("training-lacks", "give-up", lacking);
    return this.#inTurn(async (memory) => {
      const change = asked(memory);
      await this.#write(memory, [change]);
      return change.run;
    });
  }

  /** Resolves when nothing of the run is left (commands.ts C1). */
  cancel(runId: string, by: string, reason: string): Promise<TrainingRun> {
    const check = (run: TrainingRun, world: World): void => void cleanupOf(run, world);
    return this.#command(runId, check, async (run, memory) => {
      const { clock } = this.#options;
      switch (cleanupOf(run, memory.world)) {
        case "stop-job":
          await this.#stopJob(run, memory);
          break;
        case "withdraw":
          await this.#performed(run, { kind: "withdraw", message: reason }, memory.stop.signal);
          break;
        case "none":
      }
      return cancelled(run, by, reason, clock.now());
    });
  }

  resume(runId: string, by: string): Promise<TrainingRun> {
    return this.#command(runId, checkResumable, async (run, memory) => {
      await this.#options.effects.letPass(run, by, memory.stop.signal);
      return resumed(run, by, this.#options.clock.now());
    });
  }

  /** A dataset that no run froze, e.g. a base set: the owner alone writes its topic. */
  async writeDataset(dataset: Dataset): Promise<void> {
    await this.inTurn(async (memory) => {
      await this.send(memory, () => [datasetRecord(dataset, this.#options.clock.now())]);
    });
  }

  /** R2 of decide.ts: a job whose start is not recorded is started again to learn its id. */
  async #stopJob(run: TrainingRun, { stop: { signal } }: Memory): Promise<void> {
    let { jobId } = run;
    if (jobId === "") {
      if (this.#options.clock.now() < run.attemptAt) return;
      const { outcome } = await this.#performed(run, { kind: "start-job" }, signal);
      if (outcome.kind !== "job-started") return;
      jobId = outcome.jobId;
    }
    await this.#performed({ ...run, jobId }, { kind: "stop-job", because: "too-long" }, signal);
  }

  /** Throws what an outage or a failure of the effect is. */
  async #performed(run: TrainingRun, effect: Effect, signal: AbortSignal): Promise<Performed> {
    const performed = await this.#options.effects.perform(run, effect, signal);
    const { outcome } = performed;
    if (outcome.kind !== "outage" && (outcome.kind !== "failed" || effect.kind === "start-job")) return performed;
    throw new Failure("training-cleanup-failed", "retry", `training ${run.runId}: ${effect.kind}: ${outcome.reason}`);
  }

  /** Holds a run, lets what is under way for it end, works outside of the turn, and writes the change (W1). */
  async #command(
    runId: string,
    check: (run: TrainingRun, world: World) => void,
    work: (run: TrainingRun, memory: Memory) => Promise<Changed>,
  ): Promise<TrainingRun> {
    const held = await this.#inTurn(async (memory) => {
      check(knownRun(memory, runId), memory.world);
      if (memory.held.has(runId)) {
        throw new Failure("training-busy", "retry", `training ${runId} is being changed by another request`);
      }
      memory.held.add(runId);
      return memory;
    });
    try {
      const underway = held.underway.get(runId);
      if (underway !== undefined && ABORTABLE.includes(underway.effect.kind)) underway.stop.abort();
      await underway?.ended;
      const run = knownRun(held, runId);
      check(run, held.world);
      const change = await work(run, held);
      return await this.#inTurn(async (memory) => {
        if (memory !== held || memory.runs.get(runId)?.version !== run.version) {
          throw new Failure("training-changed", "retry", `training ${runId} changed meanwhile`);
        }
        await this.#write(memory, [change]);
        return change.run;
      });
    } finally {
      held.held.delete(runId);
    }
  }

  async #inTurn<T>(work: (memory: Memory) => Promise<T>): Promise<T> {
    let result: T | undefined;
    await this.inTurn(async (memory) => {
      result = await work(memory);
    });
    return result as T;
  }

  async #advance(memory: Memory, runId: string): Promise<void> {
    const { clock, settings } = this.#options;
    for (let i = 0; i < CHANGES_MAX; i++) {
      const run = memory.runs.get(runId);
      if (run === undefined || memory.underway.has(runId) || memory.held.has(runId)) return;
      const action = decide(run, memory.world, clock.now(), settings);
      if (action === null) return;
      if (action.kind !== "change") return this.#start(memory, run, action);
      await this.#write(memory, [changed(run, action.change, action.patch, clock.now())]);
    }
  }

  /** W3 */
  #start(memory: Memory, run: TrainingRun, effect: Effect): void {
    const { clock, effectsMax, effectMsMax } = this.#options;
    const { runId } = run;
    if (memory.underway.size >= effectsMax || clock.monotonicMs() < (memory.dueAtMs.get(runId) ?? 0)) return;
    const stop = new AbortController();
    const signal = AbortSignal.any([memory.stop.signal, stop.signal, AbortSignal.timeout(effectMsMax)]);
    const ended = this.#perform(memory, run, effect, signal, stop.signal).catch((error: unknown) => {
      if (memory.stop.signal.aborted) return;
      this.#options.telemetry.emit(lookFailed, { code: codeOf(error), reason: reasonOf(error) });
    });
    memory.underway.set(runId, { effect, stop, ended });
  }

  async #perform(
    memory: Memory,
    run: TrainingRun,
    effect: Effect,
    signal: AbortSignal,
    cancelledSignal: AbortSignal,
  ): Promise<void> {
    const { clock, telemetry, effects, settings } = this.#options;
    const { runId } = run;
    const startedAtMs = clock.monotonicMs();
    try {
      const performed = await effects.perform(run, effect, signal);
      const { outcome } = performed;
      const reason = "reason" in outcome ? outcome.reason : "";
      const ms = clock.monotonicMs() - startedAtMs;
      telemetry.emit(effectEnded, { runId, effect: effect.kind, outcome: outcome.kind, reason, ms });
      memory.dueAtMs.set(runId, clock.monotonicMs() + this.#pauseMs(performed));
      if (cancelledSignal.aborted || memory.stop.signal.aborted) return;
      await this.inTurn(async (current) => {
        const dropped = (why: string) => telemetry.emit(outcomeDropped, { runId, effect: effect.kind, reason: why });
        if (current !== memory) return dropped("the trainings were claimed again meanwhile"); // W1
        const before = memory.runs.get(runId);
        if (before?.version !== run.version) return dropped("the training changed meanwhile");
        const change = applied(before, effect, outcome, memory.world, clock.now(), settings);
        if (change !== null) await this.#write(memory, [change], performed.datasets);
      });
    } finally {
      memory.underway.delete(runId);
    }
  }

  #pauseMs({ outcome }: Performed): number {
    const { labelsEveryMs, jobEveryMs, outageEveryMs } = this.#options;
    switch (outcome.kind) {
      case "labels":
        return labelsEveryMs;
      case "job":
        return outcome.report.kind === "running" ? jobEveryMs : 0;
      case "outage":
        return outageEveryMs;
      default:
        return 0;
    }
  }

  /** The records of transitions, in one send; memory has them once Kafka has. */
  async #write(memory: Memory, changes: readonly Changed[], datasets: readonly Dataset[] = []): Promise<void> {
    const { clock, telemetry, watcher } = this.#options;
    const now = clock.now();
    await this.send(memory, () => [
      ...datasets.map((dataset) => datasetRecord(dataset, now)),
      ...changes.flatMap(({ run, event }) => recordsOf(run, event)),
    ]);
    for (const { run, event } of changes) {
      memory.runs.set(run.runId, run);
      watcher?.note(run);
      const { runId, model, trigger, phase, message: reason } = run;
      telemetry.emit(runChanged, { runId, version: `${run.version}`, model, trigger, kind: event.kind, phase, reason });
    }
  }
}

/** W1. Everything that is decided by; it is followed until `stop` aborts. */
async function read(options: RunsWorkerOptions, revoked: AbortSignal): Promise<Memory> {
  const { reader, clock, random, telemetry, datasets, scheduledAfter } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([revoked, stop.signal]);
  const tables = { runs: new Map(), verdicts: new Map(), rollouts: new Map(), models: new ModelTable() };
  const { runs, verdicts, rollouts, models }: Pick<Memory, "runs" | "verdicts" | "rollouts" | "models"> = tables;
  const labelsSince: World["labelsSince"] = (model, at) => datasets.labelsSince(model, at);
  const world: World = { runs, verdicts, rollouts, models, labelsSince, scheduledAfter };
  try {
    for await (const record of readTopic(reader, topics.trainingResults.name, signal)) {
      const { key, value } = record;
      if (key === null) continue;
      if (value === null) runs.delete(key);
      else takeOrSkip(telemetry, record, () => runs.set(key, topics.trainingResults.codec.decodeConfluent(value)));
    }
    const context = { reader, clock, random, telemetry, signal };
    const following = await followAll([
      follow(context, topics.driftVerdicts, (verdict, { key }) => put(verdicts, key, verdict)),
      follow(context, topics.rollouts, (rollout, { key }) => put(rollouts, key, rollout)),
      follow(context, topics.models, models.onModel),
      follow(context, topics.modelAliases, models.onAliases),
    ]);
    await following.caughtUp;
    await datasets.caughtUp;
    signal.throwIfAborted();
    return { ...tables, world, underway: new Map(), dueAtMs: new Map(), held: new Set(), stop };
  } catch (error) {
    stop.abort();
    throw error;
  }
}

function put<T>(table: Map<string, T>, key: string | null, value: T | null): void {
  if (value === null) table.delete(key ?? "");
  else table.set(key ?? "", value);
}

function knownRun({ runs }: Memory, runId: string): TrainingRun {
  const run = runs.get(runId);
  if (run !== undefined) return run;
  throw new Failure("training-unknown", "give-up", `there is no training ${runId}: tributary train list`);
}

const headersOf = (type: string, id: string, time: number) =>
  cloudEventHeaders({ id, source: SOURCE, type: `tributary.v1.${type}`, time });

function recordsOf(run: TrainingRun, event: Changed["event"]): readonly OutRecord[] {
  const { runId: key, version, changedAt: timestamp } = run;
  const id = `${key}:${version}`;
  const { trainingRequests, trainingResults } = topics;
  return [
    {
      topic: trainingRequests.name,
      key,
      value: trainingRequests.codec.encodeConfluent(event),
      headers: headersOf("TrainingEvent", id, timestamp),
      timestamp,
    },
    {
      topic: trainingResults.name,
      key,
      value: trainingResults.codec.encodeConfluent(run),
      headers: headersOf("TrainingRun", id, timestamp),
      timestamp,
    },
  ];
}

function datasetRecord(dataset: Dataset, now: number): OutRecord {
  const key = `${dataset.model}/${dataset.version}`;
  const value = topics.datasets.codec.encodeConfluent(dataset);
  return { topic: topics.datasets.name, key, value, headers: headersOf("Dataset", key, now), timestamp: now };
}

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
