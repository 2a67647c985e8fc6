import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { ThrottleTracker } from "./throttle-tracker.ts";

const trackerAt = (now: () => number, sink = new MemoryKafka(), sleep = systemClock.sleep) =>
  new ThrottleTracker({
    reporter: "bridge",
    sink,
    clock: { ...systemClock, now, sleep },
    telemetry: silentTelemetry(),
  });

test("a device is reported once a limit holds it back again and again, and once it no longer does (throttle-tracker.ts T1, T2)", () => {
  let now = 1_000;
  const tracker = trackerAt(() => now);
  for (let i = 0; i < 100; i++, now += 1_000) tracker.note("now-and-then", "bytes");
  expect([tracker.sweep(now), tracker.worst()]).toEqual([[], []]);
  for (let i = 0; i < 50; i++, now += 100) tracker.note("rogue", "bytes");
  expect(tracker.sweep(now)).toMatchObject([{ deviceId: "rogue", reporter: "bridge", reasons: [{ reason: "bytes" }] }]);
  expect(tracker.worst()).toEqual([{ deviceId: "rogue", reason: "bytes", count: 50 }]);
  tracker.note("rogue", "subscriptions", 30);
  expect(tracker.sweep(now)[0]?.reasons.map(({ reason }) => reason)).toEqual(["bytes", "subscriptions"]);
  now += 61_000;
  expect(tracker.sweep(now)).toMatchObject([{ deviceId: "rogue", reasons: [] }]);
  expect(tracker.worst()).toEqual([]);
});

test("it is stored in Kafka, and an end is reported once", async () => {
  const kafka = new MemoryKafka();
  const sweeps = Promise.withResolvers<void>();
  let left = 3;
  const tracker = trackerAt(
    () => 5_000,
    kafka,
    async (ms, signal) => {
      if (left-- > 0) return;
      sweeps.resolve();
      await systemClock.sleep(ms, signal);
    },
  );
  tracker.note("rogue", "messages", 30);
  tracker.start();
  await sweeps.promise;
  await tracker.stop();
  expect(kafka.values(topics.throttled)).toMatchObject([
    { deviceId: "rogue", reasons: [{ reason: "messages", since: 5_000, count: 1n }] },
  ]);
});
