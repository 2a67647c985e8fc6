/** All rollouts and experiments of a fleet at once: from the log of events, the reports of devices and the time to the next events and the
 * desired states of devices.
 *
 *     controller.applied(event, position)      rollouts.events.v1, in log order, every record; position = the generation
 *     controller.devices.reported(id, slot, s) devices.reported.v1, newest wins controller.devices.written(id, slot, d)
 *     devices.desired.v1, read back foldEdgeMetrics(fleet, ...), fleet.observe(...), fleet.crashed(...), fleet.counted(...)
 *     controller.look(now) regularly; while topics are folded again: by their records' time controller.propose(now) events to
 *     append; they count once they were read back (events.ts V1) controller.devices.desired(now) what to write for which
 *     devices
 *
 * The same calls in the same order give the same answers (G10), so an instance that crashes and folds its topics again comes
 * to the state that it had. Nothing is acted on before it was read back from the log; which events count is the log's rule
 * (log.ts L1, L2). Devices are reached at the pace of the specification, in the rollout's order; a rollback has no pace. A
 * device that was not heard for `goneMs` is gone: no rollback waits for it, and it finds its desired state when it returns. */

import { POLICY } from "@tributary/contracts";
import { Failure, type Instant } from "@tributary/kernel";
import { controlOf, reachedBy } from "./cohorts.ts";
import { Comparison, type ComparisonSettings, type ComparisonState, comparisonDefaults } from "./comparison.ts";
import { type Command, command, decide, type Judged, reachedBefore, type Seen } from "./decide.ts";
import { type DeviceEntry, DeviceSlots, type DeviceState, UNPINNED } from "./device-slots.ts";
import type { LogEvent, RolloutChange } from "./events.ts";
import type { AnalysisEvidence } from "./evidence.ts";
import { Experiments, type ExperimentsState } from "./experiment/experiments.ts";
import type { AnalysisPlan } from "./fleet-metrics/analysis.ts";
import type { FleetMetrics, FleetMetricsState } from "./fleet-metrics/fleet-metrics.ts";
import { DEVICES_MIN } from "./judge/plan.ts";
import { type Applied, FINISHED_MAX, RolloutLog } from "./log.ts";
import { isFinished, type Rollout, stepOf } from "./rollout.ts";
import { classesJudged } from "./segments.ts";

export type Proposal = { readonly uid: string; readonly version: number; readonly change: RolloutChange };

export type ControllerSettings = ComparisonSettings & {
  readonly lookEveryMs: number;
  /** The desired state of a device that follows an older generation for so long is written again. */
  readonly resendMs: number;
  readonly goneMs: number;
  /** Finished rollouts that are remembered, the newest; their devices keep what they run. */
  readonly finishedMax: number;
};

export const controllerDefaults: ControllerSettings = {
  ...comparisonDefaults,
  lookEveryMs: 10_000,
  resendMs: 60_000,
  goneMs: 86_400_000,
  finishedMax: FINISHED_MAX,
};

/** On its way to a model, or running it: what an abort must still roll back. */
const UNDER_WAY = new Set(["WAITING", "DOWNLOADING", "VERIFYING", "SHADOWING", "PROBATION"]);
/** After these no device that the weight reaches waits for the pace any more. */
const ENDS_PACING = new Set<RolloutChange["kind"]>(["step-finished", "promoted", "completed"]);
/** Of these, what makes progress by itself. (decide.ts D7) */
const INSTALLING = new Set(["DOWNLOADING", "VERIFYING", "SHADOWING", "PROBATION"]);
const BACK = new Set(["REFUSED", "REVERTED"]);
const REFUSED_NAMED_MAX = 20;
const NOTE_MAX = 200;

type Tracked = {
  rollout: Rollout;
  /** Its devices, in its order. */
  readonly entries: readonly DeviceEntry[];
  comparison: Comparison | null;
  /** Weight that the comparison is of. */
  comparedWeight: number;
  /** How many comparisons of the first devices there were, or are awaited, while the rest of the canary installs the model. 0:
   * what is compared is the whole canary. (comparison.ts J2) */
  early: number;
  /** Generation at which it started, or was retried: earlier reports of devices are of another attempt. */
  startedAt: bigint;
  /** How many devices, in order, have the model as their desired state. */
  wanted: number;
  lookedAt: Instant;
  /** By metric. */
  readonly notes: Map<string, string>;
};

/** Of what one comparison may spend, for each of the two that may go before that of the whole canary. (comparison.ts J2) */
const EARLY_SHARE = 0.1;

type Start = {
  /** Index of the step of the comparison. */
  readonly step: number;
  readonly at: Instant;
  readonly share: number;
  readonly absent?: readonly string[];
};

/** A comparison of the first devices, which a look started and no event. */
type First = { readonly early: number; readonly at: Instant; readonly absent: readonly string[] };

/** What an instance needs that starts again, beside the log: everything that was counted, and what looks at it found. */
export type EvidenceState = {
  readonly fleet: FleetMetricsState;
  /** By rollout, where something is compared. */
  readonly comparisons: ReadonlyMap<
    string,
    ComparisonState & { readonly judgedAt: Instant; readonly first: First | null }
  >;
  /** By rollout: problems of metrics. */
  readonly notes: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly experiments: ExperimentsState;
};

export class RolloutController {
  /** The reported and the desired state of devices, and which desired states are still to be written. */
  readonly devices: DeviceSlots;
  readonly experiments: Experiments;
  readonly #fleet: FleetMetrics;
  readonly #settings: ControllerSettings;
  readonly #log: RolloutLog;
  readonly #tracked = new Map<string, Tracked>();

  constructor(fleet: FleetMetrics, settings: Partial<ControllerSettings> = {}) {
    this.#fleet = fleet;
    this.#settings = { ...controllerDefaults, ...settings };
    this.#log = new RolloutLog(this.#settings.finishedMax);
    this.devices = new DeviceSlots(this.#settings.resendMs);
    this.experiments = new Experiments(fleet, this.devices, this.#settings.lookEveryMs);
  }

  /** Folds a record of the log; `position` grows along it and becomes the generation. */
  applied(logged: LogEvent, position: bigint): Applied {
    const applied = this.#log.apply(logged, position);
    if (applied.kind !== "counts") return applied;
    if (applied.rollout === null) {
      this.experiments.applied(applied.experiment, position);
      this.experiments.keep((uid) => this.#log.experiment(uid) !== null);
      return applied;
    }
    const { rollout, event } = applied;
    const before = this.#tracked.get(event.uid);
    const { entries } = before ?? { entries: this.devices.entriesOf(rollout.spec.spec.slot, rollout.cohorts.order) };
    const tracked = before ?? {
      rollout,
      entries,
      comparison: null,
      comparedWeight: 0,
      early: 0,
      startedAt: position,
      wanted: 0,
      lookedAt: Number.NEGATIVE_INFINITY,
      notes: new Map(),
    };
    const previous = tracked.rollout;
    tracked.rollout = rollout;
    this.#tracked.set(event.uid, tracked);
    const { change, at } = event;
    if (change.kind === "retried") [tracked.startedAt, tracked.wanted] = [position, 0];
    if (change.kind === "aborted") this.#wantStable(tracked, reachedBy(previous.cohorts, previous.weight).length);
    if (ENDS_PACING.has(change.kind)) this.#want(tracked, reachedBy(previous.cohorts, previous.weight).length);
    this.#compare(tracked, change, at);
    if (isFinished(rollout)) {
      this.#unpin(tracked, position);
      this.#forgetOldest();
    }
    return applied;
  }

  /** Throws Failure `rollout-conflict` if another holds devices of a rollout that shall be created, retried or undone: an
   * active one, or one that came later and stands, which would be undone with it. */
  refuse(rollout: Pick<Rollout, "uid" | "spec" | "cohorts">): void {
    this.#log.refuse(rollout);
  }

  /** Throws Failure `rollout-conflict` if a rollout or another experiment holds devices of one that shall be created. */
  refuseExperiment(experiment: Parameters<RolloutLog["refuseExperiment"]>[0]): void {
    this.#log.refuseExperiment(experiment);
  }

  rollout(uid: string): Rollout | null {
    return this.#tracked.get(uid)?.rollout ?? null;
  }

  get rollouts(): readonly Rollout[] {
    return [...this.#tracked.values()].map(({ rollout }) => rollout);
  }

  /** The event of a person's command; throws a Failure whose message names a command that would fit. */
  command(uid: string, wanted: Command, by: string): Proposal {
    const tracked = this.#tracked.get(uid);
    if (tracked === undefined)
      throw new Failure("rollout-unknown", "give-up", `there is no rollout ${uid}; list them to see which there are`);
    const { rollout } = tracked;
    const change = command(rollout, wanted, by, this.#leftOn(tracked));
    if (isFinished(rollout)) this.refuse(rollout);
    return { uid, version: rollout.version + 1, change };
  }

  /** A problem of a metric's source, in words for the evidence; null: none. It decides nothing. */
  noted(uid: string, metric: string, words: string | null): void {
    const notes = this.#tracked.get(uid)?.notes;
    if (words === null) notes?.delete(metric);
    else notes?.set(metric, words.slice(0, NOTE_MAX));
  }

  /** What is seen of a rollout's devices. */
  seen(uid: string, now: Instant): Seen {
    const tracked = this.#tracked.get(uid);
    return tracked === undefined
      ? { reached: 0, updated: 0, installing: 0, refused: 0, onModel: 0, refusedRollback: 0 }
      : this.#seen(tracked, now);
  }

  /** The evidence as of the last look; null: nothing is compared now. */
  evidence(uid: string): AnalysisEvidence | null {
    const tracked = this.#tracked.get(uid);
    return tracked?.comparison == null ? null : this.#evidence(tracked, tracked.comparison);
  }

  /** Looks at every comparison whose time has come. Call it with record time while folding, with the clock when live. */
  look(now: Instant): void {
    this.experiments.look(now);
    for (const tracked of this.#tracked.values()) {
      if (tracked.comparison === null && tracked.early > 0) this.#compareFirst(tracked, now);
      if (tracked.comparison === null || now - tracked.lookedAt < this.#settings.lookEveryMs) continue;
      tracked.lookedAt = now;
      tracked.comparison.look(now);
    }
  }

  /** As of the last look. It shares its arrays with this controller: write it down before anything else is folded. */
  evidenceState(): EvidenceState {
    const tracked = [...this.#tracked];
    return {
      fleet: this.#fleet.state(),
      comparisons: new Map(
        tracked.flatMap(([uid, { comparison, lookedAt, early }]) => {
          if (comparison === null) return [];
          const { startedAt, absent = [] } = comparison.analysis.plan;
          const first = early === 0 ? null : { early, at: startedAt, absent };
          return [[uid, { ...comparison.state(), judgedAt: lookedAt, first }] as const];
        }),
      ),
      notes: new Map(tracked.flatMap(([uid, { notes }]) => (notes.size === 0 ? [] : [[uid, notes] as const]))),
      experiments: this.experiments.state(),
    };
  }

  /** Continues from a state, once the log is read and before anything is folded. Gives which analyses the state has that
   * nothing runs any more, and which ones run that it does not have: those count from here on. */
  restore(state: EvidenceState): { readonly ended: readonly string[]; readonly missing: readonly string[] } {
    for (const [uid, tracked] of this.#tracked) {
      const first = state.comparisons.get(uid)?.first ?? null;
      if (first === null || tracked.comparison !== null || tracked.early !== first.early) continue;
      const { at, absent } = first;
      this.#startComparison(tracked, { step: tracked.rollout.step, at, share: EARLY_SHARE, absent });
    }
    const { ended, missing } = this.#fleet.restore(state.fleet);
    const lacks = new Set(missing);
    for (const [uid, tracked] of this.#tracked) {
      for (const [metric, words] of state.notes.get(uid) ?? []) tracked.notes.set(metric, words);
      const from = state.comparisons.get(uid);
      if (tracked.comparison === null || from === undefined || lacks.has(uid)) continue;
      tracked.comparison.restore(from);
      tracked.lookedAt = from.judgedAt;
    }
    this.experiments.restore(state.experiments, (uid) => !lacks.has(uid));
    return { ended, missing };
  }

  /** What to append now, at most one event a rollout. Ask again after it was read back. */
  propose(now: Instant): readonly Proposal[] {
    const proposals: Proposal[] = [];
    for (const tracked of this.#tracked.values()) {
      const { rollout } = tracked;
      if (isFinished(rollout)) continue;
      this.#wantPaced(tracked, now);
      const change = decide(rollout, this.#seen(tracked, now), this.#judged(tracked), now);
      if (change !== null) proposals.push({ uid: rollout.uid, version: rollout.version + 1, change });
    }
    return proposals;
  }

  #wantPaced(tracked: Tracked, now: Instant): void {
    const { rollout } = tracked;
    const step = stepOf(rollout);
    if (rollout.phase !== "Progressing" || rollout.stepStartedAt === null || step === undefined) return;
    if (!("setWeight" in step)) return;
    const minutes = (now - rollout.stepStartedAt) / 60_000;
    const paced = Math.max(1, Math.ceil(rollout.spec.spec.pacing.devicesPerMinute * minutes));
    const reached = reachedBy(rollout.cohorts, rollout.weight).length;
    this.#want(tracked, Math.min(reached, reachedBefore(rollout) + paced));
  }

  #want(tracked: Tracked, upTo: number): void {
    const { rollout } = tracked;
    this.devices.want(rollout.spec.spec.slot, tracked.entries.slice(tracked.wanted, upTo), {
      generation: rollout.generation,
      modelDigest: rollout.modelDigest,
      uid: rollout.uid,
      why: `weight ${rollout.weight} of rollout ${rollout.spec.metadata.name}`,
    });
    tracked.wanted = Math.max(tracked.wanted, upTo);
  }

  #wantStable(tracked: Tracked, reached: number): void {
    const { rollout } = tracked;
    this.devices.want(rollout.spec.spec.slot, tracked.entries.slice(0, reached), {
      generation: rollout.generation,
      modelDigest: rollout.stableDigest,
      uid: rollout.uid,
      why: rollout.aborted?.why ?? "",
    });
    tracked.wanted = 0;
  }

  /** A policy that the whole fleet has is the one in force by now, or that before it is again (rollout-manager's policies): what
   * is learned of it later must reach the devices. A part of the fleet keeps its own. */
  #unpin({ rollout, entries }: Tracked, position: bigint): void {
    const { slot, selector } = rollout.spec.spec;
    if (slot !== POLICY || Object.keys(selector).length > 0) return;
    const { uid } = rollout;
    this.devices.want(POLICY, entries, {
      generation: position,
      modelDigest: UNPINNED,
      uid,
      why: "its policy is in force",
    });
  }

  /** Starts and ends the comparison. (comparison.ts J1) */
  #compare(tracked: Tracked, change: RolloutChange, at: Instant): void {
    const { rollout } = tracked;
    const { weight, cohorts, spec } = rollout;
    if (isFinished(rollout) || rollout.aborted !== null || weight === 0) {
      this.#endComparison(tracked);
      return;
    }
    if (change.kind !== "step-started" && change.kind !== "step-finished" && change.kind !== "paused") return;
    const place = change.kind === "paused" ? rollout.step : change.step;
    const step = spec.spec.strategy.canary.steps[place];
    if (step === undefined) return;
    const isInstalled =
      change.kind === "step-started" ? "analysis" in step : change.kind === "step-finished" && "setWeight" in step;
    if (isInstalled && weight < 100 && (tracked.comparedWeight !== weight || tracked.early > 0)) {
      const share = 1 - tracked.early * EARLY_SHARE;
      this.#endComparison(tracked);
      this.#startComparison(tracked, { step: place, at, share });
      return;
    }
    const reached = reachedBy(cohorts, weight).length;
    const controls = tracked.comparison?.analysis.plan.control.length ?? 0;
    if (reached > cohorts.order.length - controls) this.#endComparison(tracked);
    if ("setWeight" in step && weight < 100 && change.kind !== "step-finished") this.#awaitFirst(tracked, change, at);
  }

  /** Before the whole canary has the model, its first devices are compared, unless the canary before still is. Those that have
   * it when a pause starts are compared anew: it may be a long one, and they are more by then. */
  #awaitFirst(tracked: Tracked, { kind }: RolloutChange, at: Instant): void {
    const isPause = kind === "paused";
    if (isPause ? tracked.early !== 1 : tracked.comparison !== null && tracked.early === 0) return;
    this.#endComparison(tracked);
    this.#fleet.start(this.#planOf(tracked, at));
    tracked.early = isPause ? 2 : 1;
  }

  /** Starts once enough of them run the model, by their frames: at a look, so that each instance does it at the same one. */
  #compareFirst(tracked: Tracked, now: Instant): void {
    const { uid, step } = tracked.rollout;
    const analysis = this.#fleet.analysis(uid);
    const absent = analysis?.absent(now - this.#settings.silenceMs) ?? [];
    if (analysis === null || analysis.plan.canary.length - absent.length < DEVICES_MIN) return;
    this.#startComparison(tracked, { step, at: now, share: EARLY_SHARE, absent });
  }

  #planOf(tracked: Tracked, startedAt: Instant): AnalysisPlan {
    const { uid, spec, cohorts, segments, weight, modelDigest, stableDigest } = tracked.rollout;
    const [canary, control] = [
      reachedBy(cohorts, weight),
      controlOf(cohorts, weight, spec.spec.strategy.canary.controlsPerCanary),
    ];
    return {
      uid,
      startedAt,
      metrics: spec.spec.metrics.map(({ name }) => name),
      canary,
      control,
      models: { candidate: modelDigest, stable: stableDigest },
      classes: classesJudged(segments, canary.length + control.length),
    };
  }

  #startComparison(tracked: Tracked, { step, at, share, absent = [] }: Start): void {
    const { spec, cohorts, segments, weight } = tracked.rollout;
    const analysis = this.#fleet.start({ ...this.#planOf(tracked, at), absent });
    if (analysis === null) return; // Without one there is no data, and no widening.
    const { canary, control } = analysis.plan;
    const strata = cohorts.strata === undefined ? null : strataOf(cohorts.strata, canary.length, control.length);
    const place = { step, share, strata, segments };
    tracked.comparison = new Comparison(analysis, spec, place, this.#settings, tracked.notes);
    tracked.comparedWeight = weight;
    tracked.lookedAt = Number.NEGATIVE_INFINITY;
  }

  #endComparison(tracked: Tracked): void {
    tracked.comparison = null;
    [tracked.comparedWeight, tracked.early] = [0, 0];
    this.#fleet.end(tracked.rollout.uid);
  }

  #judged(tracked: Tracked): Judged | null {
    const { comparison } = tracked;
    if (comparison === null) return null;
    const evidence = () => this.#evidence(tracked, comparison);
    return {
      verdict: comparison.verdict,
      suspicion: comparison.suspicion,
      isSilent: comparison.isSilent,
      get evidence() {
        return evidence();
      },
    };
  }

  #evidence(tracked: Tracked, comparison: Comparison): AnalysisEvidence {
    const { rollout, entries } = tracked;
    const { plan } = comparison.analysis;
    const [canary, control] = [
      entries.slice(0, plan.canary.length),
      entries.slice(entries.length - plan.control.length),
    ];
    const armOf = (arm: readonly DeviceEntry[], digest: string) => ({
      onModel: arm.filter(({ state }) => state?.modelDigest === digest).length,
      goldenFailed: arm.filter(({ state }) => state?.goldenPassed === false).length,
    });
    const refused = canary.filter(({ state }) => isRefusal(tracked, state));
    return comparison.evidence(
      { control: armOf(control, rollout.stableDigest), canary: armOf(canary, rollout.modelDigest) },
      {
        devices: refused.length,
        some: refused.slice(0, REFUSED_NAMED_MAX).map(({ deviceId, state }) => {
          const { code = "", reason = "" } = state?.update ?? {};
          return { deviceId, code: code.slice(0, 64), reason: reason.slice(0, 500) };
        }),
      },
    );
  }

  #seen(tracked: Tracked, now: Instant): Seen {
    const { rollout, entries } = tracked;
    const isAborted = rollout.aborted !== null;
    const everReached = reachedBy(rollout.cohorts, rollout.weight).length;
    const reached = isAborted ? 0 : everReached;
    const seen = { reached, updated: 0, installing: 0, refused: 0, onModel: 0, refusedRollback: 0 };
    // Who ran the model without the rollout is not rolled back by it.
    const end = isAborted ? everReached : entries.length;
    for (let i = 0; i < end; i++) {
      const { deviceId, state } = entries[i] as DeviceEntry;
      if (state === null) continue;
      const isOn = state.modelDigest === rollout.modelDigest;
      const counts = !isAborted || !this.#isGone(deviceId, state, now);
      if (counts && (isOn || isUnderWay(rollout, state))) {
        seen.onModel += 1;
        if (isAborted && hasRefusedRollback(rollout, state)) seen.refusedRollback += 1;
      }
      if (i >= reached) continue;
      if (isRefusal(tracked, state)) seen.refused += 1;
      else if (isOn) seen.updated += 1;
      else if (isInstalling(rollout, state)) seen.installing += 1;
    }
    return seen;
  }

  /** Devices that run the model of a rollout that is rolled back, or are on their way to it, also those that are gone.
   * (decide.ts D4) */
  #leftOn({ rollout, entries }: Tracked): readonly string[] {
    if (rollout.aborted === null) return [];
    return entries
      .slice(0, reachedBy(rollout.cohorts, rollout.weight).length)
      .filter(
        ({ state }) => state !== null && (state.modelDigest === rollout.modelDigest || isUnderWay(rollout, state)),
      )
      .map(({ deviceId }) => deviceId);
  }

  #isGone(deviceId: string, state: DeviceState, now: Instant): boolean {
    return Math.max(state.at, this.#fleet.seenAt(deviceId) ?? 0) < now - this.#settings.goneMs;
  }

  #forgetOldest(): void {
    for (const uid of this.#tracked.keys()) if (this.#log.get(uid) === null) this.#tracked.delete(uid);
  }
}

/** Devices that refused the model, left it by themselves, or run it and do not reproduce its golden frames. (decide.ts D3) */
function isRefusal({ rollout, startedAt }: Tracked, state: DeviceState | null): boolean {
  if (state === null) return false;
  const { update, modelDigest, goldenPassed } = state;
  if (modelDigest === rollout.modelDigest && goldenPassed === false) return true;
  return (
    update !== null &&
    BACK.has(update.phase) &&
    update.modelDigest === rollout.modelDigest &&
    update.generation >= startedAt
  );
}

/** decide.ts D4 */
const hasRefusedRollback = ({ stableDigest, generation }: Rollout, { update }: DeviceState): boolean =>
  update !== null && BACK.has(update.phase) && update.modelDigest === stableDigest && update.generation >= generation;

/** The canary is the first of the order, the control its last. */
const strataOf = (strata: readonly number[], canaries: number, controls: number) => ({
  canary: strata.slice(0, canaries),
  control: strata.slice(strata.length - controls),
});

const isUnderWay = (rollout: Rollout, { update }: DeviceState): boolean =>
  update !== null && update.modelDigest === rollout.modelDigest && UNDER_WAY.has(update.phase);

const isInstalling = (rollout: Rollout, { update }: DeviceState): boolean =>
  update !== null && update.modelDigest === rollout.modelDigest && INSTALLING.has(update.phase);
