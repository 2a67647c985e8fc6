/** At which moments looks happen, also when reading fails. */
import { describe, expect, test } from "@jest/globals";
import { type Clock, seededRandom } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { ClockWatch } from "@tributary/service-kit";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { configSchema } from "../config.ts";
import { Watch } from "./watch.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 24 * 60 * MINUTE;

const noCheckpoints = { newest: async () => null, leftOut: () => {}, looked: () => {}, last: async () => {} };
const noState = {
  evidenceState: () => {
    throw new Error("no checkpoint is due");
  },
  restore: () => ({ ended: [], missing: [] }),
};

test("looks at every moment once, in order and when it is over, whatever fails (W1, W2)", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed);
    const stop = new AbortController();
    const startedAt = T0 + Math.floor(random() * MINUTE);
    let now = startedAt;
    const sleep = async (ms: number) => {
      now += ms;
    };
    const looks: number[] = [];
    const telemetry = silentTelemetry();
    const slices = new MemoryKafka();
    slices.before = (call) => {
      if (call === "partitions" && random() < 0.2) throw new Error("away");
    };
    const { judge, limits } = configSchema.parse({});
    const watch = new Watch({
      models: new ModelTable(),
      metrics: new FleetMetrics(),
      judge,
      goneMs: 24 * 60 * MINUTE,
      limits,
      random,
      telemetry,
      controller: {
        experiments: new RolloutController(new FleetMetrics()).experiments,
        rollouts: [],
        rollout: () => null,
        evidence: () => null,
        noted: () => {},
        ...noState,
        look: (at) => {
          expect([seed, now >= at + judge.settleMs]).toEqual([seed, true]);
          looks.push(at);
          if (looks.length === 30) stop.abort();
        },
      },
      slices,
      checkpoints: noCheckpoints,
      onFrames: () => {},
      clock: { now: () => now, monotonicMs: () => now, sleep },
    });
    expect(watch.behindMs).toBe(Number.POSITIVE_INFINITY);
    await watch.run(stop.signal);
    expect([seed, looks]).toEqual([seed, Array.from({ length: 30 }, (_, i) => T0 + i * MINUTE)]);
    expect([seed, watch.behindMs]).toEqual([seed, now - (looks.at(-1) as number)]);
    expect(await telemetry.metrics()).toMatch(/fold_failures_total [1-9]/);
  }
});

describe("a clock that is hours ahead for a moment", () => {
  const HOUR = 60 * MINUTE;

  /** From its 5th to its 25th second a minute after the start, the process's wall clock is `aheadMs` ahead. */
  async function watched(aheadMs: number, looksMax: number, boundedBy: "Kafka" | "nothing") {
    let now = T0;
    const stop = new AbortController();
    const isWrong = () => now >= T0 + 65_000 && now < T0 + 85_000;
    const clock: Clock = {
      now: () => now + (isWrong() ? aheadMs : 0),
      monotonicMs: () => now - T0,
      sleep: async (ms) => {
        now += Math.min(ms, 1_000);
        if (now > T0 + HOUR) stop.abort();
      },
    };
    const telemetry = silentTelemetry();
    const never = { ...clock, sleep: () => new Promise<void>(() => {}) };
    const kafkaClock = { read: async () => ({ kafkaAtZero: T0, uncertaintyMs: 0 }), close: async () => {} };
    const clockWatch = new ClockWatch({ kafkaClock, clock: never, telemetry, offsetMsMax: 5_000 });
    clockWatch.start();
    await clockWatch.tried;
    const looks: number[] = [];
    let earliestMs = Number.POSITIVE_INFINITY;
    const { judge, limits } = configSchema.parse({});
    const watch = new Watch({
      models: new ModelTable(),
      metrics: new FleetMetrics(),
      judge,
      goneMs: 24 * 60 * MINUTE,
      limits,
      random: seededRandom(1),
      telemetry,
      controller: {
        experiments: new RolloutController(new FleetMetrics()).experiments,
        rollouts: [],
        rollout: () => null,
        evidence: () => null,
        noted: () => {},
        ...noState,
        look: (at) => {
          looks.push(at);
          earliestMs = Math.min(earliestMs, now - at);
          if (looks.length === looksMax) stop.abort();
        },
      },
      slices: new MemoryKafka(),
      checkpoints: noCheckpoints,
      onFrames: () => {},
      clock: boundedBy === "Kafka" ? { ...clock, now: clockWatch.bounded.now } : clock,
    });
    await watch.run(stop.signal);
    return { watch, looks, earliestMs };
  }

  test("hides nothing: each minute is looked at when it is over, and none before", async () => {
    const { watch, looks, earliestMs } = await watched(6 * HOUR, 30, "Kafka");
    expect(earliestMs).toBeGreaterThanOrEqual(configSchema.parse({}).judge.settleMs);
    expect(looks).toEqual(Array.from({ length: 30 }, (_, i) => T0 + i * MINUTE));
    expect(watch.standstill).toBeNull();
  });

  test("where Kafka's is not known: a fold that stands still afterwards is reported", async () => {
    const { watch } = await watched(6 * HOUR, 10_000, "nothing");
    expect(watch.overdueMs).toBeGreaterThan(50 * MINUTE);
    expect(watch.standstill).toMatch(
      /^looks at canaries are overdue by \d{4} s: it read \d+ s beyond the clock; restart it$/,
    );
  });
});

test("forgets the metrics of devices that are silent for over a week, and of no others", async () => {
  const HOUR = 60 * MINUTE;
  const stop = new AbortController();
  let now = T0;
  const metrics = new FleetMetrics();
  metrics.observe("gone", "m", "accuracy", 1, 1, T0);
  const devices: number[] = [];
  const { judge, limits } = configSchema.parse({ judge: { lookEveryMs: HOUR } });
  const watch = new Watch({
    models: new ModelTable(),
    metrics,
    judge,
    goneMs: 24 * HOUR,
    limits,
    random: seededRandom(1),
    telemetry: silentTelemetry(),
    controller: {
      experiments: new RolloutController(new FleetMetrics()).experiments,
      rollouts: [],
      rollout: () => null,
      evidence: () => null,
      noted: () => {},
      ...noState,
      look: (at) => {
        metrics.observe("here", "m", "accuracy", 1, 1, at);
        devices.push(metrics.devices);
        if (devices.length === 9 * 24) stop.abort();
      },
    },
    slices: new MemoryKafka(),
    checkpoints: noCheckpoints,
    onFrames: () => {},
    clock: {
      now: () => now,
      monotonicMs: () => now,
      sleep: async (ms) => {
        now += ms;
      },
    },
  });
  await watch.run(stop.signal);
  expect(devices.indexOf(1)).toBe(8 * 24 + 1);
  expect(devices.at(-1)).toBe(1);
});
