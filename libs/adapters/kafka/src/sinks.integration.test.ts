/** One contract for both clients: the bridge writes with one, the services with the other, with the same result. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { testKafka, waitFor } from "@tributary/testing";
import kafkajs from "kafkajs";
import { KafkajsAdmin } from "./admin.ts";
import { type JoiningSink, RECORD_OVERSIZED } from "./joining-sink.ts";
import { KafkajsSink } from "./kafkajs-sink.ts";
import { partitionOf } from "./partition-of.ts";
import { PlatformaticSink } from "./platformatic-sink.ts";
import type { InRecord, Position } from "./ports.ts";
import { readTopic } from "./read-topic.ts";
import { KafkaReader } from "./reader.ts";
import { RECORD_BYTES_MAX } from "./tributary-topics.ts";

const connection = { ...testKafka(), clientId: "sinks-test" };
const PARTITIONS = 12;
const admin = new KafkajsAdmin(connection);
const reader = new KafkaReader(connection);
const sinks: Record<string, JoiningSink> = {
  kafkajs: new KafkajsSink(connection),
  platformatic: new PlatformaticSink(connection),
};

const topicOf = (sink: string, what: string) => `${what}.${sink}`;

const readAll = (topic: string): Promise<InRecord[]> => Array.fromAsync(readTopic(reader, topic));

beforeAll(async () => {
  const config = { "max.message.bytes": String(RECORD_BYTES_MAX) };
  const names = Object.keys(sinks).flatMap((sink) => [topicOf(sink, "order"), topicOf(sink, "shape")]);
  await admin.ensure([
    ...names.map((name) => ({ name, partitions: PARTITIONS, config })),
    { name: "small", partitions: 1, config: { "max.message.bytes": "2000" } },
  ]);
});

afterAll(async () => {
  await Promise.all([...Object.values(sinks).map((sink) => sink.close()), reader.close(), admin.close()]);
});

describe.each(Object.keys(sinks))("%s", (name) => {
  const sink = sinks[name] as JoiningSink;

  test("1,000 keys are where Java puts them, in the order sent, at the positions returned", async () => {
    const random = seededRandom(11);
    const topic = topicOf(name, "order");
    const keys = Array.from({ length: 1_000 }, (_, i) => `device-${i}-${"é".repeat(Math.floor(random() * 5))}`);
    const sent = new Map<string, string[]>();
    const positions = new Map<string, Position>();
    const sends: Promise<void>[] = [];
    for (let i = 0; i < 3_000; i++) {
      const key = keys[Math.floor(random() * keys.length)] as string;
      sent.set(key, [...(sent.get(key) ?? []), String(i)]);
      const records = [{ topic, key, value: Buffer.from(String(i)) }];
      sends.push(sink.send(records).then(([position]) => void positions.set(String(i), position as Position)));
      if (i % 400 === 0) await sends.at(-1);
    }
    await Promise.all(sends);
    const stored = new Map<string, string[]>();
    for (const record of await readAll(topic)) {
      const key = record.key as string;
      const value = String(record.value);
      stored.set(key, [...(stored.get(key) ?? []), value]);
      expect(record.partition).toBe(partitionOf(key, PARTITIONS));
      const { partition, offset } = record;
      expect(positions.get(value)).toEqual({ topic, partition, offset });
    }
    expect(stored).toEqual(sent);
  });

  test("headers, timestamps, tombstones and a record of nearly 4 MB arrive as they were sent", async () => {
    const topic = topicOf(name, "shape");
    const large = Buffer.alloc(RECORD_BYTES_MAX - 20_000, "0123456789");
    const headers = { ce_id: "cam:1:frames:2", "content-type": "application/avro", "x-umlaut": "grün" };
    await Promise.all([
      sink.send([{ topic, key: "k", value: Buffer.from("v"), headers, timestamp: 1_700_000_000_123 }]),
      sink.send([{ topic, key: "k", value: null }]),
      sink.send([{ topic, key: "k", value: large }]),
      sink.send([{ topic, key: "k", value: Buffer.alloc(0) }]),
    ]);
    const [first, tombstone, big, empty, ...rest] = await readAll(topic);
    expect(rest).toEqual([]);
    expect(first).toMatchObject({ key: "k", value: Buffer.from("v"), headers, timestamp: 1_700_000_000_123 });
    expect(tombstone?.value).toBeNull();
    const digest = (bytes: Buffer | null | undefined) =>
      createHash("sha256")
        .update(bytes ?? "")
        .digest("hex");
    expect(digest(big?.value)).toBe(digest(large));
    expect(empty?.value).toHaveLength(0);
  });

  test("a record too large for its topic is refused permanently, its neighbours are stored", async () => {
    const topic = "small";
    const outcomes = await Promise.allSettled([
      sink.send([{ topic, key: name, value: Buffer.from("before") }]),
      sink.send([{ topic, key: name, value: Buffer.alloc(5_000) }]),
      sink.send([{ topic, key: name, value: Buffer.from("after") }]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(outcomes[1]).toMatchObject({ reason: { code: RECORD_OVERSIZED, advice: "give-up" } });
    const mine = (await readAll(topic)).filter(({ key }) => key === name);
    expect(mine.map(({ value }) => String(value))).toEqual(["before", "after"]);
  });

  test("a producer that the broker no longer knows is replaced, and sends continue (errors 45 and 59)", async () => {
    const topic = topicOf(name, "renewed");
    await admin.ensure([{ name: topic, partitions: 1 }]);
    await sink.send([{ topic, key: "k", value: Buffer.from("1") }]);
    const client = new kafkajs.Kafka({ brokers: [...connection.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
    await client.connect();
    // A topic that was created again knows no producer: the next sequence number comes out of order.
    await client.deleteTopics({ topics: [connection.prefix + topic] });
    // The broker knows it a moment after the controller.
    await waitFor(async () => !(await admin.topics()).includes(topic), { what: "the topic to be gone" });
    await admin.ensure([{ name: topic, partitions: 1 }]);
    await client.disconnect();
    for (const value of ["2", "3"]) await sink.send([{ topic, key: "k", value: Buffer.from(value) }]);
    expect((await readAll(topic)).map(({ value }) => String(value))).toEqual(["2", "3"]);
  });
});
