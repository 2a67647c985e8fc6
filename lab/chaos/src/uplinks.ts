/** Devices without a model: they publish frames and predictions, and remember what was acknowledged (QoS 1). */
import { randomBytes, scryptSync } from "node:crypto";
import { EdgeFrame, EdgePredictions, mqttTopics, topics } from "@tributary/contracts";
import { type KafkaReader, type RecordSink, readTopic } from "@tributary/kafka";
import { someBootId, someFrame, someJpeg, somePredictions, someRegistration } from "@tributary/testing";
import mqtt, { type MqttClient } from "mqtt";

export type UplinksOptions = {
  readonly sink: RecordSink;
  readonly devices: number;
  /** Messages a second, all devices together. */
  readonly rate: number;
};

const TICK_MS = 20;
/** Messages that a device has in flight. */
const IN_FLIGHT_MAX = 64;

export class Uplinks {
  /** `deviceId:bootId:stream:seq`, as the records' `ce_id`. */
  readonly acknowledged = new Set<string>();
  published = 0;
  readonly #options: UplinksOptions;
  readonly #ids: readonly string[];
  readonly #bootId = someBootId;
  readonly #clients: MqttClient[] = [];
  readonly #inFlight = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #seq = 0n;

  constructor(options: UplinksOptions) {
    this.#options = options;
    this.#ids = Array.from({ length: options.devices }, (_, i) => `uplink-${i + 1}`);
  }

  async register(): Promise<void> {
    await this.#options.sink.send(
      this.#ids.map((deviceId) => ({
        topic: topics.registry.name,
        key: deviceId,
        value: topics.registry.codec.encodeConfluent(someRegistration({ deviceId, passwordHash: hashOf(deviceId) })),
      })),
    );
  }

  async start(mqttPort: number): Promise<void> {
    const jpeg = await someJpeg();
    for (const deviceId of this.#ids) {
      const client = mqtt.connect(`mqtt://127.0.0.1:${mqttPort}`, {
        clientId: deviceId,
        username: deviceId,
        password: deviceId,
        reconnectPeriod: 200,
      });
      client.on("error", () => {});
      this.#clients.push(client);
    }
    await Promise.all(
      this.#clients.map((client) => client.connected || new Promise((resolve) => client.once("connect", resolve))),
    );
    const startedAt = performance.now();
    this.#timer = setInterval(() => {
      const due = ((performance.now() - startedAt) * this.#options.rate) / 1_000;
      while (this.published < due) this.#publish(jpeg);
    }, TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#clients.splice(0).map((client) => client.endAsync(true)));
  }

  /** Ids that Kafka has. */
  async stored(reader: KafkaReader): Promise<ReadonlySet<string>> {
    const ids = new Set<string>();
    for (const topic of [topics.frames.name, topics.predictions.name]) {
      for await (const { headers } of readTopic(reader, topic)) if (headers.ce_id !== undefined) ids.add(headers.ce_id);
    }
    return ids;
  }

  #publish(jpeg: Buffer): void {
    const at = this.published++ % this.#ids.length;
    const [deviceId, client] = [this.#ids[at], this.#clients[at]];
    if (deviceId === undefined || client === undefined) return;
    const inFlight = this.#inFlight.get(deviceId) ?? 0;
    if (inFlight >= IN_FLIGHT_MAX) return;
    this.#inFlight.set(deviceId, inFlight + 1);
    const seq = ++this.#seq;
    const stream = seq % 2n === 0n ? "frames" : "predictions";
    const identity = { deviceId, bootId: this.#bootId, seq };
    const payload =
      stream === "frames"
        ? EdgeFrame.encodeSingleObject(someFrame({ ...identity, frameSeq: seq, jpeg }))
        : EdgePredictions.encodeSingleObject(somePredictions(identity));
    client.publish(mqttTopics().up(deviceId, stream), payload, { qos: 1 }, (error) => {
      this.#inFlight.set(deviceId, (this.#inFlight.get(deviceId) ?? 1) - 1);
      if (!error) this.acknowledged.add(`${deviceId}:${this.#bootId}:${stream}:${seq}`);
    });
  }
}

function hashOf(password: string): string {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 1_024, r: 8, p: 1 });
  return `scrypt$1024$8$1$${salt.toString("base64")}$${hash.toString("base64")}`;
}
