/**
 * Routes of an operator's own: MQTT topics outside the device contract into Kafka topics outside ours.
 *
 * A route never affects the contract: its filter matches no MQTT topic of ours, its Kafka topic is not one of ours. The received
 * bytes are stored; headers have their origin. QoS 1 is acknowledged after Kafka's ack (G1); QoS 0 is stored without one. QoS 2
 * guarantees more than Kafka's ack, and is refused.
 *
 * X2. `%d` in a filter stands for the publisher's own device id only. Without it any registered device may publish.
 * X3. The first matching route is taken. A message that it cannot take is refused like any other: it becomes a dead letter, is
 *     counted, and then acknowledged (G8). */
import {
  type AvroSchema,
  ContractError,
  compileBoundsCheck,
  type DecodeLimits,
  fingerprintOf,
  openConfluent,
  openSingleObject,
} from "@tributary/contracts";
import { type OutRecord, type PartitionReader, type RecordSink, tributaryTopics } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";
import { z } from "zod";
import { JsonFault, parseJson } from "./json-record.ts";

const DEVICE = "%d";
const TOPIC_CHARS_MAX = 1_024;
const ROUTES_MAX = 256;

export const routeSchema = z.strictObject({
  /** An MQTT topic filter; a level `%d` stands for the publishing device's id. */
  filter: z.string().min(1).max(TOPIC_CHARS_MAX),
  /** The whole name of a Kafka topic, which has to exist. */
  topic: z
    .string()
    .regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/, "expected a Kafka topic: letters, digits, dots, dashes, underscores"),
  format: z.enum(["avro", "json", "raw"]),
  /** Kafka's key: the device's id, the whole MQTT topic, or one level of it, counted from 0. */
  key: z.union([z.enum(["device", "topic"]), z.strictObject({ level: z.int().min(0).max(99) })]).default("device"),
  /** `format: avro`: the file of the schema that every message is checked against. */
  schema: z.string().min(1).optional(),
});
export type RouteConfig = z.output<typeof routeSchema>;
export const routesSchema = z.array(routeSchema).max(ROUTES_MAX).default([]);

export type RouteProblem = { readonly path: (string | number)[]; readonly message: string };
type Surroundings = {
  /** Of topics, without their ends. */
  readonly prefixes: { readonly mqtt: string; readonly kafka: string };
  /** Behind a foreign broker only the topic identifies who published. */
  readonly mode: "embedded" | "external";
};

/** All problems of the routes, and between them. */
export function routeProblems(routes: readonly RouteConfig[], { prefixes, mode }: Surroundings): RouteProblem[] {
  const ours = new Set(tributaryTopics().map(({ name }) => prefixes.kafka + name));
  const reserved = ["tributary.", prefixes.kafka, "__", "_schemas"].filter((prefix) => prefix !== "");
  const problems: RouteProblem[] = [];
  for (const [i, route] of routes.entries()) {
    const report = (field: string, message: string) => problems.push({ path: ["routes", i, field], message });
    const fault = filterFault(route.filter);
    if (fault !== undefined) report("filter", fault);
    else if (meets(levelsOf(route.filter), [...levelsOf(prefixes.mqtt), "#"])) {
      report("filter", `meets topics of the device contract, which are below ${prefixes.mqtt}/`);
    }
    const prefix = reserved.find((one) => route.topic.startsWith(one));
    if (prefix !== undefined) report("topic", `topics that begin with ${prefix} are not a route's`);
    else if (ours.has(route.topic)) report("topic", `${route.topic} is a topic of the contract`);
    if (route.schema !== undefined && route.format !== "avro") report("schema", "only format: avro has a schema");
    const levels = levelsOf(route.filter);
    if (typeof route.key === "object" && route.key.level >= levels.length && levels.at(-1) !== "#") {
      report("key", `level ${route.key.level}: the filter has ${levels.length}, counted from 0`);
    }
    if (mode === "external" && route.key === "device" && !levels.includes(DEVICE)) {
      report("key", `mode: external knows the device by a level ${DEVICE} of the filter only; take another key`);
    }
    const earlier = routes.slice(0, i).findIndex((other) => covers(levelsOf(other.filter), levels));
    if (earlier >= 0) report("filter", `never taken: routes[${earlier}] takes all that it fits (X3)`);
  }
  return problems;
}

/** A route with its schema read. */
export type Route = {
  readonly config: RouteConfig;
  readonly levels: readonly string[];
  readonly check: (payload: Uint8Array) => void;
};

/** `readSchema` gives the text of a file. Throws with the route's name when it is no schema. */
export function openRoute(config: RouteConfig, readSchema: (file: string) => string): Route {
  return { config, levels: levelsOf(config.filter), check: checkOf(config, readSchema) };
}

/** Sink and reader know whole topic names: a route's have no prefix of ours. */
export type Routes = { readonly list: readonly Route[]; readonly sink: RecordSink; readonly reader: PartitionReader };

/** The route of a topic; none, or another device's topic. */
export function routeOf(
  routes: readonly Route[],
  topic: string,
  principal: string,
): Route | "another-device" | undefined {
  // $SYS and the like are the broker's, and no wildcard fits them (MQTT 4.7.2).
  if (topic.startsWith("$") || topic.length > TOPIC_CHARS_MAX || /[+#\0]/.test(topic)) return undefined;
  const levels = levelsOf(topic);
  let another = false;
  for (const route of routes) {
    if (!fits(route.levels, levels)) continue;
    const device = route.levels.indexOf(DEVICE);
    if (device < 0 || levels[device] === principal) return route;
    another = true;
  }
  return another ? "another-device" : undefined;
}

export function keyOf({ config: { key } }: Route, topic: string, principal: string): string {
  if (key === "device") return principal;
  return key === "topic" ? topic : (levelsOf(topic)[key.level] ?? "");
}

const contentTypes = { avro: "application/avro", json: "application/json", raw: "application/octet-stream" } as const;

export function routedRecord(
  { config }: Route,
  key: string,
  message: { readonly principal: string; readonly topic: string; readonly payload: Buffer; readonly qos: number },
  receivedAt: Instant,
): OutRecord {
  return {
    topic: config.topic,
    key,
    value: message.payload,
    timestamp: receivedAt,
    headers: {
      "content-type": contentTypes[config.format],
      "tributary.received-at": new Date(receivedAt).toISOString(),
      "tributary.device": message.principal,
      "tributary.mqtt.topic": message.topic,
      "tributary.mqtt.qos": String(message.qos),
    },
  };
}

/** The subscriptions at a foreign broker for the routes' messages. */
export const subscriptionOf = (config: RouteConfig): string =>
  levelsOf(config.filter)
    .map((level) => (level === DEVICE ? "+" : level))
    .join("/");

/** The device that a topic names, for a bridge whose broker has checked that it is the publisher's. */
export function deviceOfTopic(config: RouteConfig, topic: string): string | undefined {
  const at = levelsOf(config.filter).indexOf(DEVICE);
  return at < 0 ? undefined : levelsOf(topic)[at];
}

const levelsOf = (topic: string): string[] => topic.split("/");

function filterFault(filter: string): string | undefined {
  const levels = levelsOf(filter);
  if (filter.startsWith("$")) return "topics that begin with $ are the broker's";
  if (filter.includes("\0")) return "a topic has no NUL";
  if (levels.slice(0, -1).includes("#")) return "# stands at the end";
  const mixed = levels.find((level) => level.length > 1 && level !== DEVICE && /[+#]/.test(level));
  if (mixed !== undefined) return `"${mixed}": + and # stand for whole levels`;
  const part = levels.find((level) => level !== DEVICE && level.includes(DEVICE));
  if (part !== undefined) return `"${part}": ${DEVICE} stands for a whole level`;
  return levels.filter((level) => level === DEVICE).length > 1 ? `${DEVICE} stands once` : undefined;
}

const isAny = (level: string | undefined): boolean => level === "+" || level === DEVICE;

/** Whether a topic is among those of a filter. */
const fits = (filter: readonly string[], topic: readonly string[]): boolean => {
  for (let i = 0; ; i++) {
    if (filter[i] === "#") return true;
    if (i === filter.length || i === topic.length) return filter.length === topic.length;
    if (!isAny(filter[i]) && filter[i] !== topic[i]) return false;
  }
};

/** Whether some topic is among those of both filters. */
const meets = (a: readonly string[], b: readonly string[]): boolean => {
  for (let i = 0; ; i++) {
    if (a[i] === "#" || b[i] === "#") return true;
    if (i === a.length || i === b.length) return a.length === b.length;
    if (!isAny(a[i]) && !isAny(b[i]) && a[i] !== b[i]) return false;
  }
};

/** Whether all topics of the second filter are among those of the first, for every publisher. */
const covers = (wide: readonly string[], narrow: readonly string[]): boolean => {
  for (let i = 0; ; i++) {
    if (wide[i] === "#") return true;
    if (i === wide.length || i === narrow.length) return wide.length === narrow.length;
    if (narrow[i] === "#" || (wide[i] !== "+" && wide[i] !== narrow[i])) return false;
  }
};

/** A foreign record is bounded by its message's size; the walk only has to end. */
const LIMITS: DecodeLimits = {
  stringBytesMax: 2 ** 26,
  bytesMax: 2 ** 26,
  arrayItemsMax: 2 ** 26,
  mapEntriesMax: 2 ** 26,
};

function checkOf({ format, schema: file }: RouteConfig, readSchema: (file: string) => string) {
  switch (format) {
    case "raw":
      return () => {};
    case "json":
      return (payload: Uint8Array) => void parseJson(payload);
    case "avro": {
      if (file === undefined) return (payload: Uint8Array) => void openAvro(payload);
      const schema: AvroSchema = JSON.parse(readSchema(file));
      const checkDatum = compileBoundsCheck(schema, LIMITS);
      const known = fingerprintOf(schema);
      return (payload: Uint8Array) => {
        const { fingerprint, datum } = openAvro(payload);
        if (fingerprint !== undefined && fingerprint !== known) {
          throw new ContractError("schema-unknown-fingerprint", `fingerprint ${fingerprint}; the schema has ${known}`);
        }
        checkDatum(datum);
      };
    }
  }
}

/** Single-object encoding, or Confluent's wire format, whose ids are its registry's business. */
function openAvro(payload: Uint8Array): { readonly fingerprint: string | undefined; readonly datum: Uint8Array } {
  if (payload[0] === 0) return { fingerprint: undefined, datum: openConfluent(payload).payload };
  if (payload[0] !== 0xc3) {
    throw new ContractError(
      "framing-unknown",
      "neither single-object encoding (C3 01) nor Confluent's wire format (00)",
    );
  }
  const { fingerprint, payload: datum } = openSingleObject(payload);
  return { fingerprint, datum };
}

/** The fault of a route's message; undefined if there is none. */
export function payloadFault(route: Route, payload: Uint8Array): string | undefined {
  try {
    route.check(payload);
    return undefined;
  } catch (error) {
    if (error instanceof JsonFault || error instanceof ContractError) return error.message;
    throw error;
  }
}
