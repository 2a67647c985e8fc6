import { defineEvent } from "@tributary/telemetry";

export const requestSettled = defineEvent<{
  target: string;
  lane: string;
  outcome: string;
  code: string;
  latencyMs: number;
  costMicros: number;
  traceparent: string | null;
}>({
  name: "cloud_request_settled",
  level: "debug",
  message: (e) => `${e.target}, ${e.lane}: ${e.outcome} ${e.code} in ${e.latencyMs.toFixed(1)} ms`,
  counter: [
    {
      name: "tributary_classifier_requests_total",
      help: "Requests by outcome",
      labels: ["target", "lane", "outcome", "code"],
    },
    {
      name: "tributary_classifier_cost_total",
      help: "Cost of the calls, in the currency of their configuration",
      labels: ["target"],
      value: (e) => e.costMicros / 1e6,
    },
  ],
  histogram: {
    name: "tributary_classifier_latency_seconds",
    help: "Seconds from taking a request to its outcome",
    buckets: [0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2, 5],
    labels: ["target", "lane"],
    value: (e) => e.latencyMs / 1_000,
  },
});

export const requestUnsettled = defineEvent<{
  target: string;
  outcome: string;
  code: string;
  frameId: string;
  traceparent: string | null;
}>({
  name: "cloud_request_unanswered",
  level: "warn",
  message: (e) => `${e.frameId} on ${e.target}: ${e.outcome}, ${e.code}`,
});

export const shadowSettled = defineEvent<{
  target: string;
  outcome: string;
  code: string;
  latencyMs: number;
  costMicros: number;
}>({
  name: "cloud_shadow_settled",
  level: "debug",
  message: (e) => `${e.target}: ${e.outcome} ${e.code} in ${e.latencyMs.toFixed(1)} ms`,
  counter: [
    {
      name: "tributary_classifier_shadow_requests_total",
      help: "Requests to shadow targets by outcome; UNKNOWN: the result could not be written",
      labels: ["target", "outcome", "code"],
    },
    {
      name: "tributary_classifier_shadow_cost_total",
      help: "Cost of the calls of shadow targets, in the currency of their configuration",
      labels: ["target"],
      value: (e) => e.costMicros / 1e6,
    },
  ],
});

export const fallbackTaken = defineEvent<{ from: string; to: string; code: string }>({
  name: "cloud_fallback_taken",
  level: "debug",
  message: (e) => `${e.from} failed with ${e.code}: ${e.to} is asked`,
  counter: {
    name: "tributary_classifier_fallbacks_total",
    help: "Frames handed over to the next target of their route",
    labels: ["from", "to", "code"],
  },
});

export const callMade = defineEvent<{ target: string; frames: number; ms: number; code: string; hedge: boolean }>({
  name: "cloud_call_made",
  level: "trace",
  message: (e) => `${e.target}: ${e.frames} frames in ${e.ms.toFixed(1)} ms ${e.code}`,
  counter: {
    name: "tributary_classifier_calls_total",
    help: "Calls of a backend; code: why none of the frames got through",
    labels: ["target", "code", "hedge"],
  },
  histogram: [
    {
      name: "tributary_classifier_call_frames",
      help: "Frames in a call of the backend",
      buckets: [1, 2, 4, 8, 16, 32, 64, 128],
      labels: ["target"],
      value: (e) => e.frames,
    },
    {
      name: "tributary_classifier_call_seconds",
      help: "Seconds of a call of the backend",
      buckets: [0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5],
      labels: ["target"],
      value: (e) => e.ms / 1_000,
    },
  ],
});

export const retryDecided = defineEvent<{ target: string; decision: string; code: string }>({
  name: "cloud_retry_decided",
  level: "debug",
  message: (e) => `${e.target} failed with ${e.code}: retry ${e.decision}`,
  counter: {
    name: "tributary_classifier_retries_total",
    help: "Calls that failed and might be repeated, by whether they were (made) or why not",
    labels: ["target", "decision", "code"],
  },
});

export const circuitChanged = defineEvent<{ target: string; state: string }>({
  name: "cloud_circuit_changed",
  level: "warn",
  message: (e) => `the circuit of ${e.target} is ${e.state}`,
  counter: {
    name: "tributary_classifier_circuit_changes_total",
    help: "Changes of a target's circuit breaker",
    labels: ["target", "state"],
  },
});

export const costsConfigured = defineEvent<{
  targets: readonly { name: string; backend: string; costMicrosPerCall: number }[];
}>({
  name: "costs",
  level: "info",
  message: ({ targets }) =>
    `costs: ${targets.map((t) => `${t.name} (${t.backend}) ${(t.costMicrosPerCall / 1e6).toFixed(6)} a call`).join(", ")}`,
});

export const modelLoaded = defineEvent<{ target: string; digest: string; pid: number; attempt: number }>({
  name: "model_loaded",
  level: "info",
  message: (e) => `${e.target}: ${e.digest.slice(0, 12)} in process ${e.pid}, attempt ${e.attempt}`,
  counter: { name: "tributary_classifier_model_loads_total", help: "Models loaded", labels: ["target"] },
});

export const modelLost = defineEvent<{ target: string; digest: string; exitCode: string }>({
  name: "model_lost",
  level: "error",
  message: (e) => `${e.target}: the process of ${e.digest.slice(0, 12)} ended with ${e.exitCode}`,
  counter: { name: "tributary_classifier_models_lost_total", help: "Model processes that died", labels: ["target"] },
});

export const modelLoadFailed = defineEvent<{ target: string; reason: string }>({
  name: "model_load_failed",
  level: "error",
  message: (e) => `${e.target}: ${e.reason}`,
  counter: {
    name: "tributary_classifier_model_load_failures_total",
    help: "Reloads that failed",
    labels: ["target"],
  },
});

export const modelCloseFailed = defineEvent<{ target: string; code: string; reason: string }>({
  name: "model_close_failed",
  level: "warn",
  message: (e) => `${e.target}: a replaced model could not be closed: ${e.reason}`,
});

export const serverSeen = defineEvent<{ target: string; state: "ready" | "away" | "mismatch"; reason: string }>({
  name: "model_server_seen",
  level: "warn",
  message: (e) => `${e.target}: its server is ${e.state}${e.reason === "" ? "" : `: ${e.reason}`}`,
  counter: {
    name: "tributary_classifier_server_changes_total",
    help: "Changes of the observed state of a target's model server",
    labels: ["target", "state"],
  },
});
