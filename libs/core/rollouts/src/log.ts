/** Which events of the log count, and the state of each rollout and experiment after them: the one rule for every reader of the log.
 * Of finished ones the `finishedMax` that changed last are kept (G9); later events of the others do not count.
 *
 * L1. An event counts only if its version is the last valid one of its rollout or experiment + 1 in log order (events.ts V1).
 * L2. Two instances may create, retry or undo at once what cannot be at once: such an event counts only if no rollout or experiment
 *     before it in the log holds one of its devices, in whichever slot: a device follows one generation, which two would give
 *     two meanings, and an effect on a device of two could be of either. */
import { Failure } from "@tributary/kernel";
import { type Holder, refuseConflicts } from "./cohorts.ts";
import { type ExperimentEvent, isExperimentEvent, type LogEvent, type RolloutEvent } from "./events.ts";
import { applyExperimentEvent, type Experiment } from "./experiment/experiment.ts";
import { applyEvent, isFinished, type Rollout } from "./rollout.ts";

/** What became of a record of the log. */
export type Applied =
  | { readonly kind: "counts"; readonly rollout: Rollout; readonly experiment: null; readonly event: RolloutEvent }
  | {
      readonly kind: "counts";
      readonly rollout: null;
      readonly experiment: Experiment;
      readonly event: ExperimentEvent;
    }
  /** Its version is not the next one. */
  | { readonly kind: "stale"; readonly reason: string }
  /** Others hold its devices. */
  | { readonly kind: "conflicts"; readonly reason: string };

/** Finished rollouts, and experiments, that are remembered by default. */
export const FINISHED_MAX = 100;

type Kept = {
  rollout: Rollout;
  /** Position of its creation. */
  readonly createdAt: bigint;
};

export class RolloutLog {
  readonly #finishedMax: number;
  readonly #kept = new Map<string, Kept>();
  readonly #experiments = new Map<string, Experiment>();

  constructor(finishedMax = FINISHED_MAX) {
    this.#finishedMax = finishedMax;
  }

  get(uid: string): Rollout | null {
    return this.#kept.get(uid)?.rollout ?? null;
  }

  experiment(uid: string): Experiment | null {
    return this.#experiments.get(uid) ?? null;
  }

  /** Folds the next event of the log; `position` grows along it and becomes the generation. */
  apply(event: LogEvent, position: bigint): Applied {
    return isExperimentEvent(event) ? this.#ofExperiment(event, position) : this.#ofRollout(event, position);
  }

  #ofRollout(event: RolloutEvent, position: bigint): Applied {
    const before = this.#kept.get(event.uid);
    const rollout = applyEvent(before?.rollout ?? null, event, position);
    if (rollout === null || rollout === before?.rollout || this.#experiments.has(event.uid))
      return stale(event, before?.rollout);
    if ((before === undefined || isFinished(before.rollout)) && !isFinished(rollout)) {
      const conflict = conflictOf(() => this.refuse(rollout));
      if (conflict !== null) return conflict;
    }
    if (before === undefined) this.#kept.set(event.uid, { rollout, createdAt: position });
    else before.rollout = rollout;
    const finished = [...this.#kept.values()].map((kept) => kept.rollout).filter(isFinished);
    for (const { uid } of oldestBeyond(finished, this.#finishedMax)) this.#kept.delete(uid);
    return { kind: "counts", rollout, experiment: null, event };
  }

  #ofExperiment(event: ExperimentEvent, position: bigint): Applied {
    const before = this.experiment(event.uid);
    const experiment = applyExperimentEvent(before, event, position);
    if (experiment === null || experiment === before || this.#kept.has(event.uid)) return stale(event, before);
    if (before === null) {
      const conflict = conflictOf(() => this.refuseExperiment(experiment));
      if (conflict !== null) return conflict;
    }
    this.#experiments.set(event.uid, experiment);
    const ended = [...this.#experiments.values()].filter(({ phase }) => phase !== "Running");
    for (const { uid } of oldestBeyond(ended, this.#finishedMax)) this.#experiments.delete(uid);
    return { kind: "counts", rollout: null, experiment, event };
  }

  /** Throws Failure `rollout-conflict` if another holds devices of a rollout that shall be created, retried or undone: an
   * active one, an experiment, or a rollout that came later and stands, which would be undone with it. (L2) */
  refuse({ uid, spec, cohorts }: Pick<Rollout, "uid" | "spec" | "cohorts">): void {
    const createdAt = this.#kept.get(uid)?.createdAt ?? null;
    const later = [...this.#kept.values()].flatMap(({ rollout: other, createdAt: otherAt }) => {
      const isSameSlot = other.spec.spec.slot === spec.spec.slot;
      const stands = isSameSlot && other.phase === "Healthy" && createdAt !== null && otherAt > createdAt;
      return stands && other.uid !== uid ? [holderOf(other)] : [];
    });
    refuseConflicts(cohorts.order, [...later, ...this.#holders(uid)]);
  }

  /** Throws Failure `rollout-conflict` if a rollout or another experiment holds devices of one that shall be created. (L2) */
  refuseExperiment({ uid, order }: Pick<Experiment, "uid" | "order">): void {
    refuseConflicts(order, this.#holders(uid));
  }

  #holders(uid: string): readonly Holder[] {
    const rollouts = [...this.#kept.values()].map(({ rollout }) => rollout).filter((one) => !isFinished(one));
    const experiments = [...this.#experiments.values()].filter(({ phase }) => phase === "Running");
    return [...rollouts.map(holderOf), ...experiments.map(holderOfExperiment)].filter((other) => other.uid !== uid);
  }
}

const holderOf = ({ uid, spec, cohorts }: Rollout): Holder => ({
  kind: "rollout",
  uid,
  name: spec.metadata.name,
  devices: cohorts.order,
});

const holderOfExperiment = ({ uid, spec, order }: Experiment): Holder => ({
  kind: "experiment",
  uid,
  name: spec.metadata.name,
  devices: order,
});

const stale = ({ version }: LogEvent, before: { readonly version: number } | null | undefined): Applied => ({
  kind: "stale",
  reason: `version ${version}, where ${(before?.version ?? 0) + 1} is the next`,
});

function conflictOf(refuse: () => void): Applied | null {
  try {
    refuse();
    return null;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { kind: "conflicts", reason: error.message };
  }
}

const oldestBeyond = <T extends { readonly changedAt: number }>(finished: readonly T[], max: number): readonly T[] =>
  finished.length <= max ? [] : [...finished].sort((a, b) => a.changedAt - b.changedAt).slice(0, finished.length - max);
