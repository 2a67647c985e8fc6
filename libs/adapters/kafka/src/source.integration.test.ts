import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { testKafka, waitFor } from "@tributary/testing";
import kafkajs from "kafkajs";
import { KafkajsAdmin } from "./admin.ts";
import { KafkajsSink } from "./kafkajs-sink.ts";
import { KafkajsSource } from "./kafkajs-source.ts";
import { Lease } from "./lease.ts";
import type { Batch } from "./ports.ts";

const connection = { ...testKafka(), clientId: "source-test" };
const admin = new KafkajsAdmin(connection);
const sink = new KafkajsSink(connection);
const PARTITIONS = 6;

beforeAll(() => admin.ensure(["a", "b", "c", "d", "e", "f"].map((name) => ({ name, partitions: PARTITIONS }))));
afterAll(async () => {
  await sink.close();
  await admin.close();
});

const fill = async (topic: string, from: number, count: number) => {
  const numbers = Array.from({ length: count }, (_, i) => from + i);
  await sink.send(numbers.map((n) => ({ topic, key: `device-${n % 30}`, value: Buffer.from(String(n)) })));
};

/** String.hashCode, by which Kafka finds the partition of a group's commits. */
const javaHashOf = (text: string) => [...text].reduce((hash, char) => (31 * hash + char.charCodeAt(0)) | 0, 0);

/** A member that checks the guarantees of a source while it counts. */
class Member {
  readonly source: KafkajsSource;
  readonly held = new Set<number>();
  readonly seen: string[] = [];
  readonly ended: Promise<string>;
  readonly #running = new Set<number>();

  constructor(group: string, topics: string[], process: (batch: Batch) => number = (batch) => batch.records.length) {
    this.source = new KafkajsSource({ ...connection, group, topics, batchRecordsMax: 50, roundMsMin: 30 });
    const run = this.source.run(
      async (batch) => {
        const { topic, partition, records } = batch;
        if (this.#running.has(partition)) throw new Error(`C2: partition ${partition} handled twice at once`);
        if (!this.held.has(partition)) throw new Error(`partition ${partition} was not reported`);
        this.#running.add(partition);
        await new Promise((resolve) => setTimeout(resolve, 2));
        this.#running.delete(partition);
        const processed = process(batch);
        for (const record of records.slice(0, processed)) this.seen.push(`${topic}:${partition}:${record.offset}`);
        return { processed };
      },
      {
        onAssigned: async (partitions) => {
          await new Promise((resolve) => setTimeout(resolve, 50));
          for (const partition of partitions) this.held.add(partition);
        },
        onRevoked: async (partitions) => {
          for (const partition of partitions) this.held.delete(partition);
        },
      },
    );
    this.ended = run.then(
      () => "closed",
      (error: Error) => error.message,
    );
  }
}

describe("source", () => {
  test("members share co-partitioned topics; one leaves, the other takes over behind its commits (C1-C4)", async () => {
    await fill("a", 0, 600);
    await fill("b", 0, 600);
    const first = new Member("pair", ["a", "b"]);
    await waitFor(() => first.seen.length === 1_200, { what: "the first member to handle all" });
    expect(new Set(first.seen).size).toBe(1_200);

    const second = new Member("pair", ["a", "b"]);
    await waitFor(() => first.held.size === 3 && second.held.size === 3, { what: "an even share" });
    expect([...first.held, ...second.held].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    await fill("a", 600, 300);
    await fill("b", 600, 300);
    await waitFor(() => first.seen.length + second.seen.length === 1_800, { what: "both to handle the rest" });

    await first.source.close();
    expect(await first.ended).toBe("closed");
    expect(first.held.size).toBe(0);
    await waitFor(() => second.held.size === PARTITIONS, { what: "the other to take over" });
    await fill("a", 900, 60);
    await waitFor(() => first.seen.length + second.seen.length === 1_860, { what: "the last records" });
    // Orderly handovers repeat nothing.
    expect(new Set([...first.seen, ...second.seen]).size).toBe(1_860);
    await second.source.close();
  });

  test("an unprocessed record is delivered again, and a crash leaves it uncommitted (kafkajs-source.ts C1, C3, C5)", async () => {
    await fill("c", 0, 90);
    let batches = 0;
    const partial = new Member("partial", ["c"], ({ records }) =>
      ++batches % 3 === 0 ? 0 : Math.ceil(records.length / 2),
    );
    await waitFor(() => partial.seen.length === 90, { what: "all in spite of partial handling" });
    expect(new Set(partial.seen).size).toBe(90);
    await partial.source.close();

    await fill("c", 90, 60);
    const crashing = new Member("partial", ["c"], () => {
      throw new Failure("state-broken", "ask-a-person", "the fold is broken");
    });
    expect(await crashing.ended).toBe("the fold is broken");
    const after = new Member("partial", ["c"]);
    await waitFor(() => after.seen.length === 60, { what: "the records of the crash" });
    await after.source.close();
  });

  test("a member that is still preparing its partitions lets the group rebalance, and ends preparing what it loses", async () => {
    const prepared = Promise.withResolvers<void>();
    const lost: number[] = [];
    const slow = new KafkajsSource({ ...connection, group: "preparing", topics: ["c"] });
    const ended = slow.run(async ({ records }) => ({ processed: records.length }), {
      onAssigned: () => prepared.promise,
      onLosing: (partitions) => {
        lost.push(...partitions);
        prepared.resolve();
      },
    });
    await waitFor(() => slow.problem === undefined, { what: "the first member" });
    const second = new Member("preparing", ["c"]);
    await waitFor(() => second.held.size === PARTITIONS / 2, { what: "its share", timeoutMs: 25_000 });
    expect(lost.sort()).toEqual([...second.held].sort());
    await Promise.all([slow.close(), second.source.close(), ended]);
  });

  test("a handler that outlives the session keeps its membership by heartbeats", async () => {
    await fill("d", 0, 1);
    let handled = 0;
    const source = new KafkajsSource({
      ...connection,
      group: "slow",
      topics: ["d"],
      lease: new Lease({ sessionMs: 6_000 }),
    });
    const ended = source.run(async ({ records }) => {
      await new Promise((resolve) => setTimeout(resolve, 7_000));
      handled += records.length;
      return { processed: records.length };
    });
    await waitFor(() => handled === 1, { what: "the slow handler" });
    await source.close();
    await ended;
    const again = new Member("slow", ["d"]);
    await fill("d", 30, 1); // the same device, behind what was handled
    await waitFor(() => again.seen.length > 0, { what: "the next member" });
    expect(again.seen).toEqual([expect.stringMatching(/:1$/)]);
    await again.source.close();
  });

  test("records that come one by one are delivered in rounds, and committed together (kafkajs-source.ts C3, C7)", async () => {
    const kafka = new kafkajs.Kafka({ brokers: [...connection.brokers], logLevel: kafkajs.logLevel.NOTHING });
    const client = kafka.admin();
    const consumer = kafka.consumer({ groupId: `${connection.prefix}commits` });
    await Promise.all([client.connect(), consumer.connect()]);
    const group = `${connection.prefix}rounds`;
    /** Of the partition that holds the group's commits. */
    const end = async () => {
      const ends = await client.fetchTopicOffsets("__consumer_offsets");
      const partition = Math.abs(javaHashOf(group)) % ends.length;
      return { partition, next: Number(ends.find((of) => of.partition === partition)?.high) };
    };
    let batches = 0;
    const member = new Member("rounds", ["e"], ({ records }) => {
      batches++;
      return records.length;
    });
    await waitFor(() => member.held.size === PARTITIONS, { what: "the member" });
    const before = await end();
    const startedMs = performance.now();
    for (let n = 0; n < 300; n++) await sink.send([{ topic: "e", key: "one", value: Buffer.from(String(n)) }]);
    await waitFor(() => member.seen.length === 300, { what: "all records" });
    const after = await end();
    const ms = performance.now() - startedMs;
    let [written, read] = [0, 0];
    await consumer.subscribe({ topic: "__consumer_offsets", fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (partition !== after.partition) return;
        const offset = Number(message.offset);
        // Other groups commit into the same partition.
        if (offset >= before.next && offset < after.next && message.key?.includes(group)) written++;
        read = offset + 1;
      },
    });
    await waitFor(() => read >= after.next, { what: "the group's commits" });
    // Rounds of 30 ms and commits of 250 ms, by timers that may be early.
    expect([batches, ms]).toEqual([Math.min(batches, ms / 29 + 1), ms]);
    expect(written).toBeGreaterThan(0);
    expect([written, ms]).toEqual([Math.min(written, ms / 240 + 1), ms]);
    await member.source.close();

    const next = new Member("rounds", ["e"]);
    await waitFor(() => next.held.size === PARTITIONS, { what: "the next member" });
    await sink.send([{ topic: "e", key: "one", value: Buffer.from("last") }]);
    await waitFor(() => next.seen.length > 0, { what: "the last record" });
    expect(next.seen).toHaveLength(1);
    await next.source.close();
    await Promise.all([client.disconnect(), consumer.disconnect()]);
  });

  test("independent records: one that hangs holds up no other, and its partition is committed up to it (C6)", async () => {
    await fill("f", 0, 120);
    const independent = { recordsMax: 100, bytesMax: 1 << 20, ownerShareMax: 1, isUrgent: () => false };
    const start = (work: (place: string, signal: AbortSignal) => Promise<void>) => {
      const seen: string[] = [];
      const source = new KafkajsSource({ ...connection, group: "independent", topics: ["f"], independent });
      const ended = source.run(async ({ partition, records: [record] }, signal) => {
        const place = `${partition}:${record?.offset}`;
        await work(place, signal);
        if (signal.aborted) return { processed: 0 };
        seen.push(place);
        return { processed: 1 };
      });
      return { source, seen, ended };
    };
    const first = start(async (place, signal) => {
      if (place !== "0:1") return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
    await waitFor(() => first.seen.length === 119, { what: "all but the one that hangs" });
    await first.source.close();
    await first.ended;

    const second = start(async () => {});
    const rest = first.seen.filter((place) => place.startsWith("0:") && place !== "0:0").length + 1;
    await waitFor(() => second.seen.length === rest, { what: "the partition from the one that hung" });
    expect(second.seen.every((place) => place.startsWith("0:") && place !== "0:0")).toBe(true);
    await fill("f", 120, 30);
    await waitFor(() => second.seen.length === rest + 30, { what: "records that follow" });
    await second.source.close();
  });
});
