/** What is swept while the process's clock is wrong. */
import { expect, test } from "@jest/globals";
import type { BlobStore } from "@tributary/blob-store";
import type { Clock } from "@tributary/kernel";
import { ClockWatch } from "@tributary/service-kit";
import { silentTelemetry } from "@tributary/testing";
import { configSchema } from "../config.ts";
import type { Partitions } from "../partitions.ts";
import type { Tables } from "../tables/tables.ts";
import { Sweeper } from "./sweeper.ts";

const T0 = 1_800_000_000_000;
const YEAR_MS = 365 * 86_400_000;

/** Two sweeps of one instance that holds partition 0, or not. */
async function swept(aheadMs: number, holds: boolean) {
  const config = configSchema.parse({ dataDir: "/data" });
  const telemetry = silentTelemetry();
  let turns = 0;
  const twice = Promise.withResolvers<void>();
  const clock: Clock = {
    now: () => T0 + aheadMs,
    monotonicMs: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        if (ms !== config.blobs.sweepEveryMs) return; // The clock watch's.
        if (turns++ < 2) resolve();
        else twice.resolve();
      }),
  };
  const kafkaClock = { read: async () => ({ kafkaAtZero: T0, uncertaintyMs: 0 }), close: async () => {} };
  const clockWatch = new ClockWatch({ kafkaClock, clock, telemetry, offsetMsMax: 5_000 });
  clockWatch.start();
  await clockWatch.tried;
  const removed: string[] = [];
  const prunedAt: number[] = [];
  const blobs = {
    async *list() {
      yield { digest: "fresh", bytes: 1, storedAt: T0 - 60_000 };
      yield { digest: "unused", bytes: 1, storedAt: T0 - YEAR_MS };
    },
    remove: async (digest: string) => removed.push(digest),
  };
  const index = { prune: (now: number) => prunedAt.push(now), isNamed: () => false };
  const sweeper = new Sweeper(
    config,
    clockWatch,
    telemetry,
    blobs as unknown as BlobStore,
    { index, isCurrent: async () => true } as unknown as Tables,
    { holds: () => holds } as unknown as Partitions,
  );
  sweeper.onApplicationBootstrap();
  await twice.promise;
  await Promise.all([sweeper.onApplicationShutdown(), clockWatch.close()]);
  return { removed: new Set(removed), prunedAt: new Set(prunedAt) };
}

test.each([0, YEAR_MS, 10 * YEAR_MS])(
  "a clock that is %i ms ahead lets no frame expire, and removes no picture, before its time",
  async (aheadMs) => {
    expect(await swept(aheadMs, true)).toEqual({ removed: new Set(["unused"]), prunedAt: new Set([T0]) });
    expect(await swept(aheadMs, false)).toEqual({ removed: new Set(), prunedAt: new Set([T0]) });
  },
);
