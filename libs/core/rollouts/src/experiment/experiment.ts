/** The state of an experiment, folded from its events. An event whose version is not the next one changes nothing (events.ts V1). */
import type { Instant } from "@tributary/kernel";
import type { ExperimentEvent } from "../events.ts";
import type { ArmJudged, ExperimentChange, ExperimentVerdict } from "./events.ts";
import type { ExperimentEvidence } from "./evidence.ts";
import type { ExperimentSpec } from "./spec.ts";

export type ExperimentArm = {
  readonly name: string;
  readonly policyVersion: string;
  readonly devices: readonly string[];
};

export type Experiment = {
  readonly uid: string;
  readonly version: number;
  readonly spec: ExperimentSpec;
  /** The first is the control. */
  readonly arms: readonly ExperimentArm[];
  /** All of them, arm by arm. */
  readonly order: readonly string[];
  readonly strata: readonly number[] | null;
  readonly modelDigest: string;
  readonly cloudTarget: string;
  readonly deadlineMs: number;
  readonly phase: "Running" | "Decided" | "Stopped";
  /** Of each arm that has one, its first verdict. (experiments.ts X3) */
  readonly judged: readonly ArmJudged[];
  readonly verdict: ExperimentVerdict | null;
  readonly winner: string | null;
  /** Why it ended; empty while it runs. */
  readonly why: string;
  readonly evidence: ExperimentEvidence | null;
  /** Position of the last event. */
  readonly generation: bigint;
  readonly createdAt: Instant;
  readonly changedAt: Instant;
};

/** The state after an event at this log position; the same state when the event does not count. */
export function applyExperimentEvent(
  experiment: Experiment | null,
  { uid, version, at, change }: ExperimentEvent,
  position: bigint,
): Experiment | null {
  if (version !== (experiment?.version ?? 0) + 1) return experiment;
  if (change.kind === "experiment-created") return created(uid, change, at, position);
  if (experiment === null || experiment.phase !== "Running") return experiment;
  if (change.kind === "experiment-arm-judged") {
    const { kind: _, ...judged } = change;
    const isOpen = experiment.arms.slice(1).some(({ name }) => name === judged.arm);
    if (!isOpen || judgedIn(experiment, judged.arm) !== null) return experiment;
    return { ...experiment, version, generation: position, changedAt: at, judged: [...experiment.judged, judged] };
  }
  const ended = {
    ...experiment,
    version,
    generation: position,
    changedAt: at,
    evidence: change.evidence,
    why: change.why,
  };
  if (change.kind === "experiment-stopped") return { ...ended, phase: "Stopped" };
  return { ...ended, phase: "Decided", verdict: change.verdict, winner: change.winner };
}

function created(
  uid: string,
  change: Extract<ExperimentChange, { kind: "experiment-created" }>,
  at: Instant,
  position: bigint,
): Experiment | null {
  const { spec, order, strata, modelDigest, cloudTarget, deadlineMs } = change;
  const sizes = change.arms.map(({ devices }) => devices);
  const isWhole = sizes.length === spec.spec.arms.length && sizes.reduce((sum, size) => sum + size, 0) === order.length;
  if (!isWhole) return null;
  let from = 0;
  const arms = spec.spec.arms.map(({ name }, i) => {
    const { policyVersion, devices } = change.arms[i] as (typeof change.arms)[number];
    const those = order.slice(from, from + devices);
    from += devices;
    return { name, policyVersion, devices: those };
  });
  return {
    uid,
    version: 1,
    spec,
    arms,
    order,
    strata: strata?.length === order.length ? strata : null,
    modelDigest,
    cloudTarget,
    deadlineMs,
    phase: "Running",
    judged: [],
    verdict: null,
    winner: null,
    why: "",
    evidence: null,
    generation: position,
    createdAt: at,
    changedAt: at,
  };
}

/** The first verdict of an arm; null: it has none yet. */
export const judgedIn = ({ judged }: Pick<Experiment, "judged">, arm: string): ArmJudged | null =>
  judged.find((one) => one.arm === arm) ?? null;

/** When it is held, if it is undecided. */
export const endOf = ({ createdAt, spec }: Experiment): Instant => createdAt + spec.spec.duration;
