/** What the rollout-manager reports to its operators: each event is a log line and its metrics. */
import { defineEvent } from "@tributary/telemetry";
import type { LabelOutcome } from "./watching/label-join.ts";

export const changed = defineEvent<{ uid: string; version: number; kind: string; by: string; phase: string }>({
  name: "rollout_changed",
  level: "info",
  message: (e) => `${e.uid} v${e.version}: ${e.kind} by ${e.by}, ${e.phase}`,
  counter: {
    name: "tributary_rollout_changes_total",
    help: "Events of rollouts and experiments that count",
    labels: ["kind"],
  },
});

export const proposalLost = defineEvent<{ uid: string; kind: string; by: string; reason: string }>({
  name: "rollout_event_stale",
  level: "debug",
  message: (e) => `${e.kind} of ${e.uid} by ${e.by} does not count: ${e.reason}`,
  counter: {
    name: "tributary_rollout_events_stale_total",
    help: "Events that another one was faster than; they change nothing",
  },
});

export const eventRefused = defineEvent<{ uid: string; kind: string; by: string; reason: string }>({
  name: "rollout_event_refused",
  level: "warn",
  message: (e) => `${e.kind} of ${e.uid} by ${e.by} does not count: ${e.reason}`,
  counter: { name: "tributary_rollout_events_refused_total", help: "Events against others in the log" },
});

export const eventUnknown = defineEvent<{ uid: string; reason: string }>({
  name: "rollout_event_unknown",
  level: "error",
  message: (e) => `nothing is decided about ${e.uid} here: ${e.reason}`,
  counter: {
    name: "tributary_rollout_events_unknown_total",
    help: "Events that only a later version can read; nothing is decided about their rollouts",
  },
});

export const appendFailed = defineEvent<{ uid: string; kind: string; code: string; reason: string }>({
  name: "rollout_append_failed",
  level: "warn",
  message: (e) => `${e.kind} of rollout ${e.uid} could not be proposed, trying again: ${e.code}: ${e.reason}`,
  counter: { name: "tributary_rollout_appends_failed_total", help: "Events that Kafka did not take" },
});

export const adoptionRefused = defineEvent<{ uid: string; code: string; reason: string }>({
  name: "adoption_refused",
  level: "warn",
  message: (e) => `rollout ${e.uid} of an adopted policy cannot start now, trying again: ${e.reason}`,
  counter: {
    name: "tributary_rollout_adoptions_refused_total",
    help: "Reasons for which the policy that an experiment adopted cannot be rolled out now",
  },
});

export const desiredWritten = defineEvent<{ uid: string; devices: number; generation: string; why: string }>({
  name: "desired_written",
  level: "info",
  message: (e) => `${e.devices} devices shall follow generation ${e.generation}: ${e.why}`,
  counter: {
    name: "tributary_rollout_desired_total",
    help: "Desired states written",
    value: (e) => e.devices,
  },
});

export const desiredAhead = defineEvent<{ device: string; generation: string; wanted: string }>({
  name: "desired_ahead",
  level: "error",
  message: (e) =>
    `${e.device} has desired generation ${e.generation}, above ours of ${e.wanted}: was Kafka restored? Then raise epoch`,
  counter: {
    name: "tributary_rollout_desired_ahead_total",
    help: "Devices whose desired generation is above what the log can give",
  },
});

export const writeFailed = defineEvent<{ what: string; code: string; reason: string }>({
  name: "rollout_write_failed",
  level: "warn",
  message: (e) => `${e.what} could not be written, trying again: ${e.code}: ${e.reason}`,
  counter: { name: "tributary_rollout_writes_failed_total", help: "Writes that Kafka did not take", labels: ["what"] },
});

export const reportIgnored = defineEvent<{ device: string; reason: string }>({
  name: "report_ignored",
  level: "warn",
  message: (e) => `a report of ${e.device} is ignored: ${e.reason}`,
  counter: {
    name: "tributary_rollout_reports_ignored_total",
    help: "Reported states that are replayed or cannot be",
    labels: ["reason"],
  },
});

export const looked = defineEvent<{ uid: string; sinceMs: number; why: string; ms: number }>({
  name: "rollout_looked",
  level: "debug",
  message: (e) => `rollout ${e.uid} after ${Math.round(e.sinceMs / 1_000)} s: ${e.why}`,
  counter: { name: "tributary_rollout_looks_total", help: "Looks at canaries" },
  histogram: {
    name: "tributary_rollout_look_seconds",
    help: "Seconds of one look, its reading apart",
    buckets: [0.001, 0.005, 0.02, 0.05, 0.15, 0.5, 2],
    value: (e) => e.ms / 1_000,
  },
});

export const foldFailed = defineEvent<{ code: string; reason: string }>({
  name: "rollout_fold_failed",
  level: "warn",
  message: (e) => `metrics could not be read, trying again: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_rollout_fold_failures_total",
    help: "Rounds of reading metrics that failed and were repeated",
  },
});

export const checkpointWritten = defineEvent<{ at: number; bytes: number; ms: number }>({
  name: "rollout_checkpoint_written",
  level: "debug",
  message: (e) =>
    `what is counted as of ${new Date(e.at).toISOString()} is stored: ${e.bytes} bytes in ${Math.round(e.ms)} ms`,
  counter: { name: "tributary_rollout_checkpoints_total", help: "Checkpoints of what is counted that were written" },
});

export const checkpointFailed = defineEvent<{ code: string; reason: string }>({
  name: "rollout_checkpoint_failed",
  level: "warn",
  message: (e) => `what is counted could not be stored, trying again later: ${e.code}: ${e.reason}`,
  counter: { name: "tributary_rollout_checkpoints_failed_total", help: "Checkpoints that could not be written" },
});

export const checkpointRestored = defineEvent<{ at: number; devices: number; ended: string; missing: string }>({
  name: "rollout_checkpoint_restored",
  level: "info",
  message: (e) =>
    `continues from what was counted of ${e.devices} devices as of ${new Date(e.at).toISOString()}${e.ended === "" ? "" : `; ended since: ${e.ended}`}${e.missing === "" ? "" : `; counted from there on: ${e.missing}`}`,
});

export const checkpointLeftOut = defineEvent<{ why: string; detail: string }>({
  name: "rollout_checkpoint_left_out",
  level: "warn",
  message: (e) => `a checkpoint is not used: ${e.detail}`,
  counter: {
    name: "tributary_rollout_checkpoints_left_out_total",
    help: "Checkpoints that could not be used at a start, by why",
    labels: ["why"],
  },
});

export const recordsLost = defineEvent<{ count: number; at: number }>({
  name: "rollout_records_lost",
  level: "warn",
  message: (e) =>
    `retention deleted ${e.count} records after the checkpoint of ${new Date(e.at).toISOString()} that were never counted: verdicts lack them`,
  counter: {
    name: "tributary_rollout_records_lost_total",
    help: "Records that retention deleted after the checkpoint, before they were counted",
    value: (e) => e.count,
  },
});

export const labelsTaken = defineEvent<{ outcome: LabelOutcome; count: number }>({
  name: "rollout_labels_taken",
  level: "debug",
  message: (e) => `${e.count} labels: ${e.outcome}`,
  counter: {
    name: "tributary_rollout_labels_total",
    help: "Labels by what became of them: counted, late (found in the log), corrected, or why they do not count",
    labels: ["outcome"],
    value: (e) => e.count,
  },
});

export const observed = defineEvent<{ uid: string; metric: string; devices: number; ms: number }>({
  name: "rollout_metric_observed",
  level: "debug",
  message: (e) => `Prometheus was asked for ${e.metric} of ${e.devices} devices of rollout ${e.uid}`,
  counter: {
    name: "tributary_rollout_prometheus_asks_total",
    help: "Metrics that Prometheus was asked for and answered",
  },
  histogram: {
    name: "tributary_rollout_prometheus_seconds",
    help: "Seconds that Prometheus took to answer for one metric",
    buckets: [0.01, 0.05, 0.2, 0.5, 1, 2, 5, 10, 30],
    value: (e) => e.ms / 1_000,
  },
});

export const observingFailed = defineEvent<{ uid: string; metric: string; code: string; reason: string }>({
  name: "rollout_metric_unobserved",
  level: "debug",
  message: (e) => `${e.metric} of rollout ${e.uid} is not known: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_rollout_prometheus_failures_total",
    help: "Metrics that Prometheus did not answer, by why",
    labels: ["code"],
  },
});

export const observingTrouble = defineEvent<{ uid: string; metric: string; problem: string }>({
  name: "rollout_metric_trouble",
  level: "warn",
  message: (e) => `${e.metric} of rollout ${e.uid}: ${e.problem}`,
});

export const seriesRefused = defineEvent<{ uid: string; metric: string; reason: string; count: number; some: string }>({
  name: "rollout_series_refused",
  level: "debug",
  message: (e) =>
    `${e.count} series or devices of ${e.metric} of rollout ${e.uid} do not count: ${e.reason}: ${e.some}`,
  counter: {
    name: "tributary_rollout_series_refused_total",
    help: "Series of Prometheus that do not count, by why",
    labels: ["reason"],
    value: (e) => e.count,
  },
});

export const autoStarted = defineEvent<{ uid: string; model: string }>({
  name: "rollout_auto_started",
  level: "info",
  message: (e) => `${e.model} is challenger: rollout ${e.uid} starts`,
  counter: { name: "tributary_rollout_auto_starts_total", help: "Rollouts started for a challenger" },
});

export const autoStartRefused = defineEvent<{ model: string; code: string; reason: string }>({
  name: "rollout_auto_start_refused",
  level: "warn",
  message: (e) => `${e.model} is challenger, and no rollout can start: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_rollout_auto_starts_refused_total",
    help: "Challengers for which no rollout could start",
    labels: ["code"],
  },
});

export const aliasMoved = defineEvent<{ model: string; alias: string; version: string }>({
  name: "rollout_alias_moved",
  level: "info",
  message: (e) => `${e.alias} of ${e.model} is ${e.version} now: its rollout reached every device`,
  counter: { name: "tributary_rollout_aliases_moved_total", help: "Models made champion by their rollout" },
});

export const aliasFailed = defineEvent<{ model: string; reason: string }>({
  name: "rollout_alias_failed",
  level: "warn",
  message: (e) => `${e.model} could not be made champion, trying again: ${e.reason}`,
  counter: { name: "tributary_rollout_alias_failures_total", help: "Calls of the model registry that failed" },
});
