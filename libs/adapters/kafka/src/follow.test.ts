import { setImmediate } from "node:timers/promises";
import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { seededRandom, systemClock } from "@tributary/kernel";
import { followContext, MemoryKafka, someRegistration } from "@tributary/testing";
import { follow } from "./follow.ts";

const topic = topics.registry;

test("a follower is caught up at the end it found, and survives failing reads without a gap or a repeat (follow.ts F1, F2)", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const kafka = new MemoryKafka({ partitions: 2 });
    const append = (count: number) => {
      for (let i = 0; i < count; i++) for (const partition of [0, 1]) kafka.put(topic, "k", null, { partition });
    };
    const offsets = (at: number) =>
      kafka.records(topic).flatMap(({ partition, offset }) => (partition === at ? [offset] : []));
    append(Math.floor(random() * 20));
    kafka.clean(topic, ({ offset }) => offset !== 7n, 2n);
    kafka.before = (call) => {
      if (call === "read" && random() < 0.1) throw new Error("away");
    };
    const stop = new AbortController();
    const context = {
      ...followContext(kafka, stop.signal),
      clock: { ...systemClock, sleep: async () => {} },
      random,
    };
    const seen: bigint[][] = [[], []];
    const following = await follow(context, topic, (_, { partition, offset }) => void seen[partition]?.push(offset));
    const there = [0, 1].map(offsets);
    await following.caughtUp;
    expect([seed, seen]).toEqual([seed, there]);
    append(20);
    while (seen.flat().length < kafka.records(topic).length) await setImmediate();
    stop.abort();
    await following.ended;
    expect([seed, seen]).toEqual([seed, [0, 1].map(offsets)]);
  }
});

test("a record that cannot be used is counted and skipped; those behind it are delivered, each once (follow.ts F3, G8)", async () => {
  const kafka = new MemoryKafka();
  for (const deviceId of ["a", "refused", "b"]) kafka.put(topic, deviceId, someRegistration({ deviceId }));
  kafka.write({ topic: topic.name, key: "c", value: Buffer.from("no Avro") });
  kafka.put(topic, "d", null);
  const stop = new AbortController();
  const context = followContext(kafka, stop.signal);
  const seen: (string | null)[] = [];
  const onRecord = (value: { readonly deviceId: string } | null) => {
    if (value?.deviceId === "refused") throw new RangeError("unforeseen");
    seen.push(value?.deviceId ?? null);
  };
  await (await follow(context, topic, onRecord)).caughtUp;
  await (await follow(context, topic, onRecord, { newest: 4, wants: ({ key }) => key === "b" })).caughtUp;
  expect(seen).toEqual(["a", "b", null, "b"]);
  const metrics = await context.telemetry.metrics();
  expect(metrics).toMatch(/records_malformed_total\{topic="devices.registry.v1",code="unexpected-error"\} 1/);
  expect(metrics).toMatch(/records_malformed_total\{topic="devices.registry.v1",code="framing-unknown"\} 1/);
  stop.abort();
});

test("a wait for a topic that is not followed any more ends (follow.ts F1)", async () => {
  const kafka = new MemoryKafka();
  kafka.put(topic, "k", null);
  const stop = new AbortController();
  const context = followContext(kafka, stop.signal);
  const live = await follow(context, topic, () => {}, { newest: 0 });
  await live.caughtUp;
  kafka.before = (call) => {
    if (call === "read") throw new Error("away");
  };
  const waiting = await follow(context, topic, () => {});
  stop.abort();
  await expect(waiting.caughtUp).rejects.toMatchObject({ code: "follower-stopped" });
  await Promise.all([waiting.ended, live.ended, live.caughtUp]);
});
