/** The drill's own devices: a benign one, which is measured, and one that can send anything. */
import {
  Classifications,
  type Codec,
  EdgeFrame,
  EdgePredictions,
  frameSingleObject,
  mqttTopics,
  type UplinkStream,
} from "@tributary/contracts";
import { makeBootId } from "@tributary/kernel";
import { someFrame, somePrediction, somePredictions } from "@tributary/testing";
import mqtt, { type MqttClient } from "mqtt";

export type Credentials = { readonly deviceId: string; readonly password: string };

const bytesOf = <T>(codec: Codec<T>, value: T): Buffer =>
  frameSingleObject(codec.current.fingerprint, codec.encode(value));

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

let boots = 0;

/** An MQTT client that publishes given records, numbered by the contract. */
export class Talker {
  readonly deviceId: string;
  readonly client: MqttClient;
  readonly bootId = makeBootId(++boots, BigInt(Date.now()));
  readonly #jpeg: Buffer;
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

  topic(stream: UplinkStream): string {
    return mqttTopics().up(this.deviceId, stream);
  }

  nextFrame(): bigint {
    return ++this.#frameSeq;
  }

  /** Resolves with the milliseconds until the PUBACK. */
  async publish(stream: UplinkStream, payload: Buffer): Promise<number> {
    const from = performance.now();
    await this.client.publishAsync(this.topic(stream), payload, { qos: 1 });
    return performance.now() - from;
  }

  send<T>(stream: UplinkStream, codec: Codec<T>, value: T): Promise<number> {
    return this.publish(stream, bytesOf(codec, value));
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

  async end(): Promise<void> {
    // A client that is about to reconnect emits no end.
    await Promise.race([this.client.endAsync(true).catch(() => {}), pause(500)]);
  }
}

export type Measured = { asked: number; cloud: number; edge: number; pubackMs: number[] };

/** Shows five frames a second, of which it sends one, and counts the source of each answer and the time until each PUBACK. */
export class BenignDevice {
  readonly #talker: Talker;
  readonly #sent = new Set<bigint>();
  measured: Measured = { asked: 0, cloud: 0, edge: 0, pubackMs: [] };

  constructor(talker: Talker) {
    this.#talker = talker;
  }

  async subscribe(): Promise<void> {
    const { client, deviceId, bootId } = this.#talker;
    client.on("message", (_topic, payload) => {
      const record = Classifications.decodeSingleObject(payload);
      if (record.bootId !== bootId) return;
      for (const { frameSeq, source } of record.answers) {
        if (!this.#sent.delete(frameSeq)) continue;
        if (source === "CLOUD") this.measured.cloud++;
        else this.measured.edge++;
      }
    });
    await client.subscribeAsync(mqttTopics().results(deviceId), { qos: 1 });
  }

  reset(): void {
    this.#sent.clear();
    this.measured = { asked: 0, cloud: 0, edge: 0, pubackMs: [] };
  }

  /** The frames of one second. */
  async second(): Promise<void> {
    const talker = this.#talker;
    const { measured } = this;
    const acknowledged = (ms: number) => void measured.pubackMs.push(ms);
    const sent = talker.nextFrame();
    this.#sent.add(sent);
    measured.asked++;
    const seen = { frameSeq: sent, reason: "AMBIGUOUS", score: 0.3, deadlineMs: 5_000, ageMs: 0 } as const;
    const kept = Array.from({ length: 4 }, () => somePrediction({ frameSeq: talker.nextFrame(), ageMs: 0 }));
    await Promise.all([
      talker.frame(seen).then(acknowledged),
      talker.batch([somePrediction({ ...seen, escalation: "QUEUED" }), ...kept]).then(acknowledged),
    ]).catch(() => {});
  }
}
