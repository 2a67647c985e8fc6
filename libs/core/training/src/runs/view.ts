/** A run as APIs show it: times as text, evidence as JSON. */
import type { TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";

const time = (at: Instant): string => new Date(at).toISOString();

export function trainingView(run: TrainingRun) {
  const { version, since, attemptAt, requestedAt, changedAt, endedAt, evidence, devices, metrics } = run;
  return {
    ...run,
    version: Number(version),
    devices: [...devices],
    metrics: { ...metrics },
    since: time(since),
    attemptAt: time(attemptAt),
    evidence: JSON.parse(evidence) as Record<string, unknown>,
    requestedAt: time(requestedAt),
    changedAt: time(changedAt),
    endedAt: endedAt === null ? null : time(endedAt),
  };
}
