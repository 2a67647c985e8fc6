/** Events of a bridge behind a foreign broker, for its operators. */
import { defineEvent } from "@tributary/telemetry";

export const brokerOnline = defineEvent<{ url: string; sessionPresent: boolean }>({
  name: "broker_online",
  level: "info",
  message: (e) => `${e.url}: subscribed${e.sessionPresent ? ", with what waited for this bridge" : ""}`,
  counter: { name: "tributary_bridge_broker_connects_total", help: "Connections to the broker that stood" },
});

export const brokerOffline = defineEvent<{ code: string; reason: string; retryMs: number }>({
  name: "broker_offline",
  level: "warn",
  message: (e) => `${e.code}: ${e.reason}; again in ${e.retryMs.toFixed(0)} ms`,
  counter: {
    name: "tributary_bridge_broker_losses_total",
    help: "Connections to the broker that ended",
    labels: ["code"],
  },
});

export const brokerRefused = defineEvent<{ code: string; reason: string }>({
  name: "broker_refused",
  level: "error",
  message: (e) => `this broker cannot be used: ${e.code}: ${e.reason}`,
  counter: { name: "tributary_bridge_broker_refused_total", help: "Brokers that cannot be used", labels: ["code"] },
});

export const rogueRefused = defineEvent<{ attempts: string }>({
  name: "rogue_refused",
  level: "info",
  message: (e) => `the broker refuses what a rogue device tries: ${e.attempts}`,
  counter: { name: "tributary_bridge_rogue_probes_total", help: "Probes that the broker refused as it should" },
});

export const rogueAllowed = defineEvent<{ allowed: string }>({
  name: "rogue_allowed",
  level: "warn",
  message: (e) =>
    `ANY DEVICE MAY ${e.allowed} at this broker; that is borne on loopback only. deploy/mosquitto ships the rules`,
  counter: { name: "tributary_bridge_rogue_allowed_total", help: "Probes in which a rogue could do what it tried" },
});

export const rogueKeptOut = defineEvent<{ reason: string }>({
  name: "rogue_kept_out",
  level: "warn",
  message: (e) =>
    `no mqtt.probe is configured, and the broker admits no client without credentials: its ACL was not tested (${e.reason})`,
});

export const deviceTrustsBroker = defineEvent<{ deviceId: string }>({
  name: "device_trusts_broker",
  level: "warn",
  message: (e) =>
    `${e.deviceId} deletes what the broker acknowledges, not what Kafka has: set mqtt.acks: kafka in its configuration, or its records can be LOST`,
  counter: {
    name: "tributary_bridge_devices_trusting_total",
    help: "Reports of devices that do not wait for down/acks",
  },
});

export const acksDropped = defineEvent<{ deviceId: string; stream: string; cause: string }>({
  name: "acks_dropped",
  level: "debug",
  message: (e) =>
    `the acknowledgement of ${e.stream} to ${e.deviceId} is lost (${e.cause}); it will send the records again`,
  counter: {
    name: "tributary_bridge_acks_dropped_total",
    help: "Acknowledgements that were not published",
    labels: ["cause"],
  },
});

export const downRefused = defineEvent<{ topic: string; reason: string }>({
  name: "down_refused",
  level: "error",
  message: (e) => `the broker does not let this bridge publish on ${e.topic}: ${e.reason}`,
  counter: { name: "tributary_bridge_down_refused_total", help: "Messages to devices that the broker refused" },
});
