/**
 * What a person may do with a run.
 *
 * C1. A run is cancelled once nothing of it is left: its job is stopped and its candidate has lost the alias before the record says
 *     so. What was asked for is lost if the trainer ends in between, and is asked for again; nothing keeps running unseen.
 * C2. A rollout is not aborted behind the back of those who watch it: a run whose candidate is rolled out is not cancelled.
 */
import type { TrainingRun } from "@tributary/contracts";
import { Failure, type Instant } from "@tributary/kernel";
import { type Changed, changed, entering } from "./change.ts";
import { isEnded } from "./phases.ts";
import { championOf, isRolloutOver, rolloutOf, type World } from "./world.ts";

export type Cleanup = "stop-job" | "withdraw" | "none";

/** What is done before `cancelled`. Throws a Failure that names why it may not be cancelled. */
export function cleanupOf(run: TrainingRun, world: World): Cleanup {
  const { runId, phase, candidateDigest, candidateVersion, model } = run;
  if (isEnded(run)) throw new Failure("training-ended", "give-up", `training ${runId} is ${phase} already`);
  if (phase === "TRAINING") return "stop-job";
  if (candidateVersion === "") return "none";
  if (championOf(world, model)?.version === candidateVersion) {
    const message = `${model}@${candidateVersion} is champion: to undo that, tributary rollout undo`;
    throw new Failure("training-rolled-out", "give-up", message);
  }
  const rollout = rolloutOf(world, candidateDigest);
  if (rollout !== undefined && !isRolloutOver(rollout)) {
    const message = `training ${runId} is being rolled out: tributary rollout abort ${rollout.name} ends both`;
    throw new Failure("training-in-rollout", "ask-a-person", message); // C2
  }
  return "withdraw";
}

/** C1 */
export const cancelled = (run: TrainingRun, by: string, reason: string, now: Instant): Changed =>
  changed(run, "CANCELLED", { phase: "CANCELLED", by, message: `cancelled by ${by}: ${reason}` }, now);

/** Throws a Failure for a run that waits for nobody. */
export function checkResumable({ runId, phase }: TrainingRun): void {
  if (phase === "HELD") return;
  throw new Failure("training-not-held", "give-up", `training ${runId} is ${phase}: only a HELD one is resumed`);
}

/** After the gate's lines that held it were overridden. */
export const resumed = (run: TrainingRun, by: string, now: Instant): Changed =>
  changed(run, "RESUMED", { ...entering("GATE", now), by, message: `resumed by ${by}` }, now);
