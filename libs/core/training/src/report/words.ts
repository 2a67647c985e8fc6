/** Phases and triggers of trainings in words, for pages and terminals. */
import type { TrainingPhase, TrainingTrigger } from "@tributary/contracts";

export const triggerWords: Readonly<Record<TrainingTrigger, string>> = {
  UNKNOWN: "unknown cause",
  VERDICT: "drift that loses frames",
  LABELS: "enough new labels",
  SCHEDULE: "schedule",
  PERSON: "a person",
};

export const phaseWords: Readonly<Record<TrainingPhase, string>> = {
  UNKNOWN: "Its phase is not known to this version.",
  QUEUED: "Another training of the model comes first, or a limit holds it back.",
  LABELLING: "It waits for labels of frames of the slice.",
  FREEZING: "Its dataset is being frozen.",
  TRAINING: "The model is being trained.",
  PACKING: "The model package is being made.",
  PUSHING: "The package is being pushed to the model registry.",
  GATE: "The candidate is evaluated against the champion.",
  ROLLOUT: "The candidate is on its way to the fleet.",
  HELD: "A person decides.",
  SUCCEEDED: "It is over: its model is champion, unless it gives nothing.",
  FAILED: "It failed.",
  REFUSED: "It was refused.",
  CANCELLED: "It was cancelled.",
};

export function minutesOf(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 2) return `${Math.round(ms / 1_000)} s`;
  return minutes < 120 ? `${Math.round(minutes)} minutes` : `${(minutes / 60).toFixed(1)} hours`;
}
