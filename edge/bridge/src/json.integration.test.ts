/** Devices that speak only JSON, and routes, with a real Kafka behind the bridge and real MQTT clients in front of it. */
import { randomBytes, scryptSync } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Classifications, EdgeFrame, mqttTopics, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type InRecord,
  KafkajsAdmin,
  KafkaReader,
  PlatformaticSink,
  readTopic,
} from "@tributary/kafka";
import { seededRandom, systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { someAnswer, someJpeg, someRegistration, testKafka, waitFor } from "@tributary/testing";
import mqtt, { type MqttClient } from "mqtt";
import { Bridge } from "./bridge.ts";
import { bridgeConfigSchema } from "./config.ts";
import { openRoute } from "./routes.ts";

const kafka = testKafka();
const connection = { brokers: [...kafka.brokers], prefix: kafka.prefix, clientId: "test-json" };
const whole = { ...connection, prefix: "" };
const plant = `plant-${kafka.prefix}temperature.v1`;
const telemetry = createTelemetry({ service: "bridge", level: "warn", defaultMetrics: false, write: () => {} });
const reader = new KafkaReader(connection);
const wholeReader = new KafkaReader(whole);
const sink = new PlatformaticSink(connection);
const clients: MqttClient[] = [];
let bridge: Bridge;
let port: number;
let image: string;

const config = bridgeConfigSchema.parse({
  kafka: { brokers: connection.brokers, prefix: connection.prefix },
  mqtt: { port: 0 },
  routes: [
    { filter: "plant/%d/temperature", topic: plant, format: "json" },
    { filter: "lines/+/raw", topic: plant, format: "raw", key: { level: 1 } },
  ],
});

const newBridge = () =>
  new Bridge({
    config,
    sink: new PlatformaticSink(connection),
    reader: new KafkaReader(connection),
    routes: {
      list: config.routes.map((route) => openRoute(route, () => "")),
      sink: new PlatformaticSink(whole),
      reader: new KafkaReader(whole),
    },
    clock: systemClock,
    random: seededRandom(1),
    telemetry,
  });

async function connected(deviceId: string): Promise<MqttClient> {
  const options = { clientId: deviceId, username: deviceId, password: deviceId, reconnectPeriod: 0 };
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, options);
  clients.push(client);
  return client;
}

async function all(from: KafkaReader, topic: string): Promise<InRecord[]> {
  const records = await Array.fromAsync(readTopic(from, topic));
  return records.sort((a, b) => a.timestamp - b.timestamp);
}

const admin = async (prefix: string, work: (admin: KafkajsAdmin) => Promise<unknown>) => {
  const client = new KafkajsAdmin({ ...connection, prefix });
  await work(client);
  await client.close();
};

beforeAll(async () => {
  image = (await someJpeg()).toString("base64");
  await admin(connection.prefix, (client) => ensureTributaryTopics(client, { partitions: 2 }));
  for (const deviceId of ["a", "b"]) {
    const salt = randomBytes(16);
    const hash = scryptSync(deviceId, salt, 32, { N: 1_024, r: 8, p: 1 }).toString("base64");
    const passwordHash = `scrypt$1024$8$1$${salt.toString("base64")}$${hash}`;
    const value = topics.registry.codec.encodeConfluent(someRegistration({ deviceId, passwordHash }));
    await sink.send([{ topic: topics.registry.name, key: deviceId, value }]);
  }
  await admin("", (client) => client.ensure([{ name: plant, partitions: 3 }]));
  bridge = newBridge();
  port = await bridge.start();
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)));
  await bridge?.close();
  await Promise.all([reader.close(), wholeReader.close(), sink.close()]);
});

test("a photo in JSON is a frame in Kafka, the same one after a restart of the bridge; its answer is published in JSON", async () => {
  const device = await connected("a");
  const payload = JSON.stringify({ image });
  await device.publishAsync(mqttTopics().upJson("a", "frames"), payload, { qos: 1 });
  await bridge.close();
  bridge = newBridge();
  port = await bridge.start();
  const again = await connected("a");
  const received: { topic: string; payload: Buffer }[] = [];
  again.on("message", (topic, payload) => received.push({ topic, payload }));
  await again.subscribeAsync(mqttTopics().resultsJson("a"), { qos: 1 });
  await again.publishAsync(mqttTopics().upJson("a", "frames"), payload, { qos: 1 });

  const stored = (await all(reader, topics.frames.name)).map((record) =>
    EdgeFrame.decodeConfluent(record.value as Buffer),
  );
  expect(stored).toHaveLength(2);
  expect(stored[0]).toEqual(stored[1]);
  const [frame] = stored as [EdgeFrame];
  expect(frame).toMatchObject({ deviceId: "a", bootId: 0n, reason: "FALLBACK", jpeg: Buffer.from(image, "base64") });

  const { cameraId, frameSeq } = frame;
  const answer = someAnswer({ cameraId, frameSeq, label: "cat", reason: "FALLBACK" });
  const value = Classifications.encodeConfluent({ deviceId: "a", bootId: 0n, answers: [answer] });
  await sink.send([{ topic: topics.classifications.name, key: "a", value }]);
  await waitFor(() => received.length > 0, { what: "the answer" });
  expect(received[0]?.topic).toBe("tributary/v1/a/down/results/json");
  const { frameId, label } = JSON.parse(String(received[0]?.payload)) as { frameId: string; label: string };
  expect({ frameId, label }).toEqual({ frameId: `a:0:camera:${frameSeq}`, label: "cat" });
});

test("JSON that cannot be used is acknowledged as a dead letter, and the next valid one is stored (G8)", async () => {
  const device = await connected("b");
  const publish = (payload: string) => device.publishAsync(mqttTopics().upJson("b", "frames"), payload, { qos: 1 });
  await publish(JSON.stringify({ image, camera: "x" }));
  await publish(JSON.stringify({ image, cameraId: "good" }));
  const letters = await all(reader, "edge.frames.v1.bridge.dlq");
  expect(letters.map(({ key, headers }) => [key, headers["__connect.errors.exception.class.name"]])).toEqual([
    ["b", "json-unknown-field"],
  ]);
  expect(letters[0]?.headers["__connect.errors.exception.message"]).toContain(
    "camera: unknown field (known: deviceId,",
  );
  const cameras = (await all(reader, topics.frames.name))
    .filter(({ key }) => key === "b")
    .map(({ value }) => EdgeFrame.decodeConfluent(value as Buffer).cameraId);
  expect(cameras).toEqual(["good"]);
});

test("routes store the received bytes, with their origin, and refuse another's topic or another format with a dead letter", async () => {
  const device = await connected("b");
  await device.publishAsync("plant/b/temperature", "21.5", { qos: 1 });
  await device.publishAsync("plant/b/temperature", "21,5", { qos: 1 });
  await device.publishAsync("plant/a/temperature", "99", { qos: 1 });
  await device.publishAsync("lines/7/raw", Buffer.from([0, 255]), { qos: 1, retain: true });
  const records = await all(wholeReader, plant);
  expect(Object.fromEntries(records.map(({ key, value }) => [key, value?.toString("hex")]))).toEqual({
    b: Buffer.from("21.5").toString("hex"),
    7: "00ff",
  });
  expect(records).toHaveLength(2);
  expect(records.find(({ key }) => key === "b")?.headers).toEqual({
    "content-type": "application/json",
    "tributary.received-at": expect.stringMatching(/^2\d{3}-.*Z$/),
    "tributary.device": "b",
    "tributary.mqtt.topic": "plant/b/temperature",
    "tributary.mqtt.qos": "1",
  });
  const letters = await all(reader, "edge.unknown.v1.bridge.dlq");
  const reasons = letters.map(({ headers }) => headers["__connect.errors.exception.class.name"]);
  expect(reasons).toEqual(["payload-not-json", "topic-of-another-device"]);
  const metrics = await telemetry.metrics();
  expect(metrics).toContain(`tributary_bridge_routed_total{topic="${plant}"} 2`);
});
