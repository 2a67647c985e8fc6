/** Trainings as the public API shows them: the contract's records, with times as RFC 3339. */
import type { TrainingDetail, TrainingEventView, TrainingFilter, TrainingView } from "@tributary/api";
import type { TrainingEvent, TrainingRun } from "@tributary/contracts";
import { isEnded } from "@tributary/training";
import { isoOf } from "../answers/answer.ts";

type Standing = Pick<TrainingRun, "phase" | "model">;

export const matchesTraining = (run: Standing, { state, phase, model }: TrainingFilter): boolean =>
  (state === "all" || (state === "ended") === isEnded(run)) &&
  (phase === undefined || run.phase === phase) &&
  (model === undefined || run.model === model);

export function viewOf(run: TrainingRun): TrainingView {
  const { devices: _devices, evidence: _evidence, attemptAt: _at, restarts: _restarts, ...rest } = run;
  return {
    ...rest,
    version: Number(run.version),
    metrics: { ...run.metrics },
    since: timeOf(run.since),
    requestedAt: timeOf(run.requestedAt),
    changedAt: timeOf(run.changedAt),
    endedAt: isoOf(run.endedAt),
  };
}

export const detailOf = (run: TrainingRun): TrainingDetail => ({
  ...viewOf(run),
  devices: [...run.devices],
  evidence: objectOf(run.evidence),
});

export const eventView = (event: TrainingEvent): TrainingEventView => ({
  runId: event.runId,
  version: Number(event.version),
  at: timeOf(event.at),
  by: event.by,
  kind: event.kind,
  details: objectOf(event.details),
});

const timeOf = (ms: number): string => isoOf(ms) ?? "";

/** Of a JSON field; empty where it is none. */
export function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}
