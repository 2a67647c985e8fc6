/** The bridge with a real Kafka behind it and real MQTT clients in front of it. */
import { createHash, randomBytes, scryptSync } from "node:crypto";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import {
  Classifications,
  DeviceDesired,
  type DeviceReported,
  EdgeFrame,
  EdgePredictions,
  mqttTopics,
  policyKey,
  RoutingPolicy,
  topics,
  uplinkStreams,
} from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type InRecord,
  KafkajsAdmin,
  KafkajsSource,
  KafkaProgress,
  KafkaReader,
  PlatformaticSink,
  readTopic,
} from "@tributary/kafka";
import { seededRandom, systemClock } from "@tributary/kernel";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";
import {
  someAnswer,
  someDesired,
  someFrame,
  someJpeg,
  somePolicy,
  somePredictions,
  someRegistration,
  someReported,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import mqttPacket from "mqtt-packet";
import { Bridge } from "./bridge.ts";
import { bridgeConfigSchema } from "./config.ts";
import { RetentionGuard } from "./retention/retention-guard.ts";

const hashOf = (password: string): string => {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 1_024, r: 8, p: 1 });
  return `scrypt$1024$8$1$${salt.toString("base64")}$${hash.toString("base64")}`;
};
const down = mqttTopics();
const randomBytesOf = (random: () => number, length: number) =>
  Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));

class Rig {
  readonly telemetry: Telemetry = createTelemetry({ service: "bridge", level: "silent", defaultMetrics: false });
  readonly reader: KafkaReader;
  readonly sink: PlatformaticSink;
  bridge: Bridge | undefined;
  port = 0;
  readonly #kafka: { readonly brokers: string[]; readonly prefix: string };
  readonly #clients: MqttClient[] = [];
  readonly #hashes = new Map<string, string>();

  constructor(kafka: { readonly brokers: readonly string[]; readonly prefix: string }) {
    this.#kafka = { brokers: [...kafka.brokers], prefix: kafka.prefix };
    this.reader = new KafkaReader({ ...this.#kafka, clientId: "test-reader" });
    this.sink = new PlatformaticSink({ ...this.#kafka, clientId: "test-sink" });
  }

  async prepare(settings: object = {}): Promise<void> {
    const admin = new KafkajsAdmin({ ...this.#kafka, clientId: "test-admin" });
    await ensureTributaryTopics(admin, { partitions: 2, ...settings });
    await admin.close();
  }

  register(
    deviceId: string,
    status: "ACTIVE" | "REVOKED" = "ACTIVE",
    checkRequestedAt: number | null = null,
  ): Promise<unknown> {
    const passwordHash = this.#hashes.get(deviceId) ?? hashOf(deviceId);
    this.#hashes.set(deviceId, passwordHash);
    const value = topics.registry.codec.encodeConfluent(
      someRegistration({ deviceId, passwordHash, status, checkRequestedAt }),
    );
    return this.sink.send([{ topic: topics.registry.name, key: deviceId, value }]);
  }

  async start(settings: object = {}): Promise<void> {
    const config = bridgeConfigSchema.parse({ kafka: this.#kafka, mqtt: { port: 0 }, ...settings });
    this.bridge = new Bridge({
      config,
      sink: new PlatformaticSink({ ...this.#kafka, clientId: "bridge", deliveryMsMax: config.limits.storeMsMax }),
      reader: new KafkaReader({ ...this.#kafka, clientId: "bridge" }),
      clock: systemClock,
      random: seededRandom(1),
      telemetry: this.telemetry,
      retention: new RetentionGuard({
        progress: new KafkaProgress({ ...this.#kafka, clientId: "bridge" }),
        group: "router",
        topics: [topics.frames.name, topics.predictions.name],
        clock: systemClock,
        telemetry: this.telemetry,
        everyMs: 200,
      }),
    });
    this.port = await this.bridge.start();
  }

  /** A consumer of the routers' group. */
  router(): KafkajsSource {
    return new KafkajsSource({
      ...this.#kafka,
      clientId: "test-router",
      group: "router",
      topics: [topics.frames.name, topics.predictions.name],
    });
  }

  client(deviceId: string, options: IClientOptions = {}): MqttClient {
    const client = mqtt.connect(`mqtt://127.0.0.1:${this.port}`, {
      clientId: deviceId,
      username: deviceId,
      password: deviceId,
      reconnectPeriod: 100,
      ...options,
    });
    client.on("error", () => {});
    this.#clients.push(client);
    return client;
  }

  async connected(deviceId: string, options: IClientOptions = {}): Promise<MqttClient> {
    const client = this.client(deviceId, options);
    if (!client.connected) await new Promise((resolve) => client.once("connect", resolve));
    return client;
  }

  /** Everything in a topic now. */
  all(topic: string): Promise<InRecord[]> {
    return Array.fromAsync(readTopic(this.reader, topic));
  }

  async counted(name: string, labels: string): Promise<number> {
    const line = (await this.telemetry.metrics()).split("\n").find((l) => l.startsWith(`${name}{${labels}}`));
    return Number(line?.split(" ").at(-1) ?? 0);
  }

  /** A client left behind would come back again and again, and cut off the next one of its name. */
  async disconnect(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.endAsync(true)));
  }

  async stop(): Promise<void> {
    await this.disconnect();
    await this.bridge?.close();
    await Promise.all([this.reader.close(), this.sink.close()]);
  }
}

describe("with Kafka there", () => {
  let rig: Rig;
  let jpeg: Buffer;
  beforeAll(async () => {
    jpeg = await someJpeg();
    rig = new Rig(testKafka());
    await rig.prepare();
    await Promise.all(["a", "b", "c", "d"].map((id) => rig.register(id)));
    await rig.register("revoked", "REVOKED");
    await rig.sink.send([
      {
        topic: topics.policies.name,
        key: policyKey("m1", "default"),
        value: RoutingPolicy.encodeConfluent(somePolicy({ modelDigest: "m1", policyVersion: "first" })),
      },
    ]);
    await rig.start({ limits: { frameBytesMax: 200_000, packetBytesMax: 400_000, recordBytesMax: 100_000 } });
  });
  afterEach(() => rig.disconnect());
  afterAll(() => rig.stop());

  test("a PUBACK confirms that the record can be read from Kafka, as the device wrote it (G1)", async () => {
    const device = await rig.connected("a");
    const before = Date.now();
    const payload = EdgeFrame.encodeSingleObject(someFrame({ deviceId: "a", jpeg }));
    await device.publishAsync(down.up("a", "frames"), payload, { qos: 1 });
    const [record] = await rig.all(topics.frames.name);
    expect(EdgeFrame.decodeConfluent(record?.value as Buffer)).toEqual(someFrame({ deviceId: "a", jpeg }));
    expect(record?.key).toBe("a");
    expect(record?.headers).toMatchObject({ ce_type: "tributary.v1.EdgeFrame", ce_specversion: "1.0" });
    expect(record?.timestamp).toBeGreaterThanOrEqual(before);
    expect(record?.timestamp).toBeLessThanOrEqual(Date.now());
  });

  test("two rapid streams keep their order, whatever others send (G3)", async () => {
    const count = 300;
    const devices = await Promise.all(["b", "c"].map((id) => rig.connected(id)));
    await Promise.all(
      devices.flatMap((device) => {
        const deviceId = device.options.clientId as string;
        return Array.from({ length: count }, (_, i) => i + 1).flatMap((n) => [
          device.publishAsync(
            down.up(deviceId, "predictions"),
            EdgePredictions.encodeSingleObject(somePredictions({ deviceId, seq: BigInt(n) })),
            { qos: 1 },
          ),
          device.publishAsync(
            down.up(deviceId, "frames"),
            EdgeFrame.encodeSingleObject(someFrame({ deviceId, seq: BigInt(n), jpeg })),
            { qos: 1 },
          ),
        ]);
      }),
    );
    for (const { name, codec } of [topics.predictions, topics.frames]) {
      const records = await rig.all(name);
      for (const deviceId of ["b", "c"]) {
        const seqs = records
          .filter((r) => r.key === deviceId)
          .map((r) => Number((codec.decodeConfluent(r.value as Buffer) as { seq: bigint }).seq));
        expect([name, deviceId, seqs]).toEqual([name, deviceId, Array.from({ length: count }, (_, i) => i + 1)]);
      }
    }
  });

  test("bad input between good: acknowledged, counted by reason, a dead letter, and the next valid one is stored (G8)", async () => {
    const device = await rig.connected("d");
    const good = (seq: number) =>
      device.publishAsync(
        down.up("d", "frames"),
        EdgeFrame.encodeSingleObject(someFrame({ deviceId: "d", seq: BigInt(seq), jpeg })),
        { qos: 1 },
      );
    const frames = down.up("d", "frames");
    const encoded = (change: Parameters<typeof someFrame>[0]) =>
      EdgeFrame.encodeSingleObject(someFrame({ deviceId: "d", jpeg, ...change }));
    const bomb = EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "d", predictions: [] }));
    bomb[bomb.length - 2] = 0x7e; // an array of 63 items in one byte
    const cases: readonly [string, string, string, Buffer, object?][] = [
      ["jpeg-corrupt", "frames", frames, encoded({ jpeg: jpeg.subarray(0, -2) })],
      ["topic-unknown", "unknown", "tributary/v9/d/up/frames", encoded({})],
      ["stream-unknown", "unknown", "tributary/v1/d/up/films", encoded({})],
      ["framing-unknown", "frames", frames, Buffer.from('{"a": 1}')],
      ["payload-of-another-device", "frames", frames, encoded({ deviceId: "a" })],
      ["topic-of-another-device", "frames", down.up("a", "frames"), encoded({})],
      ["payload-oversized", "frames", frames, encoded({ jpeg: Buffer.alloc(250_000) })],
      ["record-block-count", "predictions", down.up("d", "predictions"), bomb],
      ["value-out-of-range", "frames", frames, encoded({ confidence: 7 })],
      ["schema-wrong-record", "frames", frames, EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "d" }))],
      ["qos-not-1", "frames", frames, encoded({}), { qos: 2 }],
      ["retained", "frames", frames, encoded({}), { retain: true }],
    ];
    await good(1);
    for (const [i, [, , topic, payload, options]] of cases.entries()) {
      await device.publishAsync(topic, payload, { qos: 1, ...options });
      await good(i + 2);
    }
    const seqs = (await rig.all(topics.frames.name))
      .filter((r) => r.key === "d")
      .map((r) => Number(EdgeFrame.decodeConfluent(r.value as Buffer).seq));
    expect(seqs).toEqual(Array.from({ length: cases.length + 1 }, (_, i) => i + 1));
    const letters = new Map<string, InRecord>();
    for (const stream of ["frames", "predictions", "unknown"] as const) {
      const name = stream === "unknown" ? "edge.unknown.v1" : uplinkStreams[stream].name;
      for (const letter of await rig.all(`${name}.bridge.dlq`)) {
        letters.set(`${stream} ${letter.headers["__connect.errors.exception.class.name"]}`, letter);
      }
    }
    for (const [reason, stream, topic, payload] of cases) {
      const letter = letters.get(`${stream} ${reason}`);
      expect([reason, letter?.key, letter?.headers["tributary.mqtt.topic"]]).toEqual([reason, "d", topic]);
      const kept = reason === "payload-oversized" ? payload.subarray(0, 65_536) : payload;
      expect([reason, letter?.value?.equals(kept)]).toEqual([reason, true]);
      const count = await rig.counted("tributary_bridge_refused_total", `code="${reason}",stream="${stream}"`);
      expect([reason, count]).toEqual([reason, 1]);
    }
    expect(letters.size).toBe(cases.length);
  });

  test("a packet of 12 MiB is a dead letter of its first bytes, acknowledged, and the next frame is stored (G8)", async () => {
    const device = await rig.connected("b");
    const payload = Buffer.alloc(12 * 1024 * 1024, 7);
    const sent = device.publishAsync(down.up("b", "frames"), payload, { qos: 1 });
    const good = EdgeFrame.encodeSingleObject(someFrame({ deviceId: "b", seq: 900n, jpeg }));
    await Promise.all([sent, device.publishAsync(down.up("b", "frames"), good, { qos: 1 })]);
    expect(device.connected).toBe(true);
    const letters = (await rig.all("edge.frames.v1.bridge.dlq")).filter(({ key }) => key === "b");
    expect(letters).toHaveLength(1);
    expect(letters[0]?.value?.equals(payload.subarray(0, 65_536))).toBe(true);
    expect(letters[0]?.headers).toMatchObject({
      "__connect.errors.exception.class.name": "payload-oversized",
      "__connect.errors.value.length": String(payload.length),
      "__connect.errors.value.sha256": createHash("sha256").update(payload).digest("hex"),
      "tributary.mqtt.topic": down.up("b", "frames"),
    });
    const stored = (await rig.all(topics.frames.name)).filter(({ key }) => key === "b");
    expect(EdgeFrame.decodeConfluent(stored.at(-1)?.value as Buffer).seq).toBe(900n);
    expect(await rig.counted("tributary_bridge_refused_total", 'code="payload-oversized",stream="frames"')).toBe(2);
  });

  test("unknown devices, wrong passwords, revoked devices and foreign wills are refused, and a live one is cut when revoked", async () => {
    const refused = async (deviceId: string, options: IClientOptions) => {
      const client = rig.client(deviceId, { reconnectPeriod: 0, ...options });
      return new Promise((resolve) => {
        client.once("error", (error) => resolve((error as { code?: number }).code));
        client.once("close", () => resolve("closed"));
        client.once("connect", () => resolve("connected"));
      });
    };
    expect(await refused("unknown", {})).toBe(5);
    expect(await refused("a", { password: "wrong" })).toBe(5); // as for an unknown device: the answer reveals no names
    expect(await refused("a", { username: "b" })).toBe(2);
    expect(await refused("revoked", {})).toBe(5);
    const will = { topic: down.up("b", "frames"), payload: Buffer.from("x"), qos: 1 as const, retain: false };
    expect(await refused("a", { will })).toBe(5);
    const device = await rig.connected("c", { reconnectPeriod: 0 });
    const closed = new Promise((resolve) => device.once("close", () => resolve(undefined)));
    await rig.register("c", "REVOKED");
    await closed;
    expect(await refused("c", {})).toBe(5);
  });

  test("a device can subscribe to its own downlink only", async () => {
    const device = await rig.connected("a");
    for (const filter of [
      "#",
      "$SYS/#",
      "tributary/#",
      "tributary/v1/+/down/#",
      "tributary/v1/b/down/#",
      down.up("a", "frames"),
    ]) {
      const granted = await device.subscribeAsync(filter, { qos: 1 }).then(
        (grants) => grants[0]?.qos,
        () => 128,
      );
      expect([filter, granted]).toEqual([filter, 128]);
    }
  });

  test("whatever bytes arrive, the bridge stands and serves the next device", async () => {
    const packet = (fields: object) => mqttPacket.generate(fields as Parameters<typeof mqttPacket.generate>[0]);
    const hello = packet({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: false,
      clientId: "d",
      username: "d",
      password: Buffer.from("d"),
      keepalive: 5,
    });
    const more = [
      packet({ cmd: "subscribe", messageId: 7, subscriptions: [{ topic: "tributary/v1/d/down/#", qos: 2 }] }),
      packet({ cmd: "publish", topic: "tributary/v1/d/up/frames", payload: Buffer.alloc(90), qos: 2, messageId: 3 }),
      packet({ cmd: "publish", topic: "a/".repeat(200), payload: Buffer.alloc(9), qos: 1, messageId: 4 }),
      packet({ cmd: "pubrel", messageId: 9 }),
      packet({ cmd: "unsubscribe", messageId: 8, unsubscriptions: ["x"] }),
      packet({ cmd: "pingreq" }),
    ];
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const pick = Array.from({ length: 3 }, () => more[Math.floor(random() * more.length)] as Buffer);
      const bytes = Buffer.concat(random() < 0.8 ? [hello, ...pick] : [randomBytesOf(random, 200)]);
      const hits = Math.floor(random() * 6);
      for (let i = 0; i < hits; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      await new Promise<void>((resolve) => {
        const socket = connect(rig.port, "127.0.0.1", () => {
          socket.write(bytes);
          setTimeout(() => socket.destroy(), random() * 10);
        });
        socket.on("error", () => {});
        socket.on("data", () => {});
        socket.on("close", () => resolve());
      });
    }
    const device = await rig.connected("a");
    const payload = EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "a", seq: 77n }));
    await device.publishAsync(down.up("a", "predictions"), payload, { qos: 1 });
    const clients = await waitFor(
      async () => /tributary_bridge_connections (\d+)/.exec(await rig.telemetry.metrics()),
      {
        what: "metrics",
      },
    );
    expect(Number(clients[1])).toBeLessThan(10);
    await waitFor(async () => (await rig.telemetry.metrics()).includes("tributary_bridge_in_flight_bytes 0"), {
      what: "every grant to be released",
    });
  });

  test("a second connection of a device takes over, and the first ends", async () => {
    const first = await rig.connected("b", { reconnectPeriod: 0 });
    const closed = new Promise((resolve) => first.once("close", () => resolve(undefined)));
    const second = await rig.connected("b", { reconnectPeriod: 0 });
    await closed;
    const payload = EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "b", seq: 901n }));
    await second.publishAsync(down.up("b", "predictions"), payload, { qos: 1 });
    await second.endAsync();
  });

  test("a device gets the policy of its model when it subscribes, at each change, requests to check, and the answers of its sent frames", async () => {
    const device = await rig.connected("b", {
      will: { topic: down.availability("b"), payload: Buffer.from("offline"), qos: 1, retain: true },
    });
    const received: [string, string][] = [];
    device.on("message", (topic, payload) => {
      if (topic === down.policy("b"))
        received.push(["policy", RoutingPolicy.decodeSingleObject(payload).policyVersion]);
      if (topic === down.results("b")) {
        const { answers } = Classifications.decodeSingleObject(payload);
        received.push(["results", answers.map((answer) => answer.frameSeq).join()]);
      }
      if (topic === down.check("b")) received.push(["check", String(payload)]);
    });
    const policy = (policyVersion: string, createdAt: number) =>
      rig.sink.send([
        {
          topic: topics.policies.name,
          key: policyKey("m1", "default"),
          value: RoutingPolicy.encodeConfluent(somePolicy({ modelDigest: "m1", policyVersion, createdAt })),
        },
      ]);
    const until = (n: number) => waitFor(() => received.length >= n, { what: `${n} messages` });
    await device.subscribeAsync("tributary/v1/b/down/#", { qos: 1 });
    await device.publishAsync(down.availability("b"), "online", { qos: 1, retain: true });
    const reported: DeviceReported = {
      deviceId: "b",
      bootId: 7n,
      seq: 1n,
      agentVersion: "1",
      hardwareClass: "x64",
      clockState: "SYNCHRONIZED",
      generation: 0n,
      slots: { perception: { modelDigest: "m1", modelName: "m", modelVersion: "1" } },
      policyVersion: "",
      acceptedSchemas: [],
      cameras: [],
      update: null,
      goldenPassed: null,
      golden: null,
      driving: null,
    };
    await device.publishAsync(down.up("b", "reported"), uplinkStreams.reported.codec.encodeSingleObject(reported), {
      qos: 1,
    });
    await until(1);
    await policy("second", 1_800_000_000_000);
    await until(2);
    const answers = [someAnswer({ frameSeq: 1n }), someAnswer({ frameSeq: 2n, reason: "AMBIGUOUS" })];
    const value = Classifications.encodeConfluent({ deviceId: "b", bootId: 7n, answers });
    await rig.sink.send([{ topic: topics.classifications.name, key: "b", value }]);
    await until(3);
    await rig.register("b", "ACTIVE", 1_800_000_000_001); // The session stays.
    await until(4);
    expect(received).toEqual([
      ["policy", "first"],
      ["policy", "second"],
      ["results", "2"],
      ["check", "1800000000001"],
    ]);
    // A restart loses nothing: retained messages come from Kafka.
    await rig.bridge?.close();
    await rig.start();
    const again = await rig.connected("b");
    const retained = new Promise<[Buffer, boolean]>((resolve) =>
      again.once("message", (_, payload, packet) => resolve([payload, packet.retain])),
    );
    await again.subscribeAsync(down.policy("b"), { qos: 1 });
    const [payload, isRetained] = await retained;
    expect(RoutingPolicy.decodeSingleObject(payload).policyVersion).toBe("second");
    expect(isRetained).toBe(true);
    const check = new Promise((resolve) => again.once("message", (_, bytes) => resolve(String(bytes))));
    await again.subscribeAsync(down.check("b"), { qos: 1 });
    expect(await check).toBe("1800000000001");
  });
});

test("a desired state is retained, published at each change, kept over a restart, and cleared by a tombstone", async () => {
  const rig = new Rig(testKafka());
  try {
    await rig.prepare();
    await Promise.all([rig.register("new"), rig.register("old")]);
    const want = (deviceId: string, generation: bigint) =>
      rig.sink.send([
        {
          topic: topics.desired.name,
          key: deviceId,
          value: DeviceDesired.encodeConfluent(someDesired({ deviceId, generation })),
        },
      ]);
    await Promise.all([want("new", 1n), want("old", 1n)]);
    await rig.start();
    const heard: Record<string, string[]> = { new: [], old: [] };
    const join = async (deviceId: string) => {
      const device = await rig.connected(deviceId, { reconnectPeriod: 0 });
      device.on("message", (topic, payload) => {
        if (topic !== down.desired(deviceId)) return;
        heard[deviceId]?.push(
          payload.length === 0 ? "none" : `${DeviceDesired.decodeSingleObject(payload).generation}`,
        );
      });
      await device.subscribeAsync(`tributary/v1/${deviceId}/down/#`, { qos: 1 });
      const acceptedSchemas = deviceId === "new" ? [DeviceDesired.current.fingerprint] : [];
      const report = someReported({ deviceId, acceptedSchemas });
      const payload = uplinkStreams.reported.codec.encodeSingleObject(report);
      await device.publishAsync(down.up(deviceId, "reported"), payload, { qos: 1 });
    };
    const until = (n: number) => waitFor(() => heard.new?.length === n, { what: `${n} desired states` });
    await Promise.all([join("new"), join("old")]);
    await until(1);
    await want("new", 2n);
    await until(2);
    await want("new", 2n); // The same bytes are not published again.
    await rig.bridge?.close();
    await rig.start();
    await join("new");
    await until(3);
    await rig.sink.send([{ topic: topics.desired.name, key: "new", value: null }]);
    await until(4);
    expect(heard).toEqual({ new: ["1", "2", "2", "none"], old: [] });
  } finally {
    await rig.stop();
  }
});

test("a device in an experiment gets the policy that its desired state names, whatever arrives first, and over a restart", async () => {
  const rig = new Rig(testKafka());
  try {
    await rig.prepare();
    await rig.register("arm");
    const policyOf = (policyVersion: string, modelDigest = "m1") =>
      RoutingPolicy.encodeConfluent(somePolicy({ modelDigest, policyVersion }));
    const send = (topic: string, key: string, value: Buffer | null) => rig.sink.send([{ topic, key, value }]);
    const name = (policyVersion: string, isKnown = true) =>
      send(topics.policyVersions.name, policyVersion, isKnown ? policyOf(policyVersion) : null);
    let generation = 0n;
    const desire = (policyVersion: string | null, arm: string) =>
      send(
        topics.desired.name,
        "arm",
        DeviceDesired.encodeConfluent(someDesired({ deviceId: "arm", generation: ++generation, policyVersion, arm })),
      );
    await send(topics.policies.name, policyKey("m1", "default"), policyOf("in-force"));
    await send(topics.policies.name, policyKey("m2", "default"), policyOf("of-m2", "m2"));
    await name("v1");
    await rig.start();
    const heard: string[] = [];
    const until = (n: number) => waitFor(() => heard.length >= n, { what: `${n} messages` });
    const join = async () => {
      const device = await rig.connected("arm", { reconnectPeriod: 0 });
      device.on("message", (topic, payload) => {
        if (topic === down.policy("arm")) heard.push(RoutingPolicy.decodeSingleObject(payload).policyVersion);
        else if (topic === down.desired("arm")) heard.push(DeviceDesired.decodeSingleObject(payload).arm);
      });
      await device.subscribeAsync([down.policy("arm"), down.desired("arm")], { qos: 1 });
      const report = (modelDigest: string, seq: bigint) => {
        const slots = { perception: { modelDigest, modelName: "m", modelVersion: "1" } };
        const acceptedSchemas = [DeviceDesired.current.fingerprint];
        const payload = someReported({ deviceId: "arm", bootId: 1n, seq, slots, acceptedSchemas });
        return device.publishAsync(
          down.up("arm", "reported"),
          uplinkStreams.reported.codec.encodeSingleObject(payload),
          { qos: 1 },
        );
      };
      return report;
    };
    const report = await join();
    await report("m1", 1n);
    await until(1);
    await desire("v1", "b"); // The version is known: policy, then arm.
    await until(3);
    await desire("v2", "c"); // It is not known: the policy in force, until it is.
    await until(5);
    await name("v2");
    await until(6);
    await report("m2", 2n); // The named policy is of another model.
    await until(7);
    await report("m1", 3n);
    await until(8);
    await rig.bridge?.close();
    await rig.start();
    await join();
    await until(10);
    await name("v2", false);
    await until(11);
    await desire(null, "default");
    await until(12);
    expect(heard).toEqual([
      "in-force",
      ...["v1", "b"],
      ...["in-force", "c"],
      "v2",
      "of-m2",
      "v2",
      ...["v2", "c"],
      "in-force",
      "default",
    ]);
  } finally {
    await rig.stop();
  }
});

test("what routers have not read is not acknowledged beyond what Kafka keeps; the device that has most waits first, all connected, and everything is stored later, in order (G1, G3, G13)", async () => {
  const rig = new Rig(testKafka());
  try {
    await rig.prepare({ partitions: 1, retentionBytes: 4 * 1_024 * 1_024 });
    await Promise.all(["a", "b"].map((id) => rig.register(id)));
    await rig.start();
    const [greedy, modest] = await Promise.all(["a", "b"].map((id) => rig.connected(id, { keepalive: 6 })));
    const frame = Buffer.concat([await someJpeg(), Buffer.alloc(100_000)]);
    const acknowledged = { a: 0, b: 0 };
    const send = (device: MqttClient | undefined, deviceId: "a" | "b", n: number, jpeg: Buffer) =>
      device
        ?.publishAsync(
          down.up(deviceId, "frames"),
          EdgeFrame.encodeSingleObject(someFrame({ deviceId, seq: BigInt(n), jpeg })),
          { qos: 1 },
        )
        .then(() => acknowledged[deviceId]++);
    const sent = Array.from({ length: 60 }, (_, i) => send(greedy, "a", i + 1, frame)); // 6 MB; Kafka keeps 4
    await waitFor(() => rig.bridge?.degraded, { what: "a partition that is scarce" });
    let closed = 0;
    for (const device of [greedy, modest]) device?.on("close", () => closed++);
    for (let n = 61; n <= 160; n++) sent.push(send(greedy, "a", n, await someJpeg())); // several in one read
    for (let n = 1; n <= 5; n++) await send(modest, "b", n, await someJpeg());
    const other = EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "a", seq: 1n }));
    await greedy?.publishAsync(down.up("a", "predictions"), other, { qos: 1 });
    await new Promise((resolve) => setTimeout(resolve, 10_000)); // a keep-alive that is not read ends the session after 9 s
    expect([closed, acknowledged.b]).toEqual([0, 5]);
    expect(acknowledged.a * frame.length).toBeLessThanOrEqual(0.5 * 4 * 1_024 * 1_024);
    expect(acknowledged.a).toBeGreaterThan(10);
    expect(await rig.counted("tributary_bridge_retention_held_total", 'topic="edge.frames.v1"')).toBeGreaterThan(10);
    expect((await rig.all(topics.frames.name)).length).toBe(acknowledged.a + 5);
    const router = rig.router();
    const running = router.run(({ records }) => Promise.resolve({ processed: records.length }));
    await Promise.all(sent);
    await router.close();
    await running;
    const stored = (await rig.all(topics.frames.name)).filter(({ key }) => key === "a");
    const seqs = stored.map(({ value }) => Number(EdgeFrame.decodeConfluent(value as Buffer).seq));
    expect([...new Set(seqs)]).toEqual(Array.from({ length: 160 }, (_, i) => i + 1));
    await waitFor(() => rig.bridge?.degraded === undefined, { what: "open partitions" });
  } finally {
    await rig.stop();
  }
});

test("while Kafka is unavailable nothing is acknowledged and little is buffered; afterwards everything is stored, in order (G1, G3, G9)", async () => {
  const { startKafka } = (await import(new URL("../../../tools/kafka.mjs", import.meta.url).href)) as {
    startKafka: (
      options: object,
    ) => Promise<{ brokers: string; port: number; controllerPort: number; stop: (o?: object) => Promise<void> }>;
  };
  const dir = tempDir("bridge-kafka");
  const options = { dataDir: join(dir.path, "kafka"), heapMb: 256 };
  let node = await startKafka(options);
  const rig = new Rig({ brokers: [node.brokers], prefix: "t." });
  try {
    await rig.prepare();
    await rig.register("a");
    const inFlightBytesMax = 1_000_000;
    await rig.start({
      limits: { inFlightBytesMax, clientBytesMax: inFlightBytesMax, packetBytesMax: 500_000, frameBytesMax: 200_000 },
    });
    const device = await rig.connected("a", { keepalive: 2 });
    const jpeg = Buffer.concat([await someJpeg(), Buffer.alloc(20_000)]);
    const count = 200; // 4.6 MB
    let acknowledged = 0;
    const send = (n: number) =>
      device
        .publishAsync(
          down.up("a", "frames"),
          EdgeFrame.encodeSingleObject(someFrame({ deviceId: "a", seq: BigInt(n), jpeg })),
          { qos: 1 },
        )
        .then(() => acknowledged++);
    await send(1);
    await node.stop();
    const all = Promise.all(Array.from({ length: count - 1 }, (_, i) => send(i + 2)));
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(acknowledged).toBe(1);
    const held = Number(/tributary_bridge_in_flight_bytes (\d+)/.exec(await rig.telemetry.metrics())?.[1]);
    expect(held).toBeGreaterThan(0);
    expect(held).toBeLessThanOrEqual(inFlightBytesMax);
    node = await startKafka({ ...options, port: node.port, controllerPort: node.controllerPort });
    await all;
    const seqs = (await rig.all(topics.frames.name)).map((r) =>
      Number(EdgeFrame.decodeConfluent(r.value as Buffer).seq),
    );
    const firsts = [...new Set(seqs)];
    expect(firsts).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  } finally {
    await rig.stop();
    await node.stop({ graceMs: 1_000 });
    dir.remove();
  }
});
