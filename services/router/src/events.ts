import { defineEvent } from "@tributary/telemetry";

export const frameSettled = defineEvent<{
  source: string;
  settledBy: string;
  reason: string;
  latencyMs: number;
  traceparent: string | null;
}>({
  name: "frame_settled",
  level: "trace",
  message: (e) => `${e.source} by ${e.settledBy} after ${e.latencyMs.toFixed(0)} ms`,
  counter: {
    name: "tributary_router_answers_total",
    help: "Final answers written",
    labels: ["source", "settledBy", "reason"],
  },
  histogram: {
    name: "tributary_router_settle_seconds",
    help: "Seconds from capture to the final answer",
    buckets: [0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2, 2.5, 5, 10, 60, 600],
    labels: ["source"],
    value: (e) => e.latencyMs / 1_000,
  },
});

export const requestWritten = defineEvent<{ lane: string; reason: string; traceparent: string | null }>({
  name: "cloud_requested",
  level: "trace",
  message: (e) => `${e.reason} on the ${e.lane} lane`,
  counter: { name: "tributary_router_requests_total", help: "Frames sent to the cloud", labels: ["lane", "reason"] },
});

export const cloudReturned = defineEvent<{ outcome: string; latencyMs: number }>({
  name: "cloud_returned",
  level: "trace",
  message: (e) => `${e.outcome} after ${e.latencyMs.toFixed(0)} ms`,
  histogram: {
    name: "tributary_router_cloud_seconds",
    help: "Seconds from a cloud request to its result, as the router sees it",
    buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6],
    labels: ["outcome"],
    value: (e) => e.latencyMs / 1_000,
  },
});

export const cloudLost = defineEvent<{ calls: number }>({
  name: "cloud_calls_lost",
  level: "warn",
  message: (e) => `${e.calls} calls never came back`,
  counter: {
    name: "tributary_router_calls_lost_total",
    help: "Cloud calls that never came back",
    value: (e) => e.calls,
  },
});

export const frameRefused = defineEvent<{ why: string; deviceId: string }>({
  name: "frame_refused",
  level: "debug",
  message: (e) => `a frame of ${e.deviceId} is not sent: ${e.why}`,
  counter: { name: "tributary_router_refusals_total", help: "Sent frames refused by the router", labels: ["why"] },
});

export const shareExceeded = defineEvent<{ why: string; deviceId: string }>({
  name: "share_exceeded",
  level: "debug",
  message: (e) => `${e.deviceId} asks for more than its fair share: ${e.why}`,
  counter: {
    name: "tributary_router_shares_exceeded_total",
    help: "What devices asked for beyond their fair share of budget and sample, and did not get",
    labels: ["why"],
  },
});

export const duplicateIgnored = defineEvent<{ stream: string; deviceId: string }>({
  name: "duplicate_ignored",
  level: "debug",
  message: (e) => `${e.deviceId} ${e.stream}`,
  counter: { name: "tributary_router_duplicates_total", help: "Records seen before", labels: ["stream"] },
});

export const answersKnown = defineEvent<{ deviceId: string; frames: number }>({
  name: "answers_known",
  level: "debug",
  message: (e) => `${e.frames} frames of ${e.deviceId} were answered before`,
  counter: {
    name: "tributary_router_answers_known_total",
    help: "Frames found answered when their prediction came",
    value: (e) => e.frames,
  },
});

export const resultIgnored = defineEvent<{ why: string; deviceId: string }>({
  name: "result_ignored",
  level: "debug",
  message: (e) => `a ${e.why} cloud result of ${e.deviceId}`,
  counter: {
    name: "tributary_router_results_ignored_total",
    help: "Cloud results that settled nothing",
    labels: ["why"],
  },
});

export const frameLeft = defineEvent<{ deviceId: string }>({
  name: "frame_left_to_prediction",
  level: "debug",
  message: (e) => `a frame of ${e.deviceId} came long after its deadline`,
  counter: { name: "tributary_router_frames_left_total", help: "Frames so late that their prediction answers them" },
});

export const memoryBounded = defineEvent<{ what: string; deviceId: string }>({
  name: "memory_bounded",
  level: "warn",
  message: (e) => `${e.deviceId} exceeds its bounds: one ${e.what} forgotten`,
  counter: { name: "tributary_router_evictions_total", help: "What bounds made the router forget", labels: ["what"] },
});

export const holesGivenUp = defineEvent<{ stream: string; deviceId: string; records: number }>({
  name: "holes_given_up",
  level: "warn",
  message: (e) => `${e.records} ${e.stream} records of ${e.deviceId} never came`,
  counter: {
    name: "tributary_router_holes_total",
    help: "Sequence numbers that never came",
    labels: ["stream"],
    value: (e) => e.records,
  },
});

export const partitionRebuilt = defineEvent<{ partition: number; devices: number; answers: number; ms: number }>({
  name: "partition_rebuilt",
  level: "debug",
  message: (e) =>
    `partition ${e.partition}: ${e.devices} devices, ${e.answers} answers replayed in ${e.ms.toFixed(0)} ms`,
  histogram: {
    name: "tributary_router_rebuild_seconds",
    help: "Seconds to rebuild a partition's state",
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    value: (e) => e.ms / 1_000,
  },
});

export const partitionForgotten = defineEvent<{ partition: number; code: string; reason: string }>({
  name: "partition_forgotten",
  level: "warn",
  message: (e) => `partition ${e.partition} is rebuilt: ${e.reason}`,
  counter: {
    name: "tributary_router_partitions_forgotten_total",
    help: "Partitions whose memory was thrown away",
    labels: ["code"],
  },
});

export const policyPublished = defineEvent<{ modelDigest: string; policyVersion: string; target: string }>({
  name: "policy_published",
  level: "info",
  message: (e) =>
    `first policy ${e.policyVersion.slice(0, 12)} for model ${e.modelDigest.slice(0, 12)} and ${e.target}`,
  counter: { name: "tributary_router_policies_published_total", help: "First policies published" },
});
