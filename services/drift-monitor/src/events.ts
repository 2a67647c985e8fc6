import { defineEvent } from "@tributary/telemetry";

export const windowFolded = defineEvent<{ deviceId: string; outcome: "folded" | "repeated" }>({
  name: "window_folded",
  level: "trace",
  message: (e) => `a window of ${e.deviceId} is ${e.outcome}`,
  counter: {
    name: "tributary_drift_windows_total",
    help: "Sketches of windows that were folded, or that were delivered again",
    labels: ["outcome"],
  },
});

export const windowRefused = defineEvent<{ deviceId: string; outcome: string; modelDigest: string }>({
  name: "window_refused",
  level: "warn",
  message: (e) => `a window of ${e.deviceId} is not folded: ${e.outcome} (model ${e.modelDigest.slice(0, 12)})`,
  counter: {
    name: "tributary_drift_windows_refused_total",
    help: "Sketches of windows that were not folded, by why",
    labels: ["outcome"],
  },
});

export const drawsTaken = defineEvent<{ deviceId: string; draws: number }>({
  name: "draws_taken",
  level: "trace",
  message: (e) => `${e.draws} frames of ${e.deviceId} were drawn by the random sample`,
  counter: {
    name: "tributary_drift_draws_total",
    help: "Frames of the random sample that wait for a label",
    value: (e) => e.draws,
  },
});

export const labelTaken = defineEvent<{ deviceId: string; outcome: string }>({
  name: "label_taken",
  level: "debug",
  message: (e) => `a label of ${e.deviceId}: ${e.outcome}`,
  counter: {
    name: "tributary_drift_labels_total",
    help: "Labels, by what became of them",
    labels: ["outcome"],
  },
});

export const statesWritten = defineEvent<{ partition: number; states: number; bytes: number }>({
  name: "drift_states_written",
  level: "trace",
  message: (e) => `partition ${e.partition}: ${e.states} states`,
  counter: [
    { name: "tributary_drift_states_written_total", help: "States of devices written", value: (e) => e.states },
    { name: "tributary_drift_state_bytes_total", help: "Their bytes", value: (e) => e.bytes },
  ],
});

export const partitionRebuilt = defineEvent<{ partition: number; devices: number; ms: number }>({
  name: "partition_rebuilt",
  level: "debug",
  message: (e) => `partition ${e.partition}: ${e.devices} devices in ${e.ms.toFixed(0)} ms`,
  histogram: {
    name: "tributary_drift_rebuild_seconds",
    help: "Seconds to rebuild a partition's devices",
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    value: (e) => e.ms / 1_000,
  },
});

export const partitionForgotten = defineEvent<{ partition: number; code: string; reason: string }>({
  name: "partition_forgotten",
  level: "warn",
  message: (e) => `partition ${e.partition} is rebuilt: ${e.reason}`,
  counter: {
    name: "tributary_drift_partitions_forgotten_total",
    help: "Partitions whose memory was thrown away",
    labels: ["code"],
  },
});

export const packageLoaded = defineEvent<{ modelDigest: string; model: string }>({
  name: "package_loaded",
  level: "info",
  message: (e) => `${e.model} (${e.modelDigest.slice(0, 12)}): its documents are known`,
});

export const packageMissing = defineEvent<{ modelDigest: string; code: string; reason: string }>({
  name: "package_missing",
  level: "warn",
  message: (e) => `package ${e.modelDigest.slice(0, 12)} is not known, trying again: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_drift_package_failures_total",
    help: "Attempts to get the documents of a package that failed",
    labels: ["code"],
  },
});

export const referenceUnresolved = defineEvent<{ reference: string; code: string; reason: string }>({
  name: "reference_unresolved",
  level: "warn",
  message: (e) => `packages: ${e.reference} names no package (${e.code}): ${e.reason}`,
  counter: {
    name: "tributary_drift_references_unresolved_total",
    help: "Times that a configured NAME@ALIAS was found to name no package",
    labels: ["code"],
  },
});

export const goldenReported = defineEvent<{ deviceId: string; outcome: string }>({
  name: "golden_reported",
  level: "debug",
  message: (e) => `golden frames of ${e.deviceId}: ${e.outcome}`,
  counter: {
    name: "tributary_drift_golden_reports_total",
    help: "Reports of devices, by what their golden frames showed",
    labels: ["outcome"],
  },
});

export const verdictsTakenOver = defineEvent<{ devices: number; verdicts: number; ms: number }>({
  name: "verdicts_taken_over",
  level: "info",
  message: (e) =>
    `this instance decides verdicts: ${e.devices} devices, ${e.verdicts} verdicts read in ${e.ms.toFixed(0)} ms`,
});

export const verdictsGivenUp = defineEvent<{ code: string; reason: string }>({
  name: "verdicts_given_up",
  level: "warn",
  message: (e) => `what verdicts are made of is read again: ${e.reason}`,
});

export const looked = defineEvent<{ changed: number; ms: number }>({
  name: "drift_looked",
  level: "debug",
  message: (e) => `${e.changed} verdicts changed`,
  histogram: {
    name: "tributary_drift_look_seconds",
    help: "Seconds of one look at the fleet, its writing apart",
    buckets: [0.001, 0.005, 0.02, 0.05, 0.15, 0.5, 2, 10],
    value: (e) => e.ms / 1_000,
  },
});

export const lookFailed = defineEvent<{ code: string; reason: string }>({
  name: "drift_look_failed",
  level: "warn",
  message: (e) => `verdicts could not be decided or written, trying again: ${e.code}: ${e.reason}`,
  counter: { name: "tributary_drift_looks_failed_total", help: "Looks at the fleet that failed", labels: ["code"] },
});

export const verdictChanged = defineEvent<{
  verdictId: string;
  version: string;
  state: string;
  cause: string;
  summary: string;
}>({
  name: "drift_verdict_changed",
  level: "info",
  message: (e) => `verdict ${e.verdictId} v${e.version} is ${e.state}: ${e.summary}`,
  counter: {
    name: "tributary_drift_verdict_changes_total",
    help: "Records of verdicts written",
    labels: ["state", "cause"],
  },
});
