/** A training as the gateway shows it. */
import type { TrainingDetail } from "@tributary/api";
import { someTrainingRun } from "@tributary/testing";

export function someTraining(change: Partial<TrainingDetail> = {}): TrainingDetail {
  const { attemptAt: _at, restarts: _restarts, ...run } = someTrainingRun();
  const at = (ms: number) => new Date(ms).toISOString();
  return {
    ...run,
    version: Number(run.version),
    devices: [...run.devices],
    evidence: {},
    since: at(run.since),
    requestedAt: at(run.requestedAt),
    changedAt: at(run.changedAt),
    endedAt: null,
    ...change,
  };
}
