import { createRequire } from "node:module";
import { describe, expect, test } from "@jest/globals";
import { DeviceAcks, downlinks, parseMqttTopic, topics, uplinkStreams } from "@tributary/contracts";
import { Ajv } from "ajv";
import avro from "avsc";
import { parse } from "yaml";
import { asyncApiFiles } from "./asyncapi.controller.ts";
import { asyncApiOf, durationOf } from "./document.ts";
import { AVRO_SCHEMA_FORMAT } from "./parts.ts";

const { yaml, page } = asyncApiFiles("plant-7.");
const document = parse(yaml);

/** What a JSON pointer of the document leads to. */
const at = (ref: string) =>
  ref
    .slice(2)
    .split("/")
    .reduce((node, key) => node[key], document);

function refsIn(node: unknown): readonly string[] {
  if (node === null || typeof node !== "object") return [];
  return Object.entries(node).flatMap(([key, value]) => (key === "$ref" ? [String(value)] : refsIn(value)));
}

describe("the AsyncAPI document", () => {
  test("is one by AsyncAPI's own schema, which notices when something is wrong", () => {
    const published = createRequire(import.meta.url)("@asyncapi/specs/schemas/3.0.0-without-$id.json");
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
    const isValid = ajv.compile(published);
    const valid = isValid(document);
    expect(isValid.errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    const channels = { ...document.channels, frames: { ...document.channels.frames, adress: "x" } };
    expect(isValid({ ...document, channels })).toBe(false);
  });

  test("refers only to what it has", () => {
    const refs = refsIn(document);
    expect(refs.length).toBeGreaterThan(40);
    for (const ref of refs) expect(at(ref)).toBeDefined();
  });

  test("has each topic's address, retention, visibility, and a payload that a consumer can compile and read with", () => {
    for (const [id, topic] of Object.entries(topics)) {
      const channel = document.channels[id];
      expect(channel.address).toBe(`{prefix}${topic.name}`);
      expect(channel.tags).toEqual([{ name: topic.public ? "public" : "internal" }]);
      const config = channel.bindings.kafka.topicConfiguration;
      expect(config["cleanup.policy"]).toEqual([topic.kind === "compacted" ? "compact" : "delete"]);
      const isUnlimited = topic.retentionMs === Number.POSITIVE_INFINITY;
      expect(config["retention.ms"]).toBe(topic.kind === "events" ? (isUnlimited ? -1 : topic.retentionMs) : undefined);
      const [{ $ref }] = Object.values(channel.messages) as [{ $ref: string }];
      const { payload, bindings, traits } = at($ref);
      expect(payload.schemaFormat).toBe(AVRO_SCHEMA_FORMAT);
      expect(avro.Type.forSchema(payload.schema).name).toBe(`tributary.v1.${topic.codec.name}`);
      expect(bindings.kafka.key.description).toMatch(
        {
          device: /device's id/,
          policy: /Digest/,
          "policy-version": /policy's version/,
          model: /NAME\/VERSION/,
          rollout: /uid/,
          experiment: /uid/,
          verdict: /verdict's id/,
          training: /training's id/,
          checkpoint: /slot/,
        }[topic.key],
      );
      const headers = traits.flatMap((trait: { $ref: string }) => Object.keys(at(trait.$ref).headers.properties));
      expect(headers).toEqual(expect.arrayContaining(["ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time"]));
      // Of one sent frame's records alone; predictions, policies and the like never have it.
      const isOfOneFrame = /^(edge\.frames|cloud\.|classifications)/.test(topic.name);
      expect([topic.name, headers.includes("traceparent")]).toEqual([topic.name, isOfOneFrame]);
    }
    expect(document.components.parameters.prefix.default).toBe("plant-7.");
  });

  test("has each MQTT topic of the contract, in Avro and JSON, with its direction, retention and fingerprint", () => {
    type MqttChannel = {
      readonly servers: { readonly $ref: string }[];
      readonly address: string;
      readonly title: string;
      readonly messages: { readonly [name: string]: { readonly $ref: string } };
    };
    type Operation = { action: string; channel: { $ref: string }; bindings?: { mqtt: object } };
    const operations = Object.values(document.operations) as Operation[];
    const isMqtt = ({ servers }: MqttChannel) => servers[0]?.$ref === "#/servers/mqtt";
    const mqtt = (Object.entries(document.channels) as [string, MqttChannel][]).filter(([, channel]) =>
      isMqtt(channel),
    );
    const found = mqtt.map(([id, { address, messages }]) => {
      const parsed = parseMqttTopic(address.replace("{mqttPrefix}", "tributary").replace("{deviceId}", "cam"));
      const operation = operations.find(({ channel }) => channel.$ref === `#/channels/${id}`);
      const [{ $ref }] = Object.values(messages) as [{ $ref: string }];
      return {
        ...parsed,
        action: operation?.action,
        ...operation?.bindings?.mqtt,
        fingerprint: at($ref)["x-avro-fingerprint"],
      };
    });
    const common = { deviceId: "cam", qos: 1, bindingVersion: "0.2.0" };
    const up = Object.entries(uplinkStreams).flatMap(([stream, { codec }]) =>
      [codec.current.fingerprint, undefined].map((fingerprint) => {
        const format = fingerprint === undefined ? "json" : "avro";
        return { ...common, kind: "up", stream, format, action: "receive", retain: false, fingerprint };
      }),
    );
    const down = Object.entries(downlinks).flatMap(([channel, { codec, json, retained }]) =>
      (json ? ["avro", "json"] : ["avro"]).map((format) => {
        const fingerprint = format === "avro" ? codec?.current.fingerprint : undefined;
        return { ...common, kind: "down", channel, format, action: "send", retain: retained, fingerprint };
      }),
    );
    const availability = { ...common, kind: "availability", action: "receive", retain: true, fingerprint: undefined };
    expect(found).toEqual([...up, ...down, availability]);
    for (const [, { title }] of mqtt) expect(page).toContain(`${title}</code>`);
    for (const { name } of DeviceAcks.current.schema.fields) expect(page).toContain(`<code>${name}</code>`);
  });

  test("is a page of its own for people, with every topic and every field, and nothing fetched or run", () => {
    for (const topic of Object.values(topics)) {
      expect(page).toContain(`<code>plant-7.${topic.name}</code>`);
      for (const field of topic.codec.current.schema.fields) expect(page).toContain(`<code>${field.name}</code>`);
    }
    expect(page).toContain("answers[].settledBy");
    expect(page).toContain("DEADLINE_UNREACHABLE");
    expect(page).not.toMatch(/<script|src=|@import|undefined|\[object/);
    expect(asyncApiFiles("<b>").page).not.toContain("<b>edge");
  });

  test("writes durations as people do", () => {
    expect([3_600_000, 6 * 3_600_000, 86_400_000, 7 * 86_400_000].map(durationOf)).toEqual([
      "1 hour",
      "6 hours",
      "1 day",
      "7 days",
    ]);
    expect(Object.keys(asyncApiOf("1").channels as object)).toHaveLength(Object.keys(topics).length + 1 + 19);
  });
});
