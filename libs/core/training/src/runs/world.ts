/** What is known outside of a run when something is decided about it: folds of topics, as they are read. */
import type { DriftVerdict, Model, Rollout, TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { isWorking } from "./phases.ts";

export type World = {
  /** By id; of all models, ended ones too. */
  readonly runs: ReadonlyMap<string, TrainingRun>;
  readonly verdicts: ReadonlyMap<string, DriftVerdict>;
  readonly models: {
    names(): readonly string[];
    byAlias(name: string, alias: string): Model | undefined;
    get(name: string, version: string): Model | undefined;
  };
  /** By uid. */
  readonly rollouts: ReadonlyMap<string, Rollout>;
  /** Usable labels of a model's frames that came after this moment. */
  labelsSince(model: string, at: Instant): number;
  /** The next scheduled moment after this one; null: there is no schedule. */
  scheduledAfter(at: Instant): Instant | null;
};

export const championOf = ({ models }: World, model: string): Model | undefined => models.byAlias(model, "champion");

/** The newest rollout of a package. */
export function rolloutOf({ rollouts }: World, modelDigest: string): Rollout | undefined {
  let newest: Rollout | undefined;
  for (const rollout of rollouts.values()) {
    if (rollout.modelDigest !== modelDigest) continue;
    if (newest === undefined || rollout.createdAt > newest.createdAt) newest = rollout;
  }
  return newest;
}

export const isRolloutOver = ({ phase, isBack, abandonedDevices }: Rollout): boolean =>
  phase === "HEALTHY" || (phase === "DEGRADED" && (isBack || abandonedDevices > 0));

/** Another run of the model that is past LABELLING. */
export const workingRunOf = ({ runs }: World, model: string, except = ""): TrainingRun | undefined =>
  [...runs.values()].find((run) => run.model === model && run.runId !== except && isWorking(run));
