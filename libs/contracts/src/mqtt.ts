/** MQTT topics of the device contract; docs/mqtt-contract.md explains them. */
import type { Codec } from "./codec.ts";
import { DeviceAcks } from "./generated/index.ts";
import { topics, type UplinkStream } from "./topics.ts";

/** The largest MQTT packet of a device that a bridge holds whole, by default. */
export const PACKET_BYTES_MAX = 8 * 1024 * 1024;
/** What a bridge takes of one device in a second, by default. */
export const DEVICE_BYTES_PER_SECOND_MAX = 8 * 1024 * 1024;

/** The largest record of a device that a bridge stores, by default. */
export const UPLINK_BYTES_MAX = { frames: 2 * 1024 * 1024, others: 1024 * 1024 } as const;

const ROOT = "v1";
const JSON_LEVEL = "json";

export const mqttTopics = (prefix = "tributary") => ({
  up: (deviceId: string, stream: UplinkStream) => `${prefix}/${ROOT}/${deviceId}/up/${stream}`,
  /** For devices that speak only JSON. */
  upJson: (deviceId: string, stream: UplinkStream) => `${prefix}/${ROOT}/${deviceId}/up/${stream}/${JSON_LEVEL}`,
  /** Retained: what the device shall run. */
  desired: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/desired`,
  policy: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/policy`,
  /** Retained: the key that the device draws its random sample by. */
  sampling: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/sampling`,
  /** The same for devices that speak only JSON. */
  samplingJson: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/sampling/${JSON_LEVEL}`,
  /** Retained: when somebody last asked the device to check its golden frames. */
  check: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/check`,
  results: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/results`,
  /** The same answers for devices that speak only JSON. */
  resultsJson: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/results/${JSON_LEVEL}`,
  /** What Kafka has, where the broker's PUBACK does not confirm it. */
  acks: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/down/acks`,
  /** Retained `online` or `offline`; the latter is the last will. */
  availability: (deviceId: string) => `${prefix}/${ROOT}/${deviceId}/availability`,
});

export type Downlink = {
  /** Null: no Avro. */
  readonly codec: Codec<unknown> | null;
  /** Without Avro: the pattern of its text; undefined: bytes. */
  readonly text?: string;
  /** There is a form for devices that speak only JSON, one level below. */
  readonly json: boolean;
  readonly retained: boolean;
  readonly holds: string;
};

/** What a device may subscribe to, by the level under `down/`. */
export const downlinks = {
  policy: {
    codec: topics.policies.codec,
    json: false,
    retained: true,
    holds: "the routing policy of the model that the device reported; empty: none",
  },
  desired: {
    codec: topics.desired.codec,
    json: false,
    retained: true,
    holds: "what the device shall run; empty: nothing is wanted",
  },
  sampling: {
    codec: null,
    json: true,
    retained: true,
    holds: "the key that the device draws its random sample by: 32 bytes",
  },
  check: {
    codec: null,
    text: "^[0-9]{1,16}$",
    json: false,
    retained: true,
    holds: "when a check of the golden frames was last requested: ms since 1970",
  },
  results: {
    codec: topics.classifications.codec,
    json: true,
    retained: false,
    holds: "final answers of frames that the device sent",
  },
  acks: {
    codec: DeviceAcks,
    json: false,
    retained: false,
    holds: "what Kafka has, where the broker is not the bridge",
  },
} as const satisfies { readonly [channel: string]: Downlink };
export type DownlinkChannel = keyof typeof downlinks;

export type PayloadFormat = "avro" | "json";

export type MqttTopic =
  | { readonly kind: "up"; readonly deviceId: string; readonly stream: string; readonly format: PayloadFormat }
  | { readonly kind: "down"; readonly deviceId: string; readonly channel: string; readonly format: PayloadFormat }
  | { readonly kind: "availability"; readonly deviceId: string };

/** Undefined when the topic is not of the contract. */
export function parseMqttTopic(topic: string, prefix = "tributary"): MqttTopic | undefined {
  const levels = topic.split("/");
  const head = prefix.split("/");
  if (head.some((level, i) => levels[i] !== level) || levels[head.length] !== ROOT) return undefined;
  const [deviceId, direction, channel, json, ...rest] = levels.slice(head.length + 1);
  if (!deviceId || rest.length > 0 || (json !== undefined && json !== JSON_LEVEL)) return undefined;
  if (direction === "availability" && channel === undefined) return { kind: "availability", deviceId };
  if (channel === undefined || channel === "") return undefined;
  const format = json === undefined ? "avro" : "json";
  if (direction === "up") return { kind: "up", deviceId, stream: channel, format };
  if (direction === "down") return { kind: "down", deviceId, channel, format };
  return undefined;
}
