/** The state of a rollout, folded from its events. An event whose version is not the next one changes nothing (events.ts V1).
 * `generation` is the log position of the last event that changed what devices shall run: it only grows, and every instance
 * derives the same one (G6). */
import type { Instant } from "@tributary/kernel";
import { type Cohorts, reachedBy } from "./cohorts.ts";
import type { Evidence, PauseReason, RolloutChange, RolloutEvent, Verdict } from "./events.ts";
import type { Segments } from "./segments.ts";
import type { RolloutSpec, RolloutStep } from "./spec.ts";

export type Phase = "Progressing" | "Paused" | "Healthy" | "Degraded";
export type AnalysisStatus = "Pending" | "Running" | Verdict;

export type Rollout = {
  readonly uid: string;
  readonly version: number;
  readonly spec: RolloutSpec;
  readonly modelDigest: string;
  readonly stableDigest: string;
  readonly cohorts: Cohorts;
  /** Null: only the whole is judged. */
  readonly segments: Segments | null;
  /** See `created`; null: nothing was known. */
  readonly latencyMsMax: number | null;
  readonly phase: Phase;
  /** Index of the current step; the number of steps when all are done. */
  readonly step: number;
  /** Null: it has not started. It is set again when the rollout is resumed. */
  readonly stepStartedAt: Instant | null;
  /** Percent of the devices that shall run the model. */
  readonly weight: number;
  readonly analysis: AnalysisStatus;
  /** Of an analysis that ended undecided: why harm is likely all the same; null: it is not. */
  readonly suspicion: string | null;
  readonly pause: { readonly reason: PauseReason; readonly untilMs: Instant | null } | null;
  /** Why it is rolled back, and whether every device has left the model. */
  readonly aborted: {
    readonly why: string;
    readonly isBack: boolean;
    /** How often the rollback was sent to its devices, by a newer generation each time. */
    readonly attempts: number;
    /** A person ended it while these devices still ran the model; null: nobody did. */
    readonly abandoned: { readonly devices: number; readonly some: readonly string[] } | null;
  } | null;
  readonly generation: bigint;
  readonly createdAt: Instant;
  readonly changedAt: Instant;
  readonly evidence: Evidence;
};

export const stepOf = (rollout: Rollout): RolloutStep | undefined =>
  rollout.spec.spec.strategy.canary.steps[rollout.step];

export const isFinished = ({ phase, aborted }: Rollout): boolean =>
  phase === "Healthy" || aborted?.isBack === true || isAbandoned(aborted);

const isAbandoned = (aborted: Rollout["aborted"]): boolean => aborted !== null && aborted.abandoned !== null;

/** Devices that shall run the model now. */
export const reachedDevices = (rollout: Rollout): readonly string[] =>
  rollout.aborted === null ? reachedBy(rollout.cohorts, rollout.weight) : [];

function rolloutOf(
  uid: string,
  change: Extract<RolloutChange, { kind: "created" }>,
  at: Instant,
  position: bigint,
): Rollout {
  const { spec, modelDigest, stableDigest, order, strata, segments = null, latencyMsMax = null } = change;
  const cohorts = { order, ...(strata?.length === order.length && { strata }) };
  const isPlaced = segments === null || segments.siteOf.length === order.length || segments.sites.length === 0;
  return {
    uid,
    version: 1,
    spec,
    modelDigest,
    stableDigest,
    cohorts,
    latencyMsMax,
    segments: isPlaced ? segments : { ...segments, sites: [], siteOf: [] },
    phase: "Progressing",
    step: 0,
    stepStartedAt: null,
    weight: 0,
    analysis: "Pending",
    pause: null,
    suspicion: null,
    aborted: null,
    generation: position,
    createdAt: at,
    changedAt: at,
    evidence: {},
  };
}

/** The state after an event at this log position; the same state when the event does not count. */
export function applyEvent(rollout: Rollout | null, event: RolloutEvent, position: bigint): Rollout | null {
  if (event.version !== (rollout?.version ?? 0) + 1) return rollout;
  const { change, at } = event;
  if (change.kind === "created") return rolloutOf(event.uid, change, at, position);
  if (rollout === null) return null;
  const evidence = "evidence" in change ? change.evidence : {};
  const next: Rollout = { ...rollout, version: event.version, changedAt: at, evidence };
  switch (change.kind) {
    case "step-started": {
      const step = next.spec.spec.strategy.canary.steps[change.step];
      const widens = step !== undefined && "setWeight" in step;
      return {
        ...next,
        phase: "Progressing",
        step: change.step,
        stepStartedAt: at,
        pause: null,
        ...(widens && { weight: step.setWeight, generation: position }),
        analysis: step !== undefined && "analysis" in step ? "Running" : "Pending",
      };
    }
    case "step-finished":
      return { ...next, phase: "Progressing", step: change.step + 1, stepStartedAt: null, pause: null };
    case "analysed":
      return { ...next, analysis: change.verdict, suspicion: change.suspicion ?? null };
    case "paused":
      return { ...next, phase: "Paused", pause: { reason: change.reason, untilMs: change.untilMs } };
    case "resumed": {
      const resumed: Rollout = { ...next, phase: "Progressing", pause: null };
      // A pause that was the step is over; any other step that had started restarts its time.
      if (next.pause?.reason === "step") return { ...resumed, step: next.step + 1, stepStartedAt: null };
      if (next.stepStartedAt === null) return resumed;
      const step = stepOf(next);
      const isAnalysis = step !== undefined && "analysis" in step;
      return { ...resumed, stepStartedAt: at, ...(isAnalysis && { analysis: "Running" }) };
    }
    case "promoted": {
      const { steps } = next.spec.spec.strategy.canary;
      const last = steps.findLastIndex((step) => "setWeight" in step);
      const at = stepOf(next);
      // A widening that has not started is what is promoted to, not what is passed over.
      const isAhead = at !== undefined && "setWeight" in at && next.stepStartedAt === null;
      const step = change.full ? Math.max(next.step, last) : isAhead ? next.step : next.step + 1;
      return { ...next, phase: "Progressing", step, stepStartedAt: null, pause: null };
    }
    case "aborted":
      return {
        ...next,
        phase: "Degraded",
        pause: null,
        generation: position,
        aborted: { why: change.why, isBack: false, attempts: (next.aborted?.attempts ?? 0) + 1, abandoned: null },
      };
    case "rolled-back":
      return { ...next, weight: 0, aborted: next.aborted && { ...next.aborted, isBack: true } };
    case "abandoned": {
      const { devices, some } = change;
      // No device is left behind by a rollout that is not rolled back: such an event does not count.
      if (next.aborted === null) return rollout;
      return { ...next, weight: 0, aborted: { ...next.aborted, abandoned: { devices, some } } };
    }
    case "retried":
      return {
        ...next,
        phase: "Progressing",
        step: 0,
        stepStartedAt: null,
        weight: 0,
        analysis: "Pending",
        aborted: null,
        generation: position,
      };
    case "completed":
      return { ...next, phase: "Healthy" };
    default:
      return change satisfies never;
  }
}
