/** The outbox's bounds, from the configuration and what the design fixes. */
import type { AgentConfig } from "../config.ts";
import type { OutboxLimits } from "./rows.ts";

/** DESIGN: group commit every 100 ms or 64 frames. */
const COMMIT = { commitMs: 100, commitFrames: 64 };
/** A day of one-minute windows of a camera. */
const REPORTS_PER_CAMERA_MAX = 1_440;
/** Of more cameras, fewer hours are kept: a day of one is 7 MB. */
const REPORTED_CAMERAS_MAX = 8;

export const outboxLimitsOf = (
  config: Pick<AgentConfig, "mqtt" | "outbox" | "limits" | "predictions" | "cameras">,
): OutboxLimits => ({
  ...COMMIT,
  ...config.outbox,
  ...config.predictions,
  frameBytesMax: config.limits.frameBytesMax,
  reportsMax: REPORTS_PER_CAMERA_MAX * Math.min(REPORTED_CAMERAS_MAX, Math.max(1, config.cameras.length)),
  confirmMs: config.mqtt.acks === "kafka" ? config.mqtt.ackTimeoutMs : null,
});
