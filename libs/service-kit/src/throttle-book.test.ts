import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { ThrottleBook } from "./throttle-book.ts";

const bookAt = (now: () => number, sink = new MemoryKafka(), sleep = systemClock.sleep) =>
  new ThrottleBook({ reporter: "bridge", sink, clock: { ...systemClock, now, sleep }, telemetry: silentTelemetry() });

test("a device is told of once a limit holds it back again and again, and once it no more does (throttle-book.ts T1, T2)", () => {
  let now = 1_000;
  const book = bookAt(() => now);
  for (let i = 0; i < 100; i++, now += 1_000) book.note("now-and-then", "bytes");
  expect([book.sweep(now), book.worst()]).toEqual([[], []]);
  for (let i = 0; i < 50; i++, now += 100) book.note("rogue", "bytes");
  expect(book.sweep(now)).toMatchObject([{ deviceId: "rogue", reporter: "bridge", reasons: [{ reason: "bytes" }] }]);
  expect(book.worst()).toEqual([{ deviceId: "rogue", reason: "bytes", count: 50 }]);
  book.note("rogue", "subscriptions", 30);
  expect(book.sweep(now)[0]?.reasons.map(({ reason }) => reason)).toEqual(["bytes", "subscriptions"]);
  now += 61_000;
  expect(book.sweep(now)).toMatchObject([{ deviceId: "rogue", reasons: [] }]);
  expect(book.worst()).toEqual([]);
});

test("it stands in Kafka, and what is over is told once", async () => {
  const kafka = new MemoryKafka();
  const sweeps = Promise.withResolvers<void>();
  let left = 3;
  const book = bookAt(
    () => 5_000,
    kafka,
    async (ms, signal) => {
      if (left-- > 0) return;
      sweeps.resolve();
      await systemClock.sleep(ms, signal);
    },
  );
  book.note("rogue", "messages", 30);
  book.start();
  await sweeps.promise;
  await book.stop();
  expect(kafka.values(topics.throttled)).toMatchObject([
    { deviceId: "rogue", reasons: [{ reason: "messages", since: 5_000, count: 1n }] },
  ]);
});
