import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { testKafka, waitFor } from "@tributary/testing";
import kafkajs from "kafkajs";
import { KafkajsAdmin } from "./admin.ts";
import { PlatformaticSink } from "./platformatic-sink.ts";
import type { InRecord } from "./ports.ts";
import { KafkaReader } from "./reader.ts";
import { tail } from "./tail.ts";

const connection = { ...testKafka(), clientId: "reader-test" };
const admin = new KafkajsAdmin(connection);
const sink = new PlatformaticSink(connection);
const reader = new KafkaReader(connection);

beforeAll(() =>
  admin.ensure([
    { name: "log", partitions: 8, config: { "message.timestamp.type": "LogAppendTime" } },
    { name: "one", partitions: 1 },
  ]),
);
afterAll(() => Promise.all([sink.close(), reader.close(), admin.close()]));

const put = (topic: string, values: readonly string[]) =>
  Promise.all(values.map((value, i) => sink.send([{ topic, key: `k${i % 20}`, value: Buffer.from(value) }])));

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test("bounded reads give every record once, in order, from and until the given offsets (reader.ts R1)", async () => {
  const before = Date.now();
  await put(
    "log",
    Array.from({ length: 2_000 }, (_, i) => String(i)),
  );
  const all: InRecord[] = [];
  for (const partition of await reader.partitions("log")) {
    const { earliest, next } = await reader.offsets("log", partition);
    expect(earliest).toBe(0n);
    const records = await collect(reader.read("log", partition, { until: next }));
    expect(records.map(({ offset }) => offset)).toEqual(records.map((_, i) => BigInt(i)));
    all.push(...records);
    if (next >= 3n) {
      const part = await collect(reader.read("log", partition, { from: 1n, until: next - 1n }));
      expect(part).toEqual(records.slice(1, -1));
    }
    expect(await collect(reader.read("log", partition, { from: next, until: next }))).toEqual([]);
  }
  expect(all.map(({ value }) => Number(value)).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 2_000 }, (_, i) => i),
  );
  // The broker's time, not the client's.
  for (const { timestamp } of all) expect(timestamp).toBeGreaterThanOrEqual(before - 1_000);
});

test("following many partitions: new records come at once, a slow reader delays no other, abort ends it (reader.ts R2, R3)", async () => {
  const stop = new AbortController();
  const seen: string[] = [];
  const follow = async (partition: number, from: bigint) => {
    for await (const record of reader[tail]("log", partition, { from, signal: stop.signal })) {
      seen.push(String(record.value));
    }
  };
  const slow = reader[tail]("log", 0, { from: 0n, signal: stop.signal })[Symbol.asyncIterator]();
  await slow.next(); // and takes no more
  const partitions = await reader.partitions("log");
  const ends = await Promise.all(partitions.map(async (partition) => (await reader.offsets("log", partition)).next));
  const followers = partitions.map((partition, i) => follow(partition, ends[i] as bigint));
  await put("log", ["x", "y", "z"]);
  await waitFor(() => seen.length === 3, { what: "the three new records", everyMs: 2 });
  await put(
    "log",
    Array.from({ length: 500 }, (_, i) => String(i)),
  );
  await waitFor(() => seen.length === 503, { what: "all new records" });
  stop.abort();
  await Promise.all(followers);
  await slow.return?.(undefined);
});

test("two readers of one partition both get everything; a read from before the retained log starts at its earliest record", async () => {
  await put(
    "one",
    Array.from({ length: 300 }, (_, i) => String(i)),
  );
  const both = await Promise.all([0n, 100n].map((from) => collect(reader.read("one", 0, { from, until: 300n }))));
  expect(both.map((records) => records.length)).toEqual([300, 200]);

  const client = new kafkajs.Kafka({ brokers: [...connection.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
  await client.connect();
  const topic = `${connection.prefix}one`;
  await client.fetchTopicOffsets(topic); // or kafkajs has no metadata to delete with
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "250" }] });
  await client.disconnect();
  const left = await collect(reader.read("one", 0, { from: 0n, until: 300n }));
  expect(left.map(({ offset }) => Number(offset))).toEqual(Array.from({ length: 50 }, (_, i) => 250 + i));
});

test("a position behind the end of the log is an error, not a silent wait", async () => {
  await expect(collect(reader.read("one", 0, { from: 10_000n, until: 10_001n }))).rejects.toMatchObject({
    code: "kafka-offset-out-of-range",
  });
});
