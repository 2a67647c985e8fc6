/**
 * The device contract's MQTT topics for the AsyncAPI document (document.ts D1, D2): what Tributary receives, a device
 * publishes; what it sends, a device subscribes to.
 */
import {
  type Codec,
  type Downlink,
  downlinks,
  jsonDownlinkSchemas,
  jsonUplinkSchema,
  mqttTopics,
  type PayloadFormat,
  type Topic,
  topics,
  UPLINK_BYTES_MAX,
  type UplinkStream,
  uplinkStreams,
} from "@tributary/contracts";
import { AVRO_SCHEMA_FORMAT, capital, type Json } from "./parts.ts";

type Objects = { readonly [id: string]: Json };
type Entry = {
  readonly id: string;
  readonly direction: "up" | "down";
  readonly address: string;
  readonly title: string;
  readonly holds: string;
  readonly retained: boolean;
  /** What a broker of Tributary's takes, unless it is configured otherwise. */
  readonly bytesMax?: number;
  readonly message: Json;
};

const names = mqttTopics("{mqttPrefix}");
const DEVICE = "{deviceId}";

const nameOf = (direction: string, channel: string, format: PayloadFormat): string =>
  `mqtt${capital(direction)}${capital(channel)}${format === "json" ? "Json" : ""}`;

/** Of a record that Kafka has as well: the same payload behind another header. */
function avroMessage(codec: Codec<unknown>): Json {
  const onKafka = Object.entries(topics).find(([, topic]) => topic.codec.name === codec.name);
  const { schema, fingerprint } = codec.current;
  return {
    name: `${codec.name}`,
    title: codec.name,
    summary: String(schema.doc),
    contentType: "application/avro",
    payload:
      onKafka === undefined
        ? { schemaFormat: AVRO_SCHEMA_FORMAT, schema }
        : { $ref: `#/components/messages/${onKafka[0]}/payload` },
    "x-avro-fingerprint": fingerprint,
  };
}

function jsonMessage(title: string, payload: Json): Json {
  return { name: title.replaceAll(" ", ""), title, contentType: "application/json", payload };
}

const bytesMessage = (channel: string, holds: string): Json => ({
  name: capital(channel),
  title: capital(channel),
  contentType: "application/octet-stream",
  payload: { type: "string", format: "binary", description: `${capital(holds)}.` },
});

const textMessage = (channel: string, pattern: string): Json => ({
  name: capital(channel),
  title: capital(channel),
  contentType: "text/plain",
  payload: { type: "string", pattern },
});

const uplinks = (Object.entries(uplinkStreams) as [UplinkStream, Topic][]).flatMap(([stream, topic]): Entry[] => {
  const bytesMax = UPLINK_BYTES_MAX[stream === "frames" ? "frames" : "others"];
  const common = { direction: "up", holds: topic.holds, retained: false, bytesMax } as const;
  return [
    {
      ...common,
      id: nameOf("up", stream, "avro"),
      address: names.up(DEVICE, stream),
      title: `up/${stream}`,
      message: avroMessage(topic.codec),
    },
    {
      ...common,
      id: nameOf("up", stream, "json"),
      address: names.upJson(DEVICE, stream),
      title: `up/${stream}/json`,
      message: jsonMessage(`${topic.codec.name} in JSON`, jsonUplinkSchema(stream) as Json),
    },
  ];
});

const downs = (Object.entries(downlinks) as [string, Downlink][]).flatMap(([channel, downlink]): Entry[] => {
  const { codec, text, holds, retained } = downlink;
  const address = `${names.policy(DEVICE).slice(0, -"policy".length)}${channel}`;
  const common = { direction: "down", holds, retained } as const;
  const avro: Entry = {
    ...common,
    id: nameOf("down", channel, "avro"),
    address,
    title: `down/${channel}`,
    message: codec !== null ? avroMessage(codec) : text ? textMessage(channel, text) : bytesMessage(channel, holds),
  };
  if (!downlink.json) return [avro];
  const message = jsonMessage(`${capital(channel)} in JSON`, jsonDownlinkSchemas[channel as "results" | "sampling"]);
  const title = `down/${channel}/json`;
  return [avro, { ...common, id: nameOf("down", channel, "json"), address: `${address}/json`, title, message }];
});

const availability: Entry = {
  id: "mqttAvailability",
  direction: "up",
  address: names.availability(DEVICE),
  title: "availability",
  holds: "whether the device is connected; `offline` is also its last will",
  retained: true,
  message: {
    name: "Availability",
    title: "Availability",
    contentType: "text/plain",
    payload: { type: "string", enum: ["online", "offline"] },
  },
};

const entries: readonly Entry[] = [...uplinks, ...downs, availability];

export const mqttServer: Json = {
  host: "{bridge}",
  protocol: "mqtt",
  protocolVersion: "3.1.1",
  description: "The bridge, or a broker that bridges share; the default is that of `npm start`.",
  variables: { bridge: { default: "127.0.0.1:1883", description: "host:port" } },
  security: [{ $ref: "#/components/securitySchemes/device" }],
  bindings: {
    mqtt: {
      clientId: "the device's id",
      cleanSession: true,
      keepAlive: 30,
      lastWill: { topic: mqttTopics().availability("DEVICE"), qos: 1, message: "offline", retain: true },
      bindingVersion: "0.2.0",
    },
  },
};

export const mqttSecurity: Objects = {
  device: {
    type: "userPassword",
    description:
      "User name and client id are the device's id; `tributary devices register ID` prints the password once.",
  },
};

export const mqttParameters: Objects = {
  mqttPrefix: { default: "tributary", description: "First levels of the contract's topics, `mqtt.prefix`." },
  deviceId: { description: "The device's own id, [A-Za-z0-9][A-Za-z0-9_-]{0,63}." },
};

export const mqttChannels = (): Objects =>
  Object.fromEntries(
    entries.map(({ id, address, title, holds, retained, bytesMax, message }) => [
      id,
      {
        address,
        title,
        summary: `${capital(holds)}.`,
        description: [
          retained ? "QoS 1, retained." : "QoS 1, not retained.",
          ...(bytesMax === undefined ? [] : [`A record of at most ${bytesMax} bytes.`]),
        ].join(" "),
        servers: [{ $ref: "#/servers/mqtt" }],
        parameters: {
          mqttPrefix: { $ref: "#/components/parameters/mqttPrefix" },
          deviceId: { $ref: "#/components/parameters/deviceId" },
        },
        messages: { [(message as { readonly name: string }).name]: { $ref: `#/components/messages/${id}` } },
        tags: [{ name: "device" }],
      },
    ]),
  );

export const mqttOperations = (): Objects =>
  Object.fromEntries(
    entries.map(({ id, direction, title, retained }) => {
      const action = direction === "up" ? "receive" : "send";
      return [
        `${action}-mqtt-${title.replaceAll("/", "-")}`,
        {
          action,
          channel: { $ref: `#/channels/${id}` },
          summary: direction === "up" ? "A device publishes it." : "A device subscribes to it.",
          tags: [{ name: "device" }],
          bindings: { mqtt: { qos: 1, retain: retained, bindingVersion: "0.2.0" } },
        },
      ];
    }),
  );

export const mqttMessages = (): Objects => Object.fromEntries(entries.map(({ id, message }) => [id, message]));
