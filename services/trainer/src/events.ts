import { defineEvent } from "@tributary/telemetry";

export const runChanged = defineEvent<{
  runId: string;
  version: string;
  model: string;
  trigger: string;
  kind: string;
  phase: string;
  reason: string;
}>({
  name: "training_changed",
  level: "info",
  message: (e) => `training ${e.runId} v${e.version} of ${e.model} is ${e.phase}: ${e.reason}`,
  counter: {
    name: "tributary_training_changes_total",
    help: "Transitions of trainings",
    labels: ["kind", "trigger"],
  },
});

export const effectEnded = defineEvent<{ runId: string; effect: string; outcome: string; reason: string; ms: number }>({
  name: "training_effect_ended",
  level: "debug",
  message: (e) => `training ${e.runId}: ${e.effect}: ${e.outcome}${e.reason === "" ? "" : `: ${e.reason}`}`,
  counter: {
    name: "tributary_training_effects_total",
    help: "What trainings did, and what became of it",
    labels: ["effect", "outcome"],
  },
  histogram: {
    name: "tributary_training_effect_seconds",
    help: "Seconds of what a training does outside of Kafka",
    labels: ["effect"],
    buckets: [0.01, 0.1, 1, 10, 60, 300, 1_800],
    value: (e) => e.ms / 1_000,
  },
});

export const outcomeDropped = defineEvent<{ runId: string; effect: string; reason: string }>({
  name: "training_outcome_dropped",
  level: "warn",
  message: (e) => `training ${e.runId}: the outcome of ${e.effect} does not count: ${e.reason}`,
});

export const runsTakenOver = defineEvent<{ runs: number; open: number; ms: number }>({
  name: "trainings_taken_over",
  level: "info",
  message: (e) => `this instance owns the trainings: ${e.open} of ${e.runs} are open, read in ${e.ms.toFixed(0)} ms`,
});

export const runsGivenUp = defineEvent<{ code: string; reason: string }>({
  name: "trainings_given_up",
  level: "warn",
  message: (e) => `trainings are read again: ${e.reason}`,
});

export const lookFailed = defineEvent<{ code: string; reason: string }>({
  name: "training_look_failed",
  level: "warn",
  message: (e) => `trainings could not be decided or written, trying again: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_training_looks_failed_total",
    help: "Looks at the trainings that failed",
    labels: ["code"],
  },
});

export const framesEvicted = defineEvent<{ what: string; frames: number }>({
  name: "training_frames_evicted",
  level: "warn",
  message: (e) => `${e.frames} frames (${e.what}) are forgotten, since more than datasets.framesMax are known`,
  counter: {
    name: "tributary_training_frames_evicted_total",
    help: "Archived frames and labels that no training can use, since more than datasets.framesMax were known",
    labels: ["what"],
    value: (e) => e.frames,
  },
});

export const packingProgressed = defineEvent<{ runId: string; line: string }>({
  name: "training_packing",
  level: "debug",
  message: (e) => `training ${e.runId}: ${e.line}`,
});

export const mlflowRecorded = defineEvent<{ runId: string }>({
  name: "training_mlflow_recorded",
  level: "debug",
  message: (e) => `training ${e.runId} is shown in MLflow`,
  counter: {
    name: "tributary_training_mlflow_recorded_total",
    help: "States of trainings that MLflow shows",
    labels: [],
  },
});

export const mlflowFailed = defineEvent<{ runId: string; outcome: "away" | "refused"; reason: string }>({
  name: "training_mlflow_failed",
  level: "warn",
  message: (e) =>
    `training ${e.runId} could not be shown in MLflow, ${e.outcome === "away" ? "trying again" : "until it changes"}: ${e.reason}`,
  counter: {
    name: "tributary_training_mlflow_failed_total",
    help: "States of trainings that could not be shown: MLflow was away and will be asked again, or refused them",
    labels: ["outcome"],
  },
});

export const mlflowDropped = defineEvent<{ runId: string }>({
  name: "training_mlflow_dropped",
  level: "warn",
  message: (e) => `training ${e.runId} is not shown in MLflow: too many trainings wait for it`,
  counter: {
    name: "tributary_training_mlflow_dropped_total",
    help: "States of trainings that MLflow was not shown, since too many waited",
    labels: [],
  },
});
