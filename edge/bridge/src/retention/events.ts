import { defineEvent } from "@tributary/telemetry";
import type { Level } from "./unread.ts";

export const messageHeld = defineEvent<{ deviceId: string; topic: string; level: Level }>({
  name: "message_held",
  level: "debug",
  message: (e) => `a record of ${e.deviceId} for ${e.topic} is not acknowledged, its partition is ${e.level}`,
  counter: {
    name: "tributary_bridge_retention_held_total",
    help: "Messages neither stored nor acknowledged, as retention would reach records that no router has read",
    labels: ["topic"],
  },
});

export const levelChanged = defineEvent<{
  topic: string;
  partition: number;
  level: Level;
  unreadBytes: number;
  retentionBytes: number;
}>({
  name: "retention_level_changed",
  level: "warn",
  message: (e) =>
    `${e.topic}/${e.partition} is ${e.level}: routers have not read ${Math.round(e.unreadBytes)} of the ${e.retentionBytes} bytes that Kafka keeps`,
  counter: {
    name: "tributary_bridge_retention_levels_total",
    help: "Times that a partition became open, scarce or closed to devices",
    labels: ["topic", "level"],
  },
});

export const deviceResumes = defineEvent<{ deviceId: string }>({
  name: "device_resumes",
  level: "info",
  message: (e) => `the session of ${e.deviceId} ends, so that it sends again what was not acknowledged`,
  counter: {
    name: "tributary_bridge_retention_resumed_total",
    help: "Sessions ended so that their devices send again what was not acknowledged",
  },
});

export const progressUnknown = defineEvent<{ reason: string }>({
  name: "router_progress_unknown",
  level: "warn",
  message: (e) => `Kafka does not say how far routers are, the last reading counts: ${e.reason}`,
  counter: {
    name: "tributary_bridge_retention_readings_failed_total",
    help: "Readings of the routers' progress that failed",
  },
});
