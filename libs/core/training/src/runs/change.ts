/** A transition: the run's next record, and the event that is written with it. */
import type { TrainingChange, TrainingEvent, TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { isEnded } from "./phases.ts";

export type Changed = { readonly run: TrainingRun; readonly event: TrainingEvent };

/** What a transition changes; the rest follows. */
export type Patch = Partial<
  Omit<TrainingRun, "runId" | "version" | "model" | "changedAt" | "endedAt"> & { readonly by: string }
>;

export const SERVICE = "trainer";
const MESSAGE_LENGTH_MAX = 2_000;

/** Enters a phase: its attempts count from 1. */
export const entering = (phase: TrainingRun["phase"], now: Instant): Patch => ({ phase, attempt: 1, attemptAt: now });

export function changed(
  run: TrainingRun,
  kind: TrainingChange,
  { by = SERVICE, ...given }: Patch,
  now: Instant,
): Changed {
  const patch = {
    ...given,
    ...(given.message !== undefined && { message: given.message.slice(0, MESSAGE_LENGTH_MAX) }),
  };
  const after: TrainingRun = { ...run, ...patch, version: run.version + 1n, changedAt: now };
  const next = isEnded(after) && !isEnded(run) ? { ...after, endedAt: now } : after;
  return { run: next, event: eventOf(next, kind, by, now, patch) };
}

export function eventOf(run: TrainingRun, kind: TrainingChange, by: string, at: Instant, patch: object): TrainingEvent {
  const { runId, version, model, phase, message } = run;
  const details = JSON.stringify({ phase, message, ...patch, evidence: undefined });
  return { runId, version, at, by, model, kind, details };
}

/** Adds to the numbers for people. */
export function evidenceWith(run: TrainingRun, more: object): string {
  return JSON.stringify({ ...(JSON.parse(run.evidence) as object), ...more });
}
