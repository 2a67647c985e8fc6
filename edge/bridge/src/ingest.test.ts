import { describe, expect, test } from "@jest/globals";
import { Codec, EdgePredictions, fingerprintOf, topics } from "@tributary/contracts";
import type { OutRecord, RecordSink } from "@tributary/kafka";
import { type Clock, Failure, type Random, seededRandom, systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { somePrediction, somePredictions } from "@tributary/testing";
import type { Client } from "aedes";
import { bridgeConfigSchema } from "./config.ts";
import { DeviceWindows } from "./device-windows.ts";
import type { PacketGate } from "./gate.ts";
import { Ingest, type IngestOptions } from "./ingest.ts";
import { RatesByDevice } from "./rates.ts";
import { Session } from "./session.ts";

const config = bridgeConfigSchema.parse({});

/** As the real sink: stores in order, and rejects everything behind a rejected send. */
class FickleSink implements RecordSink {
  readonly log: OutRecord[] = [];
  #queue: { records: readonly OutRecord[]; resolve: (p: []) => void; reject: (e: Error) => void }[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  send(records: readonly OutRecord[]): Promise<[]> {
    return new Promise((resolve, reject) => this.#queue.push({ records, resolve, reject }));
  }

  /** One turn of Kafka: some are stored, or it is unavailable. */
  turn(): void {
    const dice = this.#random();
    if (dice < 0.2) {
      const away = new Failure("kafka-unavailable", "retry", "away");
      const stored = this.#random() < 0.5 ? 1 : 0; // stored, but the acknowledgement is lost
      for (const { records } of this.#queue.slice(0, stored)) this.log.push(...records.filter((r) => !isRefused(r)));
      for (const { reject } of this.#queue.splice(0)) reject(away);
      return;
    }
    for (const { records, resolve, reject } of this.#queue.splice(0, 1 + Math.floor(this.#random() * 5))) {
      if (records.some(isRefused)) reject(new Failure("kafka-record-oversized", "give-up", "MESSAGE_TOO_LARGE"));
      else {
        this.log.push(...records);
        resolve([]);
      }
    }
  }

  async close(): Promise<void> {}
}

const isRefused = (record: OutRecord) => !record.topic.endsWith(".dlq") && record.value?.includes("poison") === true;

class FakeClient {
  closed = false;
  close() {
    this.closed = true;
  }
}

const newSession = (deviceId: string) =>
  new Session(deviceId, new FakeClient() as unknown as Client, {} as PacketGate, 4);

const newIngest = (sink: RecordSink, clock: Clock, learn?: IngestOptions["learn"]) =>
  new Ingest({
    sink,
    clock,
    telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
    limits: config.limits,
    mqttPrefix: "tributary",
    learn,
    rates: new RatesByDevice(
      { ...config.limits.perDevice, deadLettersBurstMax: 1e9, deadLetterBytesBurstMax: 1e9 },
      () => 0,
    ),
    onThrottled: () => {},
    onAvailability: () => {},
  });

const batch = (deviceId: string, seq: number, arm = "default") =>
  EdgePredictions.encodeSingleObject(somePredictions({ deviceId, seq: BigInt(seq), arm }));

describe("from a message to its acknowledgement", () => {
  test("nothing is acknowledged that is not stored, order holds across failures, and every grant is released (G1, G3)", async () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const sink = new FickleSink(random);
      const ingest = newIngest(sink, systemClock);
      const total = 60;
      let acknowledged = 0; // the device's view: it resends from here, in order
      let released = 0;
      let taken = 0;
      for (let connection = 0; acknowledged < total; connection++) {
        if (connection > 500) throw new Error(`seed ${seed}: no end`);
        const session = newSession("device-1");
        let next = acknowledged + 1;
        while (!session.isClosed && acknowledged < total) {
          const window = Math.floor(random() * 4);
          for (let i = 0; i < window && next <= total; i++, next++) {
            const seq = next;
            const payload =
              seq % 13 === 0 ? Buffer.from("garbage") : batch("device-1", seq, seq % 17 === 0 ? "poison" : "default");
            taken++;
            ingest.take(
              session,
              { principal: "device-1", topic: "tributary/v1/device-1/up/predictions", payload, qos: 1, retain: false },
              () => {
                if (seq !== acknowledged + 1) throw new Error(`seed ${seed}: PUBACK of ${seq} after ${acknowledged}`);
                acknowledged = seq;
              },
              () => released++,
            );
          }
          sink.turn();
          await new Promise((resolve) => setImmediate(resolve));
          if (random() < 0.02) session.close(); // the network
        }
      }
      while (ingest.inFlight > 0) {
        sink.turn();
        await new Promise((resolve) => setImmediate(resolve));
      }
      const seqs = sink.log
        .filter((r) => r.topic === topics.predictions.name)
        .map((r) => Number(EdgePredictions.decodeConfluent(r.value as Buffer).seq));
      const firsts = [...new Set(seqs)];
      expect([seed, firsts]).toEqual([seed, firsts.toSorted((a, b) => a - b)]); // first appearances are in order
      const wanted = Array.from({ length: total }, (_, i) => i + 1).filter((n) => n % 13 !== 0 && n % 17 !== 0);
      expect([seed, firsts]).toEqual([seed, wanted]);
      const dead = sink.log.filter((r) => r.topic === "edge.predictions.v1.bridge.dlq");
      const reasons = new Set(dead.map((r) => r.headers?.["__connect.errors.exception.class.name"]));
      expect([seed, reasons]).toEqual([seed, new Set(["framing-unknown", "kafka-refused"])]);
      expect([seed, released]).toEqual([seed, taken]);
    }
  });

  test("an unknown schema ends the session while it is looked up; then the message is stored, or a dead letter (ingest.ts I4)", async () => {
    const sink = new FickleSink(() => 0.9);
    const { schema } = EdgePredictions.current;
    const newer = { ...schema, fields: [...schema.fields, { name: "later", type: ["null", "string"], default: null }] };
    const version = { version: 99, id: 99, fingerprint: fingerprintOf(newer), schema: newer };
    const device = new Codec<EdgePredictions & { later: string | null }>("EdgePredictions", [version]);
    const asked: string[] = [];
    const learn = (topicName: string, fingerprint: string) => {
      if (asked.includes(fingerprint)) return undefined;
      asked.push(fingerprint);
      if (fingerprint === version.fingerprint) EdgePredictions.learn(99, newer);
      return Promise.resolve(expect(topicName).toBe(topics.predictions.name));
    };
    const ingest = newIngest(sink, systemClock, learn);
    let acknowledged = 0;
    let released = 0;
    const publish = (payload: Buffer) => {
      const session = newSession("d");
      const uplink = { principal: "d", topic: "tributary/v1/d/up/predictions", payload, qos: 1, retain: false };
      const acknowledge = () => acknowledged++;
      ingest.take(session, uplink, acknowledge, () => released++);
      return session;
    };
    const known = device.encodeSingleObject({ ...somePredictions({ deviceId: "d", seq: 1n }), later: "x" });
    const strange = Buffer.from(known);
    strange[2] = (strange[2] as number) ^ 1;
    for (const payload of [known, strange]) {
      const session = publish(payload);
      expect([session.isClosed, ingest.inFlight, acknowledged]).toEqual([true, 0, payload === known ? 0 : 1]);
      publish(payload);
      while (ingest.inFlight > 0) {
        sink.turn();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    expect(sink.log.map(({ topic }) => topic)).toEqual(["edge.predictions.v1", "edge.predictions.v1.bridge.dlq"]);
    expect(sink.log[0]?.value?.readInt32BE(1)).toBe(99);
    expect({ asked: asked.length, acknowledged, released }).toEqual({ asked: 2, acknowledged: 2, released: 4 });
  });

  test("if devices share a connection, an unknown schema does not end it: its message waits, and is stored or a dead letter (ingest.ts I4)", async () => {
    const sink = new FickleSink(() => 0.9);
    const { schema } = EdgePredictions.current;
    const newer = { ...schema, fields: [...schema.fields, { name: "shared", type: ["null", "long"], default: null }] };
    const version = { version: 98, id: 98, fingerprint: fingerprintOf(newer), schema: newer };
    const device = new Codec<EdgePredictions & { shared: null }>("EdgePredictions", [version]);
    const answers: (() => void)[] = [];
    const learn = (_topic: string, fingerprint: string) =>
      new Promise<void>((answered) =>
        answers.push(() => {
          if (fingerprint === version.fingerprint) EdgePredictions.learn(98, newer);
          answered();
        }),
      );
    const ingest = newIngest(sink, systemClock, learn);
    let closed = 0;
    let released = 0;
    const acknowledged: string[] = [];
    const sender = {
      deviceId: "d",
      isClosed: false,
      isShared: true,
      begin: (settle: () => void) => settle,
      close: () => closed++,
    };
    const publish = (name: string, payload: Buffer) => {
      const uplink = { principal: "d", topic: "tributary/v1/d/up/predictions", payload, qos: 1, retain: false };
      ingest.take(
        sender,
        uplink,
        () => acknowledged.push(name),
        () => released++,
      );
    };
    const known = device.encodeSingleObject({ ...somePredictions({ deviceId: "d", seq: 1n }), shared: null });
    const strange = Buffer.from(known);
    strange[2] = (strange[2] as number) ^ 1;
    publish("known", known);
    publish("strange", strange);
    publish("plain", batch("d", 2));
    const settle = async () => {
      for (let i = 0; i < 5; i++) {
        sink.turn();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await settle();
    expect([acknowledged, closed, ingest.inFlight]).toEqual([["plain"], 0, 2]);
    for (const answer of answers) answer();
    await settle();
    expect([acknowledged.toSorted(), closed, ingest.inFlight, released]).toEqual([
      ["known", "plain", "strange"],
      0,
      0,
      3,
    ]);
    expect(sink.log.map(({ topic }) => topic).toSorted()).toEqual([
      "edge.predictions.v1",
      "edge.predictions.v1",
      "edge.predictions.v1.bridge.dlq",
    ]);
  });
});

describe("what a device has on its way to Kafka", () => {
  test("a message waits behind little of another device, however much that sent (device-windows.ts W1)", () => {
    const handed: string[] = [];
    const sink: RecordSink = {
      send: ([record]) => {
        handed.push(record?.key ?? "");
        return new Promise(() => {});
      },
      close: async () => {},
    };
    const ingest = newIngest(sink, systemClock);
    const take = (deviceId: string, payload: Buffer) => {
      const topic = `tributary/v1/${deviceId}/up/predictions`;
      const uplink = { principal: deviceId, topic, payload, qos: 1, retain: false };
      ingest.take(
        newSession(deviceId),
        uplink,
        () => {},
        () => {},
      );
    };
    const predictions = Array.from({ length: 1_000 }, () => somePrediction());
    for (let seq = 1n; seq <= 12n; seq++) {
      take("rogue", EdgePredictions.encodeSingleObject(somePredictions({ deviceId: "rogue", seq, predictions })));
    }
    take("victim", batch("victim", 1));
    expect(handed).toEqual(["rogue", "rogue", "rogue", "victim"]); // 3 x 85 kB are within 256 KiB
  });

  test("order holds across failures: what waits is rejected with what failed (device-windows.ts W2, G3), over seeds", async () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const sink = new FickleSink(random);
      const windows = new DeviceWindows(2_000);
      const device = async (deviceId: string) => {
        for (let from = 1; from <= 30; ) {
          const records = Array.from({ length: Math.min(8, 31 - from) }, (_, i) => ({
            topic: "t",
            key: deviceId,
            value: Buffer.alloc(Math.floor(random() * 3_000), from + i),
            headers: { seq: String(from + i) },
          }));
          const ends = await Promise.allSettled(records.map((record) => windows.send(sink, deviceId, record)));
          const failed = ends.findIndex(({ status }) => status === "rejected");
          from += failed < 0 ? records.length : failed;
        }
      };
      let isOver = false;
      const over = Promise.all(["a", "b", "c"].map(device)).then(() => {
        isOver = true;
      });
      for (let turn = 0; !isOver; turn++) {
        if (turn > 10_000) throw new Error(`seed ${seed}: no end`);
        sink.turn();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await over;
      for (const deviceId of ["a", "b", "c"]) {
        const seqs = sink.log.filter(({ key }) => key === deviceId).map(({ headers }) => Number(headers?.seq));
        expect([seed, [...new Set(seqs)]]).toEqual([seed, Array.from({ length: 30 }, (_, i) => i + 1)]);
      }
    }
  });
});

test("acknowledgements leave in the order of the messages, and none after the session closed (session.ts S1, S2)", () => {
  const session = newSession("d");
  const order: number[] = [];
  const settle = [1, 2, 3, 4].map((n) => session.begin(() => order.push(n)));
  settle[1]?.();
  settle[2]?.();
  expect(order).toEqual([]);
  settle[0]?.();
  expect(order).toEqual([1, 2, 3]);
  session.close();
  settle[3]?.();
  expect(order).toEqual([1, 2, 3]);
});
