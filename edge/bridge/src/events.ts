/** The bridge's events for its operators: each event is a log line and its metrics. */
import { defineEvent } from "@tributary/telemetry";

export const connected = defineEvent<{ deviceId: string; remote: string }>({
  name: "device_connected",
  level: "info",
  message: (e) => `${e.deviceId} connected from ${e.remote}`,
  counter: { name: "tributary_bridge_connects_total", help: "Sessions that started" },
});

export const takenOver = defineEvent<{ deviceId: string; remote: string; previous: string }>({
  name: "session_taken_over",
  level: "warn",
  message: (e) => `${e.deviceId} connected from ${e.remote} while its session from ${e.previous} was alive, which ends`,
  counter: { name: "tributary_bridge_takeovers_total", help: "Sessions ended by another connection of their device" },
});

export const disconnected = defineEvent<{ deviceId: string; cause: string }>({
  name: "device_disconnected",
  level: "info",
  message: (e) => `${e.deviceId} disconnected: ${e.cause}`,
  counter: { name: "tributary_bridge_disconnects_total", help: "Sessions that ended" },
});

export const connectRefused = defineEvent<{ code: string; clientId: string; remote: string }>({
  name: "connect_refused",
  level: "warn",
  message: (e) => `a connection of ${e.clientId} from ${e.remote} is refused: ${e.code}`,
  counter: { name: "tributary_bridge_connects_refused_total", help: "Connections refused", labels: ["code"] },
});

export const connectionCut = defineEvent<{ code: string; deviceId: string; bytes: number; remote: string }>({
  name: "connection_cut",
  level: "warn",
  message: (e) => `the connection of ${e.deviceId} from ${e.remote} is cut: ${e.code} (${e.bytes} bytes)`,
  counter: { name: "tributary_bridge_connections_cut_total", help: "Connections the bridge ended", labels: ["code"] },
});

export const subscribeRefused = defineEvent<{ deviceId: string; filter: string }>({
  name: "subscribe_refused",
  level: "warn",
  message: (e) => `${e.deviceId} may not subscribe to ${e.filter}`,
  counter: { name: "tributary_bridge_subscribes_refused_total", help: "Subscriptions refused" },
});

export const uplinkRefused = defineEvent<{
  code: string;
  stream: string;
  deviceId: string;
  topic: string;
  bytes: number;
  reason: string;
}>({
  name: "uplink_refused",
  level: "warn",
  message: (e) => `a message of ${e.deviceId} on ${e.topic} goes to the dead letters: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_bridge_refused_total",
    help: "Messages of authenticated devices that cannot be used, by reason",
    labels: ["code", "stream"],
  },
});

export const uplinkStored = defineEvent<{
  stream: string;
  deviceId: string;
  bytes: number;
  ms: number;
  traceparent: string | undefined;
}>({
  name: "uplink_stored",
  level: "trace",
  message: (e) => `${e.stream} of ${e.deviceId}: ${e.bytes} bytes in ${e.ms.toFixed(1)} ms`,
  counter: [
    { name: "tributary_bridge_stored_total", help: "Records stored in Kafka", labels: ["stream"] },
    {
      name: "tributary_bridge_stored_bytes_total",
      help: "Payload bytes stored in Kafka",
      labels: ["stream"],
      value: (e) => e.bytes,
    },
  ],
  histogram: {
    name: "tributary_bridge_store_seconds",
    help: "Seconds from a message's receipt to Kafka's acknowledgement",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 20, 60],
    value: (e) => e.ms / 1_000,
  },
});

export const routedStored = defineEvent<{ topic: string; deviceId: string; bytes: number; ms: number }>({
  name: "routed_stored",
  level: "trace",
  message: (e) => `a message of ${e.deviceId} for ${e.topic}: ${e.bytes} bytes in ${e.ms.toFixed(1)} ms`,
  counter: {
    name: "tributary_bridge_routed_total",
    help: "Messages stored by a route, by its topic",
    labels: ["topic"],
  },
});

export const storeFailed = defineEvent<{ deviceId: string; stream: string; code: string; reason: string }>({
  name: "uplink_store_failed",
  level: "error",
  message: (e) => `${e.stream} of ${e.deviceId} is not stored, its session ends: ${e.code}: ${e.reason}`,
  counter: { name: "tributary_bridge_store_failed_total", help: "Messages Kafka did not take", labels: ["code"] },
});

export const availabilityChanged = defineEvent<{ deviceId: string; state: string }>({
  name: "availability_changed",
  level: "info",
  message: (e) => `${e.deviceId} is ${e.state}`,
});

export const downlinkSent = defineEvent<{ deviceId: string; channel: string; bytes: number }>({
  name: "downlink_sent",
  level: "debug",
  message: (e) => `${e.channel} to ${e.deviceId}: ${e.bytes} bytes`,
  counter: { name: "tributary_bridge_downlink_total", help: "Messages sent to devices", labels: ["channel"] },
});

export const downlinkDropped = defineEvent<{ deviceId: string; channel: string }>({
  name: "downlink_dropped",
  level: "warn",
  message: (e) => `${e.channel}: the oldest waiting for ${e.deviceId} is dropped, it reads too slowly`,
  counter: {
    name: "tributary_bridge_downlink_dropped_total",
    help: "Messages dropped for slow devices",
    labels: ["channel"],
  },
});

export const stateRebuilt = defineEvent<{ devices: number; policies: number; ms: number }>({
  name: "state_rebuilt",
  level: "info",
  message: (e) => `${e.devices} devices and ${e.policies} policies read in ${e.ms.toFixed(0)} ms`,
});

export const brokerFault = defineEvent<{ deviceId: string; reason: string }>({
  name: "mqtt_fault",
  level: "debug",
  message: (e) => `${e.deviceId}: ${e.reason}`,
  counter: { name: "tributary_bridge_mqtt_faults_total", help: "Connections that ended with an MQTT or socket error" },
});
