/** An MQTT client of the drills, which publishes given records in Avro or JSON, numbered by the contract. */
import {
  type Codec,
  EdgeFrame,
  EdgePredictions,
  frameSingleObject,
  mqttTopics,
  type UplinkStream,
} from "@tributary/contracts";
import { makeBootId } from "@tributary/kernel";
import { someFrame, somePredictions } from "@tributary/testing";
import mqtt, { type MqttClient } from "mqtt";

export type Credentials = { readonly deviceId: string; readonly password: string };

const bytesOf = <T>(codec: Codec<T>, value: T): Buffer =>
  frameSingleObject(codec.current.fingerprint, codec.encode(value));

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

let boots = 0;

export class Talker {
  readonly deviceId: string;
  readonly client: MqttClient;
  readonly #jpeg: Buffer;
  #bootId = nextBootId();
  #framesSeq = 0n;
  #batchSeq = 0n;
  #frameSeq = 0n;

  constructor(deviceId: string, client: MqttClient, jpeg: Buffer) {
    this.deviceId = deviceId;
    this.client = client;
    this.#jpeg = jpeg;
  }

  static async connect(url: string, { deviceId, password }: Credentials, jpeg: Buffer): Promise<Talker> {
    // By default each connection subscribes again to every filter ever asked for, which would keep a rogue's client busy forever.
    const options = { reconnectPeriod: 200, resubscribe: false };
    const connect = () => mqtt.connectAsync(url, { clientId: deviceId, username: deviceId, password, ...options });
    // The bridge reads a registration a moment after the gateway has answered it.
    const client = await connect().catch(() => pause(1_000).then(connect));
    client.on("error", () => {}); // some attacks get the connection closed
    return new Talker(deviceId, client, jpeg);
  }

  get bootId(): bigint {
    return this.#bootId;
  }

  get jpeg(): Buffer {
    return this.#jpeg;
  }

  /** A start of the device's program: a new boot, whose numbers begin at 1. */
  restart(): void {
    this.#bootId = nextBootId();
    this.#framesSeq = 0n;
    this.#batchSeq = 0n;
    this.#frameSeq = 0n;
  }

  topic(stream: UplinkStream): string {
    return mqttTopics().up(this.deviceId, stream);
  }

  nextFrame(): bigint {
    return ++this.#frameSeq;
  }

  /** Resolves with the milliseconds until the PUBACK. */
  async publish(stream: UplinkStream, payload: Buffer, format: "avro" | "json" = "avro"): Promise<number> {
    const from = performance.now();
    const topic = format === "json" ? `${this.topic(stream)}/json` : this.topic(stream);
    await this.client.publishAsync(topic, payload, { qos: 1 });
    return performance.now() - from;
  }

  send<T>(stream: UplinkStream, codec: Codec<T>, value: T): Promise<number> {
    return this.publish(stream, bytesOf(codec, value));
  }

  /** As a script writes it; `value` has no bigint. */
  json(stream: UplinkStream, value: object): Promise<number> {
    return this.publish(stream, Buffer.from(JSON.stringify(value)), "json");
  }

  frame(change: Partial<EdgeFrame>): Promise<number> {
    const seq = ++this.#framesSeq;
    const { deviceId, bootId } = this;
    const frame = { deviceId, bootId, seq, jpeg: this.#jpeg, deadlineMs: 5_000, ageMs: 0, ...change };
    return this.send("frames", EdgeFrame, someFrame(frame));
  }

  batch(predictions: EdgePredictions["predictions"]): Promise<number> {
    const { deviceId, bootId } = this;
    const batch = somePredictions({ deviceId, bootId, seq: ++this.#batchSeq, predictions });
    return this.send("predictions", EdgePredictions, batch);
  }

  /** A batch of kept frames in JSON, with the fields that a script would give. */
  jsonBatch(count: number): Promise<number> {
    const predictions = Array.from({ length: count }, () => ({
      frameSeq: `${this.nextFrame()}`,
      label: "cat",
      confidence: 0.9,
    }));
    return this.json("predictions", { bootId: `${this.bootId}`, seq: `${++this.#batchSeq}`, predictions });
  }

  async end(): Promise<void> {
    // A client that is about to reconnect emits no end.
    await Promise.race([this.client.endAsync(true).catch(() => {}), pause(500)]);
  }
}

const nextBootId = (): bigint => makeBootId(++boots, BigInt(Date.now()));
