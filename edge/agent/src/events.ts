/** The agent's events: one typed event gives the log line and the metrics. */
import { defineEvent } from "@tributary/telemetry";

const LATENCY_BUCKETS_SECONDS = [
  0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5, 1, 5,
];

export const frameAnswered = defineEvent<{
  cameraId: string;
  reason: string;
  escalation: string;
  dropReason: string;
  latencyMs: number;
}>({
  name: "frame_answered",
  level: "trace",
  message: (e) => `${e.cameraId}: ${e.reason} ${e.escalation} in ${e.latencyMs.toFixed(1)} ms`,
  counter: {
    name: "tributary_agent_frames_total",
    help: "Frames answered on the device, by what was decided",
    labels: ["cameraId", "reason", "escalation", "dropReason"],
  },
  histogram: {
    name: "tributary_agent_answer_latency_seconds",
    help: "From capture to the local answer",
    buckets: LATENCY_BUCKETS_SECONDS,
    value: (e) => e.latencyMs / 1_000,
  },
});

export const frameUnreadable = defineEvent<{ cameraId: string; code: string; reason: string }>({
  name: "frame_unreadable",
  level: "warn",
  message: (e) => `${e.cameraId}: a frame was not classified: ${e.reason}`,
  counter: {
    name: "tributary_agent_frames_unreadable_total",
    help: "Frames that no model could read; they have no number and no answer",
    labels: ["cameraId", "code"],
  },
});

export const frameUnrecorded = defineEvent<{ cameraId: string }>({
  name: "frame_unrecorded",
  level: "error",
  message: (e) => `${e.cameraId}: the outbox takes nothing more; a frame was answered here only`,
  counter: {
    name: "tributary_agent_frames_unrecorded_total",
    help: "Frames answered on the device that the outbox had no room for; they have no number",
    labels: ["cameraId"],
  },
});

export const frameSkipped = defineEvent<{ cameraId: string }>({
  name: "frame_skipped",
  level: "debug",
  message: (e) => `${e.cameraId}: a newer frame took the place of one that waited`,
  counter: {
    name: "tributary_agent_frames_skipped_total",
    help: "Frames that a newer one replaced before the model was free; they have no number",
    labels: ["cameraId"],
  },
});

export const cameraRefused = defineEvent<{ cameraId: string; code: string; count: number }>({
  name: "camera_refused",
  level: "warn",
  message: (e) => `${e.cameraId}: ${e.code} (${e.count})`,
  counter: {
    name: "tributary_agent_camera_refused_total",
    help: "What a camera wrote that is no usable frame: bytes of garbage, frames broken or too large",
    labels: ["cameraId", "code"],
    value: (e) => e.count,
  },
});

export const cameraStarted = defineEvent<{ cameraId: string }>({
  name: "camera_started",
  level: "info",
  message: (e) => `${e.cameraId}: started`,
});

export const cameraEnded = defineEvent<{ cameraId: string; how: string; failed: boolean; retryMs: number | null }>({
  name: "camera_ended",
  level: "warn",
  message: (e) =>
    `${e.cameraId}: ${e.how}; ${e.retryMs === null ? "that was all" : `again in ${Math.round(e.retryMs)} ms`}`,
  counter: {
    name: "tributary_agent_camera_ends_total",
    help: "Times a camera ended",
    labels: ["cameraId", "failed"],
  },
});

export const modelLoaded = defineEvent<{ modelDigest: string; name: string; version: string; pid: number }>({
  name: "model_loaded",
  level: "info",
  message: (e) => `${e.name} ${e.version} (${e.modelDigest.slice(0, 12)}) runs in process ${e.pid}`,
});

export const modelLost = defineEvent<{ code: string; reason: string; retryMs: number }>({
  name: "model_lost",
  level: "error",
  message: (e) => `${e.reason}; loading again in ${Math.round(e.retryMs)} ms`,
  counter: { name: "tributary_agent_model_losses_total", help: "Times the model's process was lost", labels: ["code"] },
});

type GoldenEvent = { because: string; modelDigest: string; frames: number; failed: number; reason: string | null };

export const goldenReproduced = defineEvent<GoldenEvent>({
  name: "golden_reproduced",
  level: "info",
  message: (e) => `model ${e.modelDigest.slice(0, 12)} reproduces its ${e.frames} golden frames`,
  counter: {
    name: "tributary_agent_golden_reproduced_total",
    help: "Checks in which every golden frame was reproduced, by what caused them",
    labels: ["because"],
  },
});

export const goldenFailed = defineEvent<GoldenEvent>({
  name: "golden_failed",
  level: "error",
  message: (e) =>
    `model ${e.modelDigest.slice(0, 12)} does not reproduce ${e.failed} of its ${e.frames} golden frames: ${e.reason}`,
  counter: {
    name: "tributary_agent_golden_failed_total",
    help: "Checks in which golden frames were not reproduced, by what caused them",
    labels: ["because"],
  },
});

export const goldenUntried = defineEvent<{ code: string; reason: string }>({
  name: "golden_untried",
  level: "warn",
  message: (e) => `golden frames could not be checked: ${e.reason}`,
  counter: {
    name: "tributary_agent_golden_untried_total",
    help: "Checks of golden frames that could not be finished",
    labels: ["code"],
  },
});

export const updateMoved = defineEvent<{
  generation: bigint;
  modelDigest: string;
  phase: string;
  code: string;
  reason: string;
}>({
  name: "update_moved",
  level: "info",
  message: (e) =>
    `generation ${e.generation}, model ${e.modelDigest.slice(0, 12)}: ${e.phase}${e.code === "" ? "" : `, ${e.code}: ${e.reason}`}`,
  counter: {
    name: "tributary_agent_updates_total",
    help: "Phases that updates of the model went through, and why they waited or ended",
    labels: ["phase", "code"],
  },
});

export const frameShadowed = defineEvent<{ modelDigest: string; agrees: boolean; latencyMs: number }>({
  name: "frame_shadowed",
  level: "trace",
  message: (e) => `beside the active model: ${e.agrees ? "the same" : "another"} label in ${e.latencyMs.toFixed(1)} ms`,
  counter: {
    name: "tributary_agent_frames_shadowed_total",
    help: "Frames that a model was tried on beside the active one, by whether both agree",
    labels: ["agrees"],
  },
});

export const slotUnusable = defineEvent<{ modelDigest: string; code: string; reason: string }>({
  name: "slot_unusable",
  level: "error",
  message: (e) => `model ${e.modelDigest.slice(0, 12)} is passed over: ${e.reason}`,
  counter: {
    name: "tributary_agent_slots_unusable_total",
    help: "Committed models that could not be used at start",
    labels: ["code"],
  },
});

export const slotsSetAside = defineEvent<{ file: string; reason: string }>({
  name: "slots_set_aside",
  level: "error",
  message: (e) => `the list of slots is damaged (${e.reason}) and is kept as ${e.file}; the configured package runs`,
  counter: { name: "tributary_agent_slots_set_aside_total", help: "Damaged lists of slots that were set aside" },
});

export const policyApplied = defineEvent<{ policyVersion: string; from: string }>({
  name: "policy_applied",
  level: "info",
  message: (e) => `routing policy ${e.policyVersion.slice(0, 12)} from ${e.from}`,
  counter: { name: "tributary_agent_policies_total", help: "Routing policies applied", labels: ["from"] },
});

export const recordsConfirmed = defineEvent<{ stream: string; ranges: number }>({
  name: "records_confirmed",
  level: "trace",
  message: (e) => `${e.stream}: Kafka has ${e.ranges} ranges`,
  counter: { name: "tributary_agent_acks_total", help: "Messages that reported what Kafka has", labels: ["stream"] },
});

export const downlinkRefused = defineEvent<{ channel: string; code: string; reason: string }>({
  name: "downlink_refused",
  level: "warn",
  message: (e) => `${e.channel}: ${e.reason}`,
  counter: {
    name: "tributary_agent_downlink_refused_total",
    help: "Downlink messages that were not used",
    labels: ["channel", "code"],
  },
});

export const linkOnline = defineEvent<{ connections: number }>({
  name: "link_online",
  level: "info",
  message: (e) => `connected (${e.connections})`,
  counter: { name: "tributary_agent_connections_total", help: "MQTT connections made" },
});

export const linkOffline = defineEvent<{ reason: string; refused: boolean; retryMs: number }>({
  name: "link_offline",
  level: "warn",
  message: (e) => `${e.refused ? "refused" : "not connected"}: ${e.reason}; again in ${Math.round(e.retryMs)} ms`,
  counter: {
    name: "tributary_agent_connection_failures_total",
    help: "MQTT connections that ended or were not made",
    labels: ["refused"],
  },
});

export const recordSettled = defineEvent<{ stream: string; acked: boolean; bytes: number; ms: number }>({
  name: "record_settled",
  level: "trace",
  message: (e) => `${e.stream}: ${e.acked ? "acknowledged" : "to be resent"}`,
  counter: [
    {
      name: "tributary_agent_records_total",
      help: "Uplink records by whether the broker acknowledged them on this connection",
      labels: ["stream", "acked"],
    },
    {
      name: "tributary_agent_sent_bytes_total",
      help: "Bytes of acknowledged uplink records",
      labels: ["stream"],
      value: (e) => (e.acked ? e.bytes : 0),
    },
  ],
  histogram: {
    name: "tributary_agent_ack_seconds",
    help: "From publishing a record to the broker's acknowledgement, or to the connection's end",
    buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60],
    labels: ["stream"],
    value: (e) => e.ms / 1_000,
  },
});

export const outboxCommitted = defineEvent<{ commitMs: number }>({
  name: "outbox_committed",
  level: "trace",
  message: (e) => `group commit in ${e.commitMs.toFixed(1)} ms`,
  histogram: {
    name: "tributary_agent_commit_seconds",
    help: "Duration of the outbox's group commits",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
    value: (e) => e.commitMs / 1_000,
  },
});

export const outboxDropped = defineEvent<{ dropReason: string; reason: string; count: number }>({
  name: "outbox_dropped",
  level: "info",
  message: (e) => `${e.count} ${e.reason} frames are not sent: ${e.dropReason}`,
  counter: {
    name: "tributary_agent_frames_dropped_total",
    help: "Frames that were to be sent and are not; the edge answer stands",
    labels: ["dropReason", "reason"],
    value: (e) => e.count,
  },
});

export const outboxFailed = defineEvent<{ reason: string; fatal: boolean }>({
  name: "outbox_failed",
  level: "error",
  message: (e) => `outbox: ${e.reason}`,
  counter: { name: "tributary_agent_outbox_failures_total", help: "Group commits that failed", labels: ["fatal"] },
});

export const outboxOpened = defineEvent<{ bootId: string; frames: number; predictions: number }>({
  name: "outbox_opened",
  level: "info",
  message: (e) => `boot ${e.bootId}; ${e.frames} frames and ${e.predictions} predictions wait from earlier ones`,
});

export const outboxUnopened = defineEvent<{ reason: string; retryMs: number }>({
  name: "outbox_unopened",
  level: "error",
  message: (e) => `no outbox, answers are local only: ${e.reason}; again in ${Math.round(e.retryMs)} ms`,
  counter: { name: "tributary_agent_outbox_unopened_total", help: "Times the outbox could not be opened" },
});

export const outboxSetAside = defineEvent<{ file: string; reason: string }>({
  name: "outbox_set_aside",
  level: "error",
  message: (e) =>
    `the outbox's file is damaged (${e.reason}) and is kept as ${e.file}; its pending records are not sent`,
  counter: { name: "tributary_agent_outbox_set_aside_total", help: "Damaged outbox files that were set aside" },
});

export const finalAnswerReceived = defineEvent<{ source: string; settledBy: string }>({
  name: "final_answer_received",
  level: "trace",
  message: (e) => `final answer by ${e.source}: ${e.settledBy}`,
  counter: {
    name: "tributary_agent_final_answers_total",
    help: "Final answers of sent frames that came back",
    labels: ["source", "settledBy"],
  },
});

export const readerRefused = defineEvent<{ code: string }>({
  name: "reader_refused",
  level: "warn",
  message: (e) => `a reader of /v1/answers was closed: ${e.code}`,
  counter: {
    name: "tributary_agent_readers_refused_total",
    help: "Readers of answers that were too many or too slow",
    labels: ["code"],
  },
});

export const liteNotRaised = defineEvent<{ reason: string }>({
  name: "lite_not_raised",
  level: "warn",
  message: (e) => `LITE's process waits its turn like any other: ${e.reason}`,
});

export const coresSeparated = defineEvent<{ frames: string; background: string; isRealTime: boolean }>({
  name: "cores_separated",
  level: "info",
  message: (e) =>
    `frames are processed on cores ${e.frames}, ${e.isRealTime ? "in the real-time class" : "as ordinary threads"}; disk and compilers are on core ${e.background}`,
});

export const liteMeasured = defineEvent<{
  name: string;
  version: string;
  deadlineMs: number;
  medianMs: number;
  worstMs: number;
  longestMs: number;
  memoryMiB: number;
  pictureBytes: number;
}>({
  name: "lite_measured",
  level: "info",
  message: (e) =>
    `LITE is ${e.name} ${e.version}: ${e.worstMs.toFixed(1)} ms at worst, ${e.medianMs.toFixed(1)} ms in the median, ${e.longestMs.toFixed(1)} ms the longest, of a deadline of ${e.deadlineMs} ms; ${e.memoryMiB} MiB of memory`,
});

export const liteTakenOver = defineEvent<{ reason: string; pid: number }>({
  name: "lite_taken_over",
  level: "warn",
  message: (e) => `the process of LITE ${e.reason}; its spare answers, process ${e.pid}`,
  counter: {
    name: "tributary_agent_lite_takeovers_total",
    help: "Times the spare process of LITE took over from one that ended or hangs",
    labels: ["reason"],
  },
});

export const levelChanged = defineEvent<{ from: string; to: string; reason: string }>({
  name: "level_changed",
  level: "warn",
  message: (e) =>
    `${e.from} to ${e.to}: ${e.reason}${e.to === "SAFE" ? "; a minimal-risk manoeuvre is requested" : ""}`,
  counter: {
    name: "tributary_agent_level_changes_total",
    help: "Changes of the level at which frames with a deadline are answered",
    labels: ["to", "reason"],
  },
});

export const frameMissed = defineEvent<{ cameraId: string; cause: string }>({
  name: "frame_missed",
  level: "debug",
  message: (e) => `${e.cameraId}: no answer of a model in time: ${e.cause}`,
  counter: {
    name: "tributary_agent_frames_missed_total",
    help: "Frames with a deadline that no model answered in time",
    labels: ["cameraId", "cause"],
  },
});

export const stampRefused = defineEvent<{ cameraId: string; code: string }>({
  name: "stamp_refused",
  level: "debug",
  message: (e) => `${e.cameraId}: ${e.code}; the frame is dated by its arrival`,
  counter: {
    name: "tributary_agent_stamps_refused_total",
    help: "Timestamps of cameras that were not used, so that a frame was dated by its arrival",
    labels: ["cameraId", "code"],
  },
});

type LoadEvent = {
  p99Ms: number;
  longestMs: number;
  lateMsMax: number;
  cpuPressure: number | null;
  runQueueShare: number | null;
};

const percent = (share: number | null) => (share === null ? "unknown" : `${(100 * share).toFixed(1)} %`);
const loadText = (e: LoadEvent) =>
  `this process was late by ${e.longestMs.toFixed(1)} ms at most, ${e.p99Ms.toFixed(1)} ms at the 99th percentile, of ${e.lateMsMax.toFixed(1)} ms allowed; waiting for a processor: tasks of this machine ${percent(e.cpuPressure)}, this thread ${percent(e.runQueueShare)} of the time`;

export const loadExceeded = defineEvent<LoadEvent>({
  name: "load_exceeded",
  level: "warn",
  message: (e) => `the machine's load is above that of the safety case, SAFE may be signalled late: ${loadText(e)}`,
  counter: {
    name: "tributary_agent_load_exceeded_total",
    help: "Times the machine's load came above that up to which SAFE is signalled within the deadline",
  },
});

export const loadWithin = defineEvent<LoadEvent>({
  name: "load_within",
  level: "info",
  message: (e) => `the machine's load is that of the safety case again: ${loadText(e)}`,
});

export const cameraJudged = defineEvent<{ cameraId: string; verdict: string | null }>({
  name: "camera_judged",
  level: "warn",
  message: (e) =>
    e.verdict === null
      ? `${e.cameraId}: its pictures are plausible again`
      : `${e.cameraId}: its pictures cannot be of now: ${e.verdict}`,
  counter: {
    name: "tributary_agent_cameras_implausible_total",
    help: "Times the pictures of a camera became implausible: frozen, noise, dark, saturated or covered",
    labels: ["cameraId", "verdict"],
    value: (e) => (e.verdict === null ? 0 : 1),
  },
});

export const sensorRefused = defineEvent<{ sensor: string; reason: string }>({
  name: "sensor_refused",
  level: "warn",
  message: (e) => `${e.sensor}: ${e.reason}; it changes no level`,
  counter: {
    name: "tributary_agent_sensors_refused_total",
    help: "Times a sensor of the hardware could not be read any more",
    labels: ["sensor"],
  },
});

export const hookFailed = defineEvent<{ reason: string }>({
  name: "hook_failed",
  level: "error",
  message: (e) => `driving.hook: ${e.reason}`,
  counter: { name: "tributary_agent_hook_failures_total", help: "Times the program for level changes failed" },
});

export const contextChanged = defineEvent<{ code: string; reason: string }>({
  name: "context_changed",
  level: "warn",
  message: (e) => (e.code === "" ? "the context is known again" : `${e.code}: ${e.reason}; perception goes on without`),
  counter: {
    name: "tributary_agent_context_losses_total",
    help: "Times the context of the world model was lost, or could not be used by it",
    labels: ["code"],
    value: (e) => (e.code === "" ? 0 : 1),
  },
});

export const worldTruth = defineEvent<{ gainNats: number }>({
  name: "world_truth",
  level: "debug",
  message: (e) => `the world model made an answer of the cloud more likely, by ${e.gainNats.toFixed(3)} nats`,
});
