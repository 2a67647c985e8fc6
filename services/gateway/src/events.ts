import { defineEvent } from "@tributary/telemetry";

export const answerRepeated = defineEvent<{ frameId: string; traceparent: string | null }>({
  name: "answer_repeated",
  level: "debug",
  message: (e) => `${e.frameId} already has its final answer`,
  counter: { name: "tributary_gateway_repeated_answers_total", help: "Later answers of frames that have theirs" },
});

export const clientDropped = defineEvent<{ reason: string }>({
  name: "event_client_dropped",
  level: "info",
  message: (e) => `an event client was dropped: ${e.reason}`,
  counter: {
    name: "tributary_gateway_event_clients_dropped_total",
    help: "Event clients that were dropped",
    labels: ["reason"],
  },
});

export const deviceChanged = defineEvent<{ deviceId: string; status: string }>({
  name: "device_changed",
  level: "info",
  message: (e) => `${e.deviceId} is ${e.status} now`,
  counter: {
    name: "tributary_gateway_device_changes_total",
    help: "Registrations and revocations stored",
    labels: ["status"],
  },
});

export const frameSearched = defineEvent<{ topic: string; records: number; found: boolean; ms: number }>({
  name: "frame_searched",
  level: "debug",
  message: (e) => `${e.topic}: ${e.records} records in ${e.ms.toFixed(0)} ms`,
  histogram: {
    name: "tributary_gateway_search_seconds",
    help: "Seconds of a search for one frame in one topic",
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    labels: ["topic"],
    value: (e) => e.ms / 1_000,
  },
});

export const labelsStored = defineEvent<{ count: number }>({
  name: "labels_stored",
  level: "info",
  message: (e) => `${e.count} labels stored`,
  counter: {
    name: "tributary_gateway_labels_total",
    help: "Labels stored in ground-truth.v1",
    value: (e) => e.count,
  },
});

export const labelRefused = defineEvent<{ code: string; frameId: string }>({
  name: "label_refused",
  level: "info",
  message: (e) => `the label of ${e.frameId} is refused: ${e.code}`,
  counter: {
    name: "tributary_gateway_labels_refused_total",
    help: "Labels refused, by reason",
    labels: ["code"],
  },
});

export const entryForgotten = defineEvent<{ table: string; deviceId: string }>({
  name: "entry_forgotten",
  level: "debug",
  message: (e) => `${e.table} is full: ${e.deviceId}, which has the most in it, lost its oldest entry`,
  counter: {
    name: "tributary_gateway_entries_forgotten_total",
    help: "What a full table that devices share forgot of the device that had the most in it",
    labels: ["table"],
  },
});

export const verdictReviewed = defineEvent<{
  verdictId: string;
  kind: string;
  found: string;
  cause: string;
  by: string;
}>({
  name: "verdict_reviewed",
  level: "info",
  message: (e) => `${e.by} answered verdict ${e.verdictId} (${e.found}): ${e.kind} ${e.cause}`.trimEnd(),
  counter: {
    name: "tributary_gateway_drift_reviews_total",
    help: "Answers of people to verdicts of drift, by kind, by the cause that was found, and by theirs",
    labels: ["kind", "found", "cause"],
  },
});

export const policyPushed = defineEvent<{ policyVersion: string; modelDigest: string; target: string; by: string }>({
  name: "policy_pushed",
  level: "info",
  message: (e) => `${e.by} pushed policy ${e.policyVersion} of model ${e.modelDigest} for target ${e.target}`,
  counter: { name: "tributary_gateway_policies_pushed_total", help: "Routing policies stored for experiments" },
});

export const rolloutEventPassedOver = defineEvent<{ uid: string; version: string; code: string }>({
  name: "rollout_event_passed_over",
  level: "info",
  message: (e) => `event ${e.version} of ${e.uid} does not count: ${e.code}`,
  counter: {
    name: "tributary_gateway_rollout_events_passed_over_total",
    help: "Events of rollouts and experiments that do not count: another instance wrote first, or they are invalid",
    labels: ["code"],
  },
});
