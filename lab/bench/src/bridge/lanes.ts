/** The lanes of `bench bridge`: each starts what it measures, and lists its processes. */
import { type ChildProcess, fork, type SpawnOptions, spawn } from "node:child_process";
import { randomBytes, scryptSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PARTITIONS, topics } from "@tributary/contracts";
import { KafkajsAdmin, KafkaReader, PlatformaticSink, RECORD_BYTES_MAX, tributaryTopics } from "@tributary/kafka";
import { freePort, someRegistration, spawnService, waitFor } from "@tributary/testing";
import { type KafkaNode, startKafka } from "../../../../tools/kafka.mjs";
import { debian, telegraf } from "../../../../tools/peers.mjs";
import { deviceName, type Order } from "./meter.ts";

/** Of one device. */
const UNLIMITED = {
  messagesPerSecondMax: 1_000_000,
  bytesPerSecondMax: 1_000_000_000,
  recordsPerSecondMax: 1_000_000,
  kafkaBytesPerSecondMax: 4_000_000_000,
  parsingMsPerSecondMax: 1_000_000,
};

export const laneNames = ["acks", "aedes", "producer", "raw", "predictions", "frames", "telegraf"] as const;
export type LaneName = (typeof laneNames)[number];

export type Lane = {
  /** Which process costs what, by its name in the tables. */
  readonly pids: Readonly<Record<string, number>>;
  readonly load: "load" | "producer";
  readonly order: Pick<Order, "port" | "topic" | "payload" | "withPassword">;
  /** The Kafka topic in which the messages must arrive. */
  readonly storedIn: string | undefined;
  stop(): Promise<void>;
};

const PREFIX = "bench.";
/** A route's, so without our prefix. */
const RAW_TOPIC = "load.raw";
const MQTT_TOPIC = "load/%d";

/** One Kafka for all lanes, and what they need in it. */
export class Rig {
  readonly kafka: KafkaNode;
  readonly #dir: string;
  readonly #reader: KafkaReader;

  static async start(dir: string, devices: number, isFlushed: boolean): Promise<Rig> {
    const every = isFlushed ? "1" : "9223372036854775807";
    const kafka = await startKafka({
      dataDir: join(dir, "kafka"),
      isMeasured: true,
      config: { "log.flush.interval.messages": every },
    });
    const connection = { brokers: [kafka.brokers], prefix: PREFIX, clientId: "bench" };
    const config = { "max.message.bytes": String(RECORD_BYTES_MAX), "flush.messages": every };
    const bare = new KafkajsAdmin({ ...connection, prefix: "" });
    const loaded = [RAW_TOPIC, PREFIX + topics.predictions.name, PREFIX + topics.frames.name];
    await bare.ensure(loaded.map((name) => ({ name, partitions: PARTITIONS, config })));
    await bare.close();
    const admin = new KafkajsAdmin(connection);
    await admin.ensure(tributaryTopics()); // what is there stays as it was made above
    await admin.close();
    const sink = new PlatformaticSink(connection);
    const names = Array.from({ length: devices }, (_, i) => deviceName(i));
    const { codec, name } = topics.registry;
    await sink.send(
      names.map((deviceId) => {
        const value = codec.encodeConfluent(someRegistration({ deviceId, passwordHash: hashOf(deviceId) }));
        return { topic: name, key: deviceId, value };
      }),
    );
    await sink.close();
    return new Rig(kafka, dir, new KafkaReader({ ...connection, prefix: "" }));
  }

  private constructor(kafka: KafkaNode, dir: string, reader: KafkaReader) {
    this.kafka = kafka;
    this.#dir = dir;
    this.#reader = reader;
  }

  async lane(name: LaneName): Promise<Lane> {
    switch (name) {
      case "acks":
        return this.#beside(name, {});
      case "aedes":
        return this.#beside(name, {});
      case "producer":
        return {
          pids: { kafka: this.kafka.pid },
          load: "producer",
          order: { port: this.kafka.port, topic: RAW_TOPIC, payload: "text", withPassword: false },
          storedIn: RAW_TOPIC,
          stop: async () => {},
        };
      case "raw":
        return this.#bridge({ topic: MQTT_TOPIC, payload: "text" }, RAW_TOPIC);
      case "predictions":
      case "frames":
        return this.#bridge({ topic: `tributary/v1/%d/up/${name}`, payload: name }, PREFIX + topics[name].name);
      case "telegraf":
        return this.#telegraf();
    }
  }

  /** Records in a topic, ever. */
  async stored(topic: string): Promise<number> {
    const partitions = await this.#reader.partitions(topic);
    const ends = await Promise.all(partitions.map((partition) => this.#reader.offsets(topic, partition)));
    return ends.reduce((sum, { next }) => sum + Number(next), 0);
  }

  async stop(): Promise<void> {
    await this.#reader.close();
    await this.kafka.stop();
  }

  async #beside(name: "acks" | "aedes", pids: Readonly<Record<string, number>>): Promise<Lane> {
    const child = fork(fileURLToPath(new URL("./beside.js", import.meta.url)), [name]);
    const port = await new Promise<number>((resolve, reject) => {
      child.once("message", (message) => resolve((message as { port: number }).port));
      child.once("exit", () => reject(new Error(`${name} ended`)));
    });
    return {
      pids: { ...pids, broker: child.pid ?? -1 },
      load: "load",
      order: { port, topic: MQTT_TOPIC, payload: "text", withPassword: false },
      storedIn: undefined,
      stop: async () => {
        child.disconnect();
        await exited(child);
      },
    };
  }

  async #bridge(order: Pick<Order, "topic" | "payload">, storedIn: string): Promise<Lane> {
    const bridge = await spawnService({
      name: "bridge",
      main: "edge/bridge/dist/main.js",
      dir: this.#dir,
      readyMsMax: 120_000,
      config: {
        kafka: { brokers: [this.kafka.brokers], prefix: PREFIX },
        http: { host: "127.0.0.1", port: 0 },
        mqtt: { port: await freePort() },
        log: { level: "warn" },
        // What the bridge can do is measured, not what one device may.
        limits: { perDevice: UNLIMITED },
        routes: [{ filter: MQTT_TOPIC, topic: RAW_TOPIC, format: "raw" }],
      },
    });
    await waitFor(() => bridge.ports.mqtt !== undefined, { what: "the bridge's MQTT port" });
    return {
      pids: { broker: bridge.pid, kafka: this.kafka.pid },
      load: "load",
      order: { ...order, port: bridge.ports.mqtt ?? -1, withPassword: true },
      storedIn,
      stop: async () => void (await bridge.stop()),
    };
  }

  async #telegraf(): Promise<Lane> {
    const port = await freePort();
    const conf = join(this.#dir, "mosquitto.conf");
    writeFileSync(conf, mosquittoConf(port));
    const toml = join(this.#dir, "telegraf.conf");
    writeFileSync(toml, telegrafConf({ mqttPort: port, brokers: this.kafka.brokers, topic: RAW_TOPIC }));
    const options: SpawnOptions = { stdio: ["ignore", "ignore", "inherit"] };
    const mosquitto = spawn(debian("mosquitto"), ["-c", conf], options);
    await waitFor(() => canConnect(port), { what: "Mosquitto" });
    const agent = spawn(telegraf(), ["--config", toml], options);
    await sleep(3_000); // Its subscription is not to be seen from outside.
    return {
      pids: { broker: mosquitto.pid ?? -1, telegraf: agent.pid ?? -1, kafka: this.kafka.pid },
      load: "load",
      order: { port, topic: MQTT_TOPIC, payload: "text", withPassword: false },
      storedIn: RAW_TOPIC,
      stop: async () => {
        for (const child of [agent, mosquitto]) {
          child.kill("SIGTERM");
          await exited(child);
        }
      },
    };
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

const exited = (child: ChildProcess): Promise<unknown> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once("exit", resolve));

/** As cheap as the bridge accepts: connecting is not what is measured. */
function hashOf(password: string): string {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 1_024, r: 8, p: 1 });
  return `scrypt$1024$8$1$${salt.toString("base64")}$${hash.toString("base64")}`;
}

/** Nothing is logged or kept, and the one subscriber may be as far behind as it likes. */
const mosquittoConf = (port: number) => `listener ${port} 127.0.0.1
allow_anonymous true
${process.getuid?.() === 0 ? "user root\n" : ""}persistence false
log_type error
max_inflight_messages 1000
max_queued_messages 1000000
set_tcp_nodelay true
`;

const telegrafConf = (to: { mqttPort: number; brokers: string; topic: string }) => `[agent]
  metric_batch_size = 1000
  metric_buffer_limit = 100000
  flush_interval = "1s"
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:${to.mqttPort}"]
  topics = ["${MQTT_TOPIC.replace("%d", "+")}"]
  qos = 1
  max_undelivered_messages = 1000
  data_format = "value"
  data_type = "string"
[[outputs.kafka]]
  brokers = ["${to.brokers}"]
  topic = "${to.topic}"
  routing_tag = "topic"
  required_acks = -1
  max_message_bytes = 1000000
  data_format = "influx"
`;
