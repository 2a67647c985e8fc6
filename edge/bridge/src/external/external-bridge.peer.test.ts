/** Bridges behind a real Mosquitto with the configuration and rules that deploy/mosquitto ships, and behind unsuitable
 * brokers. */
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  DeviceAcks,
  DeviceDesired,
  type DeviceReported,
  EdgeFrame,
  EdgePredictions,
  mqttTopics,
  RoutingPolicy,
  topics,
} from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type InRecord,
  KafkajsAdmin,
  KafkajsSource,
  KafkaReader,
  PlatformaticSink,
  type RecordSink,
  readTopic,
} from "@tributary/kafka";
import { Failure, seededRandom, systemClock } from "@tributary/kernel";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";
import {
  type Mosquitto,
  someAnswer,
  someDesired,
  someFrame,
  someJpeg,
  somePolicy,
  somePredictions,
  someRegistration,
  someReported,
  startMosquitto,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { Aedes } from "aedes";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import mqttPacket, { type Packet } from "mqtt-packet";
import { bridgeConfigSchema } from "../config.ts";
import { ExternalBridge } from "./external-bridge.ts";
import { externalSettings } from "./settings.ts";

const names = mqttTopics();
const users = Object.fromEntries(
  ["bridge-1", "bridge-2", "probe", "cam-1", "cam-2", "cam-3"].map((name) => [name, `pw-${name}`]),
);
const dir = tempDir("mosquitto");
const { brokers, prefix } = testKafka();
const kafka = { brokers: [...brokers], prefix };
const reader = new KafkaReader({ ...kafka, clientId: "test-reader" });
const sink = new PlatformaticSink({ ...kafka, clientId: "test-sink" });
let broker: Mosquitto;
let jpeg: Buffer;
const clients: MqttClient[] = [];
const running = new Set<ExternalBridge>();
let groups = 0;

type Rig = { readonly bridge: ExternalBridge; readonly telemetry: Telemetry; counted(name: string): Promise<number> };

function bridgeOf(settings: object, wrap: (sink: RecordSink) => RecordSink = (one) => one): Rig {
  const config = bridgeConfigSchema.parse({
    kafka,
    mqtt: { mode: "external", backoff: { minMs: 50, maxMs: 200 }, ackDelayMs: 20, ...settings },
    limits: { startMsMax: 3_000 },
  });
  const telemetry = createTelemetry({ service: "bridge", level: "silent", defaultMetrics: false });
  const bridge = new ExternalBridge({
    config,
    sink: wrap(new PlatformaticSink({ ...kafka, clientId: "bridge", deliveryMsMax: 10_000 })),
    reader: new KafkaReader({ ...kafka, clientId: "bridge" }),
    answers: new KafkajsSource({
      ...kafka,
      clientId: "bridge",
      // Its own: one that was closed while it joined would delay the next.
      group: `bridge-downlink-${groups++}`,
      topics: [topics.classifications.name],
    }),
    clock: systemClock,
    random: seededRandom(1),
    telemetry,
    onCrash: (error) => {
      throw error;
    },
  });
  running.add(bridge);
  const counted = async (name: string) => {
    const line = (await telemetry.metrics()).split("\n").find((l) => l.startsWith(name) && !l.startsWith("#"));
    return Number(line?.split(" ").at(-1) ?? 0);
  };
  return { bridge, telemetry, counted };
}

const secured = (user = "bridge-1") => ({
  url: broker.url,
  username: user,
  password: users[user],
  probe: { username: "probe", password: users.probe },
});

async function startBridge(...how: Parameters<typeof bridgeOf>): Promise<Rig> {
  const rig = bridgeOf(...how);
  await rig.bridge.start();
  return rig;
}

async function closeBridge({ bridge }: Pick<Rig, "bridge">): Promise<void> {
  running.delete(bridge);
  await bridge.close();
}

async function device(name: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = mqtt.connect(broker.url, {
    clientId: name,
    username: name,
    password: users[name] ?? "",
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options,
  });
  clients.push(client);
  client.on("error", () => {});
  await new Promise((resolve) => client.once("connect", resolve));
  return client;
}

const all = (topic: string): Promise<InRecord[]> => Array.fromAsync(readTopic(reader, topic));

/** Seqs of the device's frames that Kafka has, each as often as it is there. */
async function storedFrames(deviceId: string): Promise<bigint[]> {
  const records = (await all(topics.frames.name)).filter(({ key }) => key === deviceId);
  return records.map(({ value }) => EdgeFrame.decodeConfluent(value as Buffer).seq).sort((a, b) => Number(a - b));
}

const frameOf = (deviceId: string, seq: bigint, more: object = {}) =>
  EdgeFrame.encodeSingleObject(someFrame({ deviceId, bootId: 5n, seq, frameSeq: seq, jpeg, ...more }));

/** What down/acks names for a device, as it comes. */
async function acksOf(client: MqttClient, deviceId: string): Promise<DeviceAcks[]> {
  const acks: DeviceAcks[] = [];
  client.on("message", (topic, payload) => {
    if (topic === names.acks(deviceId)) acks.push(DeviceAcks.decodeSingleObject(payload));
  });
  await client.subscribeAsync(names.acks(deviceId), { qos: 1 });
  return acks;
}
const seqsOf = (acks: readonly DeviceAcks[], stream: string): bigint[] =>
  acks
    .filter((one) => one.stream === stream)
    .flatMap(({ ranges }) =>
      ranges.flatMap(({ first, last }) =>
        Array.from({ length: Number(last - first) + 1 }, (_, i) => first + BigInt(i)),
      ),
    )
    .sort((a, b) => Number(a - b));

/** The final answer that a bridge publishes; the frame is sent until some bridge of the group publishes one. */
async function publishedAnswer(cam: MqttClient, deviceId: string): Promise<unknown> {
  const answers: unknown[] = [];
  cam.on("message", (topic, payload) => {
    if (topic === names.resultsJson(deviceId)) answers.push(JSON.parse(payload.toString()));
  });
  await cam.subscribeAsync(names.resultsJson(deviceId), { qos: 1 });
  const answer = { deviceId, bootId: 0n, answers: [someAnswer({ label: "dog", reason: "FALLBACK" })] };
  const value = topics.classifications.codec.encodeConfluent(answer);
  await waitFor(
    async () => {
      await sink.send([{ topic: topics.classifications.name, key: deviceId, value }]);
      return answers.length > 0;
    },
    { what: "an answer", everyMs: 500 },
  );
  return answers[0];
}

beforeAll(async () => {
  jpeg = await someJpeg();
  const admin = new KafkajsAdmin({ ...kafka, clientId: "test-admin" });
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  broker = await startMosquitto({ dir: dir.path, users });
});

afterAll(async () => {
  for (const client of clients) client.end(true);
  await Promise.all([...running].map((bridge) => bridge.close()));
  await Promise.all([broker.stop(), reader.close(), sink.close()]);
  dir.remove();
});

describe("behind Mosquitto with the shipped rules", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startBridge(secured());
  });
  afterAll(() => closeBridge(rig));

  test("the probe was refused", async () => {
    expect(await rig.counted("tributary_bridge_rogue_probes_total")).toBe(1);
    expect(await rig.counted("tributary_bridge_rogue_allowed_total")).toBe(0);
    expect(await broker.logged(/Denied PUBLISH from probe .*tributary\/v1\/rogue-/)).toBe(true);
  });

  test("down/acks names exactly what Kafka has, dead letters included", async () => {
    const cam = await device("cam-1");
    const acks = await acksOf(cam, "cam-1");
    for (const seq of [1n, 2n, 4n])
      await cam.publishAsync(names.up("cam-1", "frames"), frameOf("cam-1", seq), { qos: 1 });
    const corrupt = frameOf("cam-1", 3n, { jpeg: Buffer.from("not a picture") });
    await cam.publishAsync(names.up("cam-1", "frames"), corrupt, { qos: 1 });
    await cam.publishAsync(names.up("cam-1", "frames"), Buffer.from("not Avro"), { qos: 1 });
    const batch = EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "cam-1", bootId: 5n, seq: 1n }));
    await cam.publishAsync(names.up("cam-1", "predictions"), batch, { qos: 1 });
    await waitFor(() => seqsOf(acks, "frames").length === 4 && seqsOf(acks, "predictions").length === 1, {
      what: "acknowledgements",
    });
    expect(seqsOf(acks, "frames")).toEqual([1n, 2n, 3n, 4n]);
    expect(await storedFrames("cam-1")).toEqual([1n, 2n, 4n]);
    expect(acks.every(({ deviceId, bootId }) => deviceId === "cam-1" && bootId === 5n)).toBe(true);
    expect(await rig.counted('tributary_bridge_refused_total{code="jpeg-corrupt"')).toBe(1);
  });

  test("a payload that the broker does not take is acknowledged and dropped, one that the bridge does not take is a dead letter", async () => {
    const cam = await device("cam-1", { protocolVersion: 4 });
    const acks = await acksOf(cam, "cam-1");
    const frames = names.up("cam-1", "frames");
    for (const [bytes, seq] of [
      [9 << 20, 11n],
      [7 << 20, 12n],
    ] as const) {
      await cam.publishAsync(frames, frameOf("cam-1", seq, { jpeg: Buffer.alloc(bytes) }), { qos: 1 });
    }
    await cam.publishAsync(frames, frameOf("cam-1", 13n), { qos: 1 });
    await waitFor(() => seqsOf(acks, "frames").length === 2, { what: "acknowledgements" });
    expect(seqsOf(acks, "frames")).toEqual([12n, 13n]);
    expect(await broker.logged("Dropped too large PUBLISH from cam-1")).toBe(true);
    expect(await rig.counted('tributary_bridge_refused_total{code="payload-oversized"')).toBe(1);
    expect(cam.connected).toBe(true);
  });

  test("each rogue is refused and counted, and its legitimate twin succeeds", async () => {
    const victim = await device("cam-2");
    const rogue = await device("cam-3");
    const heard: string[] = [];
    rogue.on("message", (topic) => heard.push(topic));
    // Another's topic.
    await expect(rogue.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", 1n), { qos: 1 })).rejects.toThrow(
      /not authorized/i,
    );
    expect(await broker.logged(/Denied PUBLISH from cam-3 .*tributary\/v1\/cam-2\/up\/frames/)).toBe(true);
    await victim.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", 1n), { qos: 1 });
    // Another's id in its own topic.
    await rogue.publishAsync(names.up("cam-3", "frames"), frameOf("cam-2", 9n), { qos: 1 });
    await waitFor(
      async () => (await rig.counted('tributary_bridge_refused_total{code="payload-of-another-device"')) === 1,
      { what: "the refusal" },
    );
    await rogue.publishAsync(names.up("cam-3", "frames"), frameOf("cam-3", 1n), { qos: 1 });
    // Another's id at the broker: it is called by its user's name there.
    const asVictim = await device("cam-3", { clientId: "cam-2" });
    await victim.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", 2n), { qos: 1 });
    expect(victim.connected).toBe(true);
    // Everything, the broker's own, and another's downlink: nothing of it arrives.
    asVictim.on("message", (topic) => heard.push(topic));
    for (const filter of ["#", "$SYS/#", names.acks("cam-2"), "$share/tributary/tributary/v1/+/up/#"]) {
      await asVictim.subscribeAsync(filter, { qos: 1 }).catch(() => {});
    }
    const acks = await acksOf(victim, "cam-2");
    await victim.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", 3n), { qos: 1 });
    await waitFor(() => seqsOf(acks, "frames").includes(3n), { what: "the victim's own acknowledgement" });
    await asVictim.publishAsync(names.up("cam-3", "frames"), frameOf("cam-3", 2n), { qos: 1 });
    // Its first message may be the acknowledgement of the frame before.
    await waitFor(async () => (await storedFrames("cam-3")).length === 2, { what: "the rogue's own frame" });
    await waitFor(() => heard.includes(names.acks("cam-3")), { what: "the rogue's own acknowledgement" });
    expect(heard.filter((topic) => topic !== names.acks("cam-3"))).toEqual([]);
    expect(await storedFrames("cam-2")).toEqual([1n, 2n, 3n]);
    expect(await storedFrames("cam-3")).toEqual([1n, 2n]);
  });

  test("a device the registry has revoked is refused here too, and welcome again when it is active", async () => {
    const register = (status: "ACTIVE" | "REVOKED") => {
      const value = topics.registry.codec.encodeConfluent(someRegistration({ deviceId: "cam-2", status }));
      return sink.send([{ topic: topics.registry.name, key: "cam-2", value }]);
    };
    const cam = await device("cam-2");
    await register("REVOKED");
    let seq = 100n;
    await waitFor(
      async () => {
        await cam.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", seq++), { qos: 1 });
        return (await rig.counted('tributary_bridge_refused_total{code="device-revoked"')) > 0;
      },
      { what: "the refusal", everyMs: 100 },
    );
    await register("ACTIVE");
    const before = (await storedFrames("cam-2")).length;
    await waitFor(
      async () => {
        await cam.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", seq++), { qos: 1 });
        return (await storedFrames("cam-2")).length > before;
      },
      { what: "its frame", everyMs: 100 },
    );
  });

  test("a device that speaks only JSON is served here too", async () => {
    const cam = await device("cam-3");
    const photo = JSON.stringify({ image: jpeg.toString("base64") });
    const before = (await storedFrames("cam-3")).length;
    await cam.publishAsync(names.upJson("cam-3", "frames"), photo, { qos: 1 });
    await waitFor(async () => (await storedFrames("cam-3")).length === before + 1, { what: "its frame" });
    expect(await publishedAnswer(cam, "cam-3")).toMatchObject({ deviceId: "cam-3", label: "dog" });
  });

  test("policies are retained and answers published, by the bridge that has the device's partition", async () => {
    const cam = await device("cam-1");
    const policies: Buffer[] = [];
    const answers: string[] = [];
    cam.on("message", (topic, payload) => {
      if (topic === names.policy("cam-1") && payload.length > 0) policies.push(payload);
      if (topic !== names.results("cam-1")) return;
      for (const { label } of topics.classifications.codec.decodeSingleObject(payload).answers) answers.push(label);
    });
    await cam.subscribeAsync([names.policy("cam-1"), names.results("cam-1")], { qos: 1 });
    const policy = somePolicy({ policyVersion: "b".repeat(64) });
    const reported = topics.reported.codec.encodeConfluent({
      deviceId: "cam-1",
      bootId: 5n,
      seq: 1n,
      agentVersion: "1",
      hardwareClass: "x64",
      generation: 0n,
      slots: { perception: { modelDigest: policy.modelDigest, modelName: "m", modelVersion: "1" } },
      policyVersion: "",
      clockState: "UNSYNCHRONIZED",
      acceptedSchemas: [RoutingPolicy, topics.classifications.codec, DeviceAcks].flatMap(({ versions }) =>
        versions.map(({ fingerprint }) => fingerprint),
      ),
      cameras: ["cam"],
    } as unknown as DeviceReported);
    const value = topics.policies.codec.encodeConfluent(policy);
    await sink.send([{ topic: topics.reported.name, key: "cam-1", value: reported }]);
    await sink.send([{ topic: topics.policies.name, key: `${policy.modelDigest}|default`, value }]);
    await waitFor(() => policies.length > 0, { what: "the policy" });
    expect(RoutingPolicy.decodeSingleObject(policies[0] as Buffer).policyVersion).toBe(policy.policyVersion);
    const answer = { deviceId: "cam-1", bootId: 5n, answers: [someAnswer({ label: "dog", reason: "AMBIGUOUS" })] };
    const answered = topics.classifications.codec.encodeConfluent(answer);
    await sink.send([{ topic: topics.classifications.name, key: "cam-1", value: answered }]);
    await waitFor(() => answers.length > 0, { what: "the answer" });
    expect(answers).toEqual(["dog"]);
    const named = topics.policyVersions.codec.encodeConfluent(somePolicy({ policyVersion: "c".repeat(64) }));
    const desired = someDesired({ deviceId: "cam-1", policyVersion: "c".repeat(64), arm: "b" });
    await sink.send([
      { topic: topics.desired.name, key: "cam-1", value: DeviceDesired.encodeConfluent(desired) },
      { topic: topics.policyVersions.name, key: "c".repeat(64), value: named },
    ]);
    const newest = () => RoutingPolicy.decodeSingleObject(policies.at(-1) as Buffer).policyVersion;
    await waitFor(() => newest() === "c".repeat(64), { what: "the policy that its desired state names" });
    await sink.send([{ topic: topics.desired.name, key: "cam-1", value: null }]);
    await waitFor(() => newest() === policy.policyVersion, { what: "the policy in force" });
    const later = await device("cam-1", { clientId: "again" });
    const retained = new Promise<boolean>((resolve) => later.on("message", (_, __, packet) => resolve(packet.retain)));
    await later.subscribeAsync(names.policy("cam-1"), { qos: 1 });
    expect(await retained).toBe(true);
  });

  test("a desired state is retained, and cleared by a tombstone or when the device is revoked (downlink-group.ts X1, X3)", async () => {
    const cam = await device("cam-2");
    const heard: string[] = [];
    cam.on("message", (_, payload) => {
      heard.push(payload.length === 0 ? "none" : `${DeviceDesired.decodeSingleObject(payload).generation}`);
    });
    await cam.subscribeAsync(names.desired("cam-2"), { qos: 1 });
    const want = (generation: bigint | null) =>
      sink.send([
        {
          topic: topics.desired.name,
          key: "cam-2",
          value:
            generation === null ? null : DeviceDesired.encodeConfluent(someDesired({ deviceId: "cam-2", generation })),
        },
      ]);
    const last = (what: string) => waitFor(() => heard.at(-1) === what, { what });
    await want(5n);
    const acceptedSchemas = [DeviceDesired.current.fingerprint];
    const value = topics.reported.codec.encodeConfluent(someReported({ deviceId: "cam-2", acceptedSchemas }));
    await sink.send([{ topic: topics.reported.name, key: "cam-2", value }]);
    await last("5");
    await want(6n);
    await last("6");
    await want(null);
    await last("none");
    await want(7n);
    await last("7");
    const revoked = topics.registry.codec.encodeConfluent(someRegistration({ deviceId: "cam-2", status: "REVOKED" }));
    await sink.send([{ topic: topics.registry.name, key: "cam-2", value: revoked }]);
    await last("none");
    const active = topics.registry.codec.encodeConfluent(someRegistration({ deviceId: "cam-2" }));
    await sink.send([{ topic: topics.registry.name, key: "cam-2", value: active }]);
    await last("7");
  });
});

test("a message that Kafka does not take is not acknowledged, and is delivered again", async () => {
  let failures = 2;
  const taken = new Set<bigint>();
  const rig = await startBridge(secured(), (inner) => ({
    send: async (records) => {
      if (failures-- > 0) throw new Failure("kafka-away", "retry", "for a moment");
      const offsets = await inner.send(records);
      for (const { topic, value } of records)
        if (topic === topics.frames.name) taken.add(EdgeFrame.decodeConfluent(value as Buffer).seq);
      return offsets;
    },
    close: () => inner.close(),
  }));
  const ofThese = (all: readonly bigint[]) => [...new Set(all)].filter((seq) => seq >= 1_000n && seq < 2_000n);
  const cam = await device("cam-3");
  const acks = await acksOf(cam, "cam-3");
  const untaken: bigint[] = [];
  cam.on("message", () => untaken.push(...ofThese(seqsOf(acks, "frames")).filter((seq) => !taken.has(seq))));
  const seqs = Array.from({ length: 300 }, (_, i) => BigInt(i + 1_000));
  await Promise.all(
    seqs.map((seq) => cam.publishAsync(names.up("cam-3", "frames"), frameOf("cam-3", seq), { qos: 1 })),
  );
  await waitFor(async () => ofThese(await storedFrames("cam-3")).length === seqs.length, {
    what: "all of them",
    everyMs: 200,
  });
  // Acknowledgements in flight when the connection ended are dropped, and a device sends again.
  await waitFor(() => ofThese(seqsOf(acks, "frames")).length > 0, { what: "acknowledgements" });
  expect(untaken).toEqual([]);
  expect(await rig.counted("tributary_bridge_store_failed_total")).toBeGreaterThan(0);
  expect(await rig.counted("tributary_bridge_broker_connects_total")).toBeGreaterThan(1);
  await closeBridge(rig);
});

test("a restarted bridge gets the messages of its session, more than it takes at once", async () => {
  const settings = { ...secured("bridge-2"), receiveMaximum: 16 };
  const { mqtt } = bridgeConfigSchema.parse({ kafka, mqtt: { mode: "external", ...settings } });
  const died = await device("bridge-2", { clean: false, properties: { sessionExpiryInterval: 600 } });
  await died.subscribeAsync(`$share/${externalSettings(mqtt).shareName}/tributary/v1/+/up/#`, { qos: 1 });
  died.end(true);
  const cam = await device("cam-1");
  const acks = await acksOf(cam, "cam-1");
  const seqs = Array.from({ length: 600 }, (_, i) => BigInt(i + 20_000));
  await Promise.all(
    seqs.map((seq) => cam.publishAsync(names.up("cam-1", "frames"), frameOf("cam-1", seq), { qos: 1 })),
  );
  const rig = await startBridge(settings);
  await waitFor(() => seqsOf(acks, "frames").length >= seqs.length, { what: "all that waited" });
  expect((await storedFrames("cam-1")).filter((seq) => seq >= 20_000n && seq < 30_000n)).toEqual(seqs);
  expect(await rig.counted("tributary_bridge_broker_connects_total")).toBe(1);
  await closeBridge(rig);
});

test("two bridges share the messages, and the other takes the part of one that leaves", async () => {
  const [one, two] = await Promise.all([startBridge(secured("bridge-1")), startBridge(secured("bridge-2"))]);
  const cam = await device("cam-2");
  const send = async (from: number, count: number) => {
    const seqs = Array.from({ length: count }, (_, i) => BigInt(from + i));
    await Promise.all(
      seqs.map((seq) => cam.publishAsync(names.up("cam-2", "frames"), frameOf("cam-2", seq), { qos: 1 })),
    );
    await waitFor(async () => (await storedFrames("cam-2")).filter((seq) => seqs.includes(seq)).length >= count, {
      what: "their frames",
    });
  };
  await send(5_000, 60);
  for (const { counted } of [one, two]) expect(await counted("tributary_bridge_stored_total")).toBeGreaterThan(10);
  await closeBridge(two);
  await send(6_000, 60);
  await closeBridge(one);
});

describe("brokers that will not do are refused with a code and counted; a usable one is taken after them", () => {
  const refusalOf = async (settings: object): Promise<string> => {
    const rig = bridgeOf({ clientId: "bridge-1", ...settings });
    const error = await rig.bridge.start().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    const code = error instanceof Failure ? error.code : String(error);
    expect(await rig.counted(`tributary_bridge_broker_refused_total{code="${code}"}`)).toBe(1);
    await closeBridge(rig);
    return code;
  };
  const servers: Server[] = [];
  const listen = async (server: Server): Promise<string> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`;
  };
  /** Answers CONNECT with these properties and passes messages on by literal topics. Where it is impatient it sends a bridge
   * a frame, and does not wait for the PUBACK. */
  const pretender = (properties: object, isImpatient = false) => {
    const hears = new Map<string, (packet: object) => void>();
    return createServer((socket) => {
      const parser = mqttPacket.parser({ protocolVersion: 5 });
      const send = (packet: object) => void socket.write(mqttPacket.generate(packet as Packet, { protocolVersion: 5 }));
      const publish = (topic: string, payload: Buffer) => ({ cmd: "publish", topic, payload, qos: 1, messageId: 1 });
      socket.on("data", (data) => parser.parse(data)).on("error", () => {});
      parser.on("packet", (packet) => {
        if (packet.cmd === "connect") send({ cmd: "connack", reasonCode: 0, sessionPresent: false, properties });
        if (packet.cmd === "publish") {
          send({ cmd: "puback", messageId: packet.messageId, reasonCode: 0 });
          hears.get(packet.topic)?.(publish(packet.topic, packet.payload as Buffer));
        }
        if (packet.cmd === "unsubscribe") send({ cmd: "unsuback", messageId: packet.messageId, granted: [0] });
        if (packet.cmd !== "subscribe") return;
        for (const { topic } of packet.subscriptions) hears.set(topic, send);
        send({ cmd: "suback", messageId: packet.messageId, granted: packet.subscriptions.map(() => 1) });
        if (!isImpatient || !packet.subscriptions.some(({ topic }) => topic.startsWith("$share"))) return;
        send(publish(names.up("cam-1", "frames"), frameOf("cam-1", 77n)));
        setTimeout(() => socket.destroy(), 20);
      });
    });
  };
  afterAll(() => {
    for (const server of servers) server.close();
  });

  test("no MQTT 5, so no acknowledgement by hand", async () => {
    const aedes = await Aedes.createBroker();
    const url = await listen(createServer((socket) => aedes.handle(socket)));
    expect(await refusalOf({ url })).toBe("broker-without-mqtt-5");
    aedes.close();
  });

  test.each([
    ["broker-without-shared-subscriptions", { sharedSubscriptionAvailable: false }],
    ["broker-without-sessions", { sessionExpiryInterval: 0 }],
    ["broker-without-qos-1", { maximumQoS: 0 }],
  ])("%s", async (code, properties) => {
    expect(await refusalOf({ url: await listen(pretender(properties)) })).toBe(code);
  });

  test("a broker that does not wait for acknowledgements by hand is named, and nothing is acknowledged meanwhile", async () => {
    const slow = (inner: RecordSink): RecordSink => ({
      send: (records) => systemClock.sleep(200).then(() => inner.send(records)),
      close: () => inner.close(),
    });
    const url = await listen(pretender({}, true));
    const rig = await startBridge({ url, clientId: "bridge-1" }, slow);
    const losses = () => rig.counted('tributary_bridge_broker_losses_total{code="broker-refuses-hand-acks"}');
    await waitFor(async () => (await losses()) > 0, { what: "its name" });
    expect(rig.bridge.notReady).toBeDefined();
    await closeBridge(rig);
  });

  test("a broker that lets any device do anything, unless it is on loopback", async () => {
    const open = await startMosquitto({ dir: join(dir.path, "open") });
    // Only the kernel treats this as a loopback address.
    const url = open.url.replace("127.0.0.1", "0.0.0.0");
    expect(await refusalOf({ url, probe: { username: "probe", password: "x" } })).toBe("broker-lets-rogues-in");
    const rig = await startBridge({ url: open.url, clientId: "bridge-1" });
    expect(await rig.counted("tributary_bridge_rogue_allowed_total")).toBe(1);
    await closeBridge(rig);
    await open.stop();
  });

  test("wrong credentials", async () => {
    expect(await refusalOf({ ...secured(), password: "wrong" })).toBe("broker-refuses-credentials");
  });

  test("a usable one", async () => {
    const rig = await startBridge(secured());
    const cam = await device("cam-3"); // It never announced what Avro it reads, so its answers are published in JSON.
    await cam.publishAsync(names.up("cam-3", "frames"), frameOf("cam-3", 9_000n), { qos: 1 });
    await waitFor(async () => (await storedFrames("cam-3")).includes(9_000n), { what: "its frame" });
    expect(await publishedAnswer(cam, "cam-3")).toMatchObject({ label: "dog" });
    await closeBridge(rig);
  });
});
