/** The outbox's bounds, from the configuration and what the design fixes. */
import type { AgentConfig } from "../config.ts";
import type { OutboxLimits } from "./rows.ts";

/** DESIGN: group commit every 100 ms or 64 frames. */
const COMMIT = { commitMs: 100, commitFrames: 64 };
/** A day of one-minute windows. */
const REPORTS_MAX = 1_440;

export const outboxLimitsOf = (
  config: Pick<AgentConfig, "mqtt" | "outbox" | "limits" | "predictions">,
): OutboxLimits => ({
  ...COMMIT,
  ...config.outbox,
  ...config.predictions,
  frameBytesMax: config.limits.frameBytesMax,
  reportsMax: REPORTS_MAX,
  confirmMs: config.mqtt.acks === "kafka" ? config.mqtt.ackTimeoutMs : null,
});
