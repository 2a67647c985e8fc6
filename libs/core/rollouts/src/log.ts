/** Which events of the log count, and the state of each rollout after them: the one rule for every reader of the log. Of
 * finished rollouts the `finishedMax` that changed last are kept (G9); later events of the others do not count.
 *
 * L1. An event counts only if its version is the last valid one of its rollout + 1 in log order (events.ts V1).
 * L2. Two instances may create, retry or undo at once what cannot be at once: such an event counts only if no rollout before
 *     it in the log holds one of its devices, in whichever slot: a device follows one generation, which two would give two
 *     meanings. */
import { Failure } from "@tributary/kernel";
import { refuseConflicts } from "./cohorts.ts";
import type { RolloutEvent } from "./events.ts";
import { applyEvent, isFinished, type Rollout } from "./rollout.ts";

/** What became of a record of the log. */
export type Applied =
  | { readonly kind: "counts"; readonly rollout: Rollout }
  /** Its version is not the next one. */
  | { readonly kind: "stale"; readonly reason: string }
  /** Others hold its devices. */
  | { readonly kind: "conflicts"; readonly reason: string };

/** Finished rollouts that are remembered by default. */
export const FINISHED_MAX = 100;

type Kept = {
  rollout: Rollout;
  /** Position of its creation. */
  readonly createdAt: bigint;
};

export class RolloutLog {
  readonly #finishedMax: number;
  readonly #kept = new Map<string, Kept>();

  constructor(finishedMax = FINISHED_MAX) {
    this.#finishedMax = finishedMax;
  }

  get(uid: string): Rollout | null {
    return this.#kept.get(uid)?.rollout ?? null;
  }

  /** Folds the next event of the log; `position` grows along it and becomes the generation. */
  apply(event: RolloutEvent, position: bigint): Applied {
    const before = this.#kept.get(event.uid);
    const rollout = applyEvent(before?.rollout ?? null, event, position);
    if (rollout === null || rollout === before?.rollout) {
      const expected = (before?.rollout.version ?? 0) + 1;
      return { kind: "stale", reason: `version ${event.version}, where ${expected} is the next` };
    }
    if ((before === undefined || isFinished(before.rollout)) && !isFinished(rollout)) {
      try {
        this.refuse(rollout);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return { kind: "conflicts", reason: error.message };
      }
    }
    if (before === undefined) this.#kept.set(event.uid, { rollout, createdAt: position });
    else before.rollout = rollout;
    if (isFinished(rollout)) this.#forgetOldest();
    return { kind: "counts", rollout };
  }

  /** Throws Failure `rollout-conflict` if another holds devices of a rollout that shall be created, retried or undone: an
   * active one, or one that came later and stands, which would be undone with it. (L2) */
  refuse({ uid, spec, cohorts }: Pick<Rollout, "uid" | "spec" | "cohorts">): void {
    const createdAt = this.#kept.get(uid)?.createdAt ?? null;
    const others: { uid: string; name: string; devices: readonly string[] }[] = [];
    for (const { rollout: other, createdAt: otherAt } of this.#kept.values()) {
      if (other.uid === uid) continue;
      const isSameSlot = other.spec.spec.slot === spec.spec.slot;
      const stands = isSameSlot && other.phase === "Healthy" && createdAt !== null && otherAt > createdAt;
      if (!isFinished(other) || stands)
        others.push({ uid: other.uid, name: other.spec.metadata.name, devices: other.cohorts.order });
    }
    refuseConflicts(cohorts.order, others);
  }

  #forgetOldest(): void {
    const finished = [...this.#kept.values()].filter(({ rollout }) => isFinished(rollout));
    if (finished.length <= this.#finishedMax) return;
    finished.sort((a, b) => a.rollout.changedAt - b.rollout.changedAt);
    const oldest = finished[0]?.rollout.uid;
    if (oldest !== undefined) this.#kept.delete(oldest);
  }
}
