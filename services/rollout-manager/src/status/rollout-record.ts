/** A rollout as rollouts.v1 and the API show it. Pure: instances with the same state write the same bytes. */
import {
  type Model,
  type RolloutAnalysis,
  type RolloutPhase,
  type Rollout as RolloutRecord,
  topics,
} from "@tributary/contracts";
import type { ModelTable } from "@tributary/models";
import {
  type AnalysisEvidence,
  abandonedWords,
  leftWords,
  pausedWords,
  type Rollout,
  type RolloutController,
  reachedWords,
  type Seen,
  stepOf,
  stepWords,
  writtenSpec,
} from "@tributary/rollouts";
import { type Publishing, StatusPublisher } from "./status-publisher.ts";

const phases = {
  Progressing: "PROGRESSING",
  Paused: "PAUSED",
  Healthy: "HEALTHY",
  Degraded: "DEGRADED",
} as const satisfies Record<Rollout["phase"], RolloutPhase>;

const analyses = {
  Pending: "PENDING",
  Running: "RUNNING",
  Successful: "SUCCESSFUL",
  Failed: "FAILED",
  Inconclusive: "INCONCLUSIVE",
  NoData: "NO_DATA",
  Error: "ERROR",
} as const satisfies Record<Rollout["analysis"], RolloutAnalysis>;

export function recordOf(
  rollout: Rollout,
  seen: Seen,
  comparison: AnalysisEvidence | null,
  model: Model | undefined,
): RolloutRecord {
  const { uid, spec, modelDigest, stableDigest, phase, step, weight, analysis, pause, aborted, generation } = rollout;
  const { model: written, slot, strategy } = spec.spec;
  const isRunning = analysis === "Running" && comparison !== null;
  return {
    uid,
    version: BigInt(rollout.version),
    name: spec.metadata.name,
    slot,
    modelName: model?.name ?? (written.split("@")[0] as string),
    modelVersion: model?.version ?? written.split("@")[1] ?? "",
    modelDigest,
    stableDigest,
    phase: phases[phase],
    step,
    steps: strategy.canary.steps.length,
    weight,
    analysis: analyses[analysis],
    message: messageOf(rollout, seen, comparison),
    pausedUntil: pause?.untilMs ?? null,
    isBack: aborted?.isBack ?? false,
    abandoned: aborted?.abandoned?.some ?? [],
    abandonedDevices: aborted?.abandoned?.devices ?? 0,
    generation,
    devices: rollout.cohorts.order.length,
    reached: seen.reached,
    updated: seen.updated,
    refused: seen.refused,
    spec: JSON.stringify(writtenSpec(spec)),
    evidence: JSON.stringify(isRunning ? comparison : rollout.evidence),
    createdAt: rollout.createdAt,
    changedAt: rollout.changedAt,
  };
}

/** rollouts.v1 */
export const rolloutStatus = (
  controller: RolloutController,
  models: ModelTable,
  publishing: Publishing,
): StatusPublisher<RolloutRecord> =>
  new StatusPublisher({
    ...publishing,
    topic: topics.rollouts,
    uids: () => controller.rollouts.map(({ uid }) => uid),
    recordOf: (uid) => {
      const rollout = controller.rollout(uid);
      if (rollout === null) return null;
      const seen = controller.seen(uid, publishing.clock.now());
      return recordOf(rollout, seen, controller.evidence(uid), models.byDigest(rollout.modelDigest));
    },
    isActive: ({ phase, isBack, abandonedDevices }) => phase !== "HEALTHY" && !isBack && abandonedDevices === 0,
  });

function messageOf(rollout: Rollout, seen: Seen, comparison: AnalysisEvidence | null): string {
  const { phase, aborted, pause, analysis } = rollout;
  if (aborted !== null) {
    if (aborted.abandoned !== null) return `${aborted.why}; ${abandonedWords(aborted.abandoned, rollout.evidence)}`;
    if (aborted.isBack) return [`rolled back: ${aborted.why}`, leftWords(rollout.evidence)].filter(Boolean).join("; ");
    return `is being rolled back: ${aborted.why}; ${seen.onModel} devices still have the model`;
  }
  if (phase === "Healthy") return reachedWords(rollout.evidence);
  if (pause !== null) return `paused: ${pausedWords(pause.reason, rollout.evidence)}`;
  const step = stepOf(rollout);
  if (step === undefined) return "every step is done";
  if ("setWeight" in step) {
    const install = seen.installing === 0 ? "" : `, ${seen.installing} install it`;
    return `${stepWords(step)}: ${seen.updated} of ${seen.reached} devices run the model${install}`;
  }
  if (analysis === "Running" && comparison !== null) return `analysis: ${comparison.why}`;
  return stepWords(step);
}
