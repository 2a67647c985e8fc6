import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { testKafka, waitFor } from "@tributary/testing";
import { KafkajsAdmin } from "./admin.ts";
import { FencedSink, LEASE_LOST } from "./fenced-sink.ts";
import { KafkaInspector } from "./inspector.ts";
import { KafkajsSink } from "./kafkajs-sink.ts";
import { KafkajsSource } from "./kafkajs-source.ts";
import { Lease } from "./lease.ts";
import type { OutRecord } from "./ports.ts";
import { FENCED } from "./producer-epochs.ts";
import { KafkaReader } from "./reader.ts";

const connection = { ...testKafka(), clientId: "fence-test" };
const admin = new KafkajsAdmin(connection);
const reader = new KafkaReader(connection);
const PARTITIONS = 4;
const TOPICS = ["answers", "states", "requests"];
const never = new AbortController().signal;

const heldLease = () => {
  const lease = new Lease({ sessionMs: 600_000 });
  lease.answered(0);
  lease.renew();
  return lease;
};
const sinks: FencedSink[] = [];
const sinkOf = (group: string, lease = heldLease()) => {
  const sink = new FencedSink({ ...connection, group, topics: ["answers", "states"], lease });
  sinks.push(sink);
  return sink;
};

/** A key of each partition. */
const keys: string[] = [];

beforeAll(async () => {
  await admin.ensure(TOPICS.map((name) => ({ name, partitions: PARTITIONS })));
  const sink = new KafkajsSink(connection);
  for (let i = 0; keys.filter(Boolean).length < PARTITIONS; i++) {
    const [at] = await sink.send([{ topic: "requests", key: `k${i}`, value: Buffer.from("probe") }]);
    if (at !== undefined) keys[at.partition] ??= `k${i}`;
  }
  await sink.close();
});
afterAll(async () => {
  for (const sink of sinks) await sink.close();
  await reader.close();
  await admin.close();
});

const record = (topic: string, partition: number, text: string): OutRecord => ({
  topic,
  key: keys[partition] as string,
  value: Buffer.from(text),
});

async function stored(topic: string, partition: number): Promise<string[]> {
  const texts: string[] = [];
  const { next } = await reader.offsets(topic, partition);
  for await (const { value } of reader.read(topic, partition, { until: next })) texts.push(String(value));
  return texts;
}

const codeOf = (sending: Promise<unknown>): Promise<string> =>
  sending.then(
    () => "stored",
    (error: { code?: string }) => error.code ?? String(error),
  );

describe("fenced sink", () => {
  test("stores in order, returns the positions, and takes only keys of its partition", async () => {
    const writer = await sinkOf("order").claim(0, never);
    const { next } = await reader.offsets("answers", 0);
    const first = await writer.send([record("answers", 0, "a"), record("states", 0, "s"), record("answers", 0, "b")]);
    expect(first.map(({ topic, partition, offset }) => [topic, partition, offset - next])).toEqual([
      ["answers", 0, 0n],
      ["states", 0, expect.anything()],
      ["answers", 0, 1n],
    ]);
    const more = await writer.send([record("answers", 0, "c")]);
    expect(more[0]?.offset).toBe(next + 2n);
    expect((await stored("answers", 0)).slice(-3)).toEqual(["a", "b", "c"]);
    expect(await codeOf(writer.send([record("answers", 1, "elsewhere")]))).toBe("kafka-partitions-differ");
  });

  test("a former owner's records are refused from the claim on, the new owner's are stored (fenced-sink.ts F1)", async () => {
    const [old, young] = [sinkOf("fence"), sinkOf("fence")];
    const former = await old.claim(1, never);
    await former.send([record("answers", 1, "of the former owner"), record("states", 1, "one")]);

    const owner = await young.claim(1, never);
    const { next } = await reader.offsets("answers", 1);
    expect(await codeOf(former.send([record("answers", 1, "too late")]))).toBe(FENCED);
    expect(await codeOf(former.send([record("requests", 1, "the writer has ended")]))).toBe(FENCED);
    const [at] = await owner.send([record("answers", 1, "of the owner")]);
    expect(at?.offset).toBe(next); // nothing was written in between: the owner had read everything
    expect(await stored("answers", 1)).toEqual(["of the former owner", "of the owner"]);
  });

  test("control: an idempotent producer alone lets a former owner write", async () => {
    const [old, young] = [new KafkajsSink(connection), new KafkajsSink(connection)];
    await old.send([record("requests", 2, "former")]);
    await young.send([record("requests", 2, "owner")]);
    await old.send([record("requests", 2, "former again")]);
    expect((await stored("requests", 2)).slice(-3)).toEqual(["former", "owner", "former again"]);
    await Promise.all([old.close(), young.close()]);
  });

  test("of many that claim the same partition, the last claim alone can write (producer-epochs.ts E2)", async () => {
    for (let round = 0; round < 8; round++) {
      const writers = await Promise.allSettled(Array.from({ length: 6 }, () => sinkOf("race").claim(3, never)));
      const claimed = writers.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      const outcomes = await Promise.all(
        claimed.map((writer, i) => codeOf(writer.send([record("answers", 3, `${round} ${i}`)]))),
      );
      expect(outcomes.filter((outcome) => outcome === "stored").length).toBeLessThanOrEqual(1);
      expect(outcomes.every((outcome) => outcome === "stored" || outcome === FENCED)).toBe(true);
    }
    const last = await sinkOf("race").claim(3, never);
    expect(await codeOf(last.send([record("answers", 3, "last")]))).toBe("stored");
  });

  test("without a lease nothing is claimed or sent (fenced-sink.ts F2)", async () => {
    const lease = heldLease();
    const sink = sinkOf("lease", lease);
    const writer = await sink.claim(2, never);
    lease.end();
    const before = await stored("answers", 2);
    expect(await codeOf(writer.send([record("answers", 2, "unleased")]))).toBe(LEASE_LOST);
    expect(await codeOf(sink.claim(2, never))).toBe(LEASE_LOST);
    expect(await stored("answers", 2)).toEqual(before);
  });

  test("large sends go in several batches; a record that Kafka refuses ends its own writer only (fenced-sink.ts F4)", async () => {
    const sink = sinkOf("large");
    const [small, large] = [await sink.claim(0, never), await sink.claim(1, never)];
    const chunk = "x".repeat(300_000);
    const many = Array.from({ length: 8 }, () => record("answers", 1, chunk));
    const [positions] = await Promise.all([large.send(many), small.send([record("answers", 0, "beside")])]);
    const offsets = positions.map(({ offset }) => offset - (positions[0]?.offset ?? 0n));
    expect(offsets).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n]);
    const refused = [record("answers", 1, "x".repeat(6_000_000))];
    const [outcome, beside] = await Promise.all([
      codeOf(large.send(refused)),
      codeOf(small.send([record("answers", 0, "beside too")])),
    ]);
    expect([outcome, beside]).toEqual(["kafka-record-oversized", "stored"]);
  });

  test("a group's consumer commits past the markers of claims, so that its lag ends at zero", async () => {
    const group = "markers";
    const writer = await sinkOf("lag").claim(2, never);
    await writer.send([record("states", 2, "last record")]);
    const seen: string[] = [];
    const source = new KafkajsSource({ ...connection, group, topics: ["states"] });
    const running = source.run(async ({ records }) => {
      for (const { value } of records) seen.push(String(value));
      return { processed: records.length };
    });
    await waitFor(() => seen.includes("last record"), { what: "the record before the marker" });
    await sinkOf("lag").claim(2, never);
    const inspector = new KafkaInspector(connection);
    await waitFor(
      async () => {
        const lags = await inspector.groups();
        const mine = lags.find((candidate) => candidate.group === group);
        return mine !== undefined && mine.topics.length > 0 && mine.topics.every(({ lag }) => lag === 0n);
      },
      { what: "no lag behind a marker" },
    );
    await inspector.close();
    await source.close();
    await running;
  });
});
