/** What is forgotten while the process's clock is wrong. */
import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { DeviceDrift, DriftReviews } from "@tributary/drift";
import type { KafkaReader } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { ClockWatch, Health } from "@tributary/service-kit";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { configSchema } from "./config.ts";
import type { FleetSize } from "./fleet-size.ts";
import type { KnownReviews } from "./known-reviews.ts";
import type { KnownPackages } from "./packages/known-packages.ts";
import { Partitions } from "./partitions.ts";
import type { StateSink } from "./sinks.ts";

const NOW = 1_800_000_000_000;
const [HOUR_MS, DAY_MS] = [3_600_000, 86_400_000];

test.each([0, 400 * DAY_MS])("a clock that is %i ms ahead forgets silent devices only", async (aheadMs) => {
  const kafka = new MemoryKafka();
  const telemetry = silentTelemetry();
  for (const [deviceId, savedAt] of [["here", NOW - HOUR_MS] as const, ["old", NOW - 365 * DAY_MS] as const]) {
    const state = Buffer.from(new DeviceDrift(deviceId).encode());
    kafka.put(topics.driftState, deviceId, { deviceId, savedAt, state }, { partition: 0 });
  }
  let turns = 0;
  const pruned = Promise.withResolvers<void>();
  const clock: Clock = {
    now: () => NOW + aheadMs,
    monotonicMs: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        if (ms !== HOUR_MS) return; // The clock watch's.
        if (turns++ < 1) resolve();
        else pruned.resolve();
      }),
  };
  const kafkaClock = { read: async () => ({ kafkaAtZero: NOW, uncertaintyMs: 0 }), close: async () => {} };
  const clockWatch = new ClockWatch({ kafkaClock, clock, telemetry, offsetMsMax: 5_000 });
  clockWatch.start();
  await clockWatch.tried;
  const partitions = new Partitions(
    configSchema.parse({}),
    clockWatch,
    telemetry,
    kafka as unknown as KafkaReader,
    kafka as unknown as StateSink,
    { get: () => undefined, fetched: async () => {} } as unknown as KnownPackages,
    { cameras: 2 } as FleetSize,
    new DriftReviews() as KnownReviews,
    new Health(),
  );
  await partitions.onAssigned([0]);
  partitions.onApplicationBootstrap();
  await pruned.promise;
  expect(kafka.records(topics.driftState).flatMap(({ key, value }) => (value === null ? [key] : []))).toEqual(["old"]);
  expect(partitions.worker(0).devices).toBe(1);
  await Promise.all([partitions.onApplicationShutdown(), clockWatch.close()]);
});
