/** A device that can send anything: a plain MQTT client with credentials. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Codec, EdgeFrame, frameSingleObject, mqttTopics, type UplinkStream } from "@tributary/contracts";
import { formatFrameId, makeBootId } from "@tributary/kernel";
import { edgePackage } from "@tributary/stack";
import { someFrame, someJpeg, waitFor } from "@tributary/testing";
import mqtt, { type MqttClient } from "mqtt";

/** Time for the cloud's answer, also of a machine with much else to do. */
const DEADLINE_MS = 10_000;

export type Received = { readonly channel: string; readonly payload: Buffer };

export class RawDevice {
  readonly deviceId: string;
  readonly #client: MqttClient;
  readonly #bootId = makeBootId(1, BigInt(Date.now()));
  #seq = 0n;

  constructor(deviceId: string, client: MqttClient) {
    this.deviceId = deviceId;
    this.#client = client;
  }

  static async connect(url: string, credentials: { deviceId: string; password: string }): Promise<RawDevice> {
    const { deviceId, password } = credentials;
    const session = { clientId: deviceId, username: deviceId, password, reconnectPeriod: 500 };
    // A bridge that has not read the registration yet refuses a device that it does not know.
    const client = await waitFor(() => mqtt.connectAsync(url, session), {
      what: `${deviceId} to be accepted`,
      everyMs: 250,
    });
    return new RawDevice(deviceId, client);
  }

  topic(stream: UplinkStream): string {
    return mqttTopics().up(this.deviceId, stream);
  }

  bytesOf<T>(codec: Codec<T>, value: T): Buffer {
    return frameSingleObject(codec.current.fingerprint, codec.encode(value));
  }

  /** Subscribes to its downlinks; resolves with what it receives, retained messages included. */
  async subscribe(): Promise<readonly Received[]> {
    const { desired, policy, results } = mqttTopics();
    const channels = { desired, policy, results };
    const received: Received[] = [];
    this.#client.on("message", (topic, payload) => {
      const channel = Object.entries(channels).find(([, of]) => of(this.deviceId) === topic)?.[0];
      if (channel !== undefined) received.push({ channel, payload });
    });
    await this.#client.subscribeAsync(
      Object.values(channels).map((of) => of(this.deviceId)),
      { qos: 1 },
    );
    return received;
  }

  /** Resolves when the bridge has acknowledged it. */
  async publish(topic: string, payload: Buffer): Promise<void> {
    await this.#client.publishAsync(topic, payload, { qos: 1 });
  }

  send<T>(stream: UplinkStream, codec: Codec<T>, value: T): Promise<void> {
    return this.publish(this.topic(stream), this.bytesOf(codec, value));
  }

  /** A valid frame, of the model the fleet runs. */
  async frame(): Promise<EdgeFrame> {
    this.#seq++;
    return someFrame({
      deviceId: this.deviceId,
      bootId: this.#bootId,
      seq: this.#seq,
      frameSeq: this.#seq,
      deadlineMs: DEADLINE_MS,
      jpeg: await someJpeg(),
      modelDigest: createHash("sha256")
        .update(readFileSync(join(edgePackage, "manifest.json")))
        .digest("hex"),
    });
  }

  async sendValidFrame(): Promise<string> {
    const frame = await this.frame();
    await this.send("frames", EdgeFrame, frame);
    return formatFrameId(frame);
  }

  /** A record whose array claims 2^60 items, in a handful of bytes. */
  bomb(codec: Codec<unknown>): Buffer {
    const name = Buffer.from(this.deviceId);
    const long = (value: bigint): Buffer => {
      const bytes: number[] = [];
      let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
      for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
      return Buffer.from([...bytes, Number(rest)]);
    };
    const text = (value: string): Buffer => Buffer.concat([long(BigInt(value.length)), Buffer.from(value)]);
    const record = Buffer.concat([
      long(BigInt(name.length)),
      name,
      long(this.#bootId),
      long(++this.#seq),
      text("a"),
      text("b"),
      text("c"),
      text("default"),
      long(1n),
      long(1n << 60n),
    ]);
    return frameSingleObject(codec.current.fingerprint, record);
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}
