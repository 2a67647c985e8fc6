/** At which moments looks happen, also when reading fails. */
import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { configSchema } from "../config.ts";
import { Watch } from "./watch.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 24 * 60 * MINUTE;

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
      limits,
      random,
      telemetry,
      controller: {
        experiments: new RolloutController(new FleetMetrics()).experiments,
        rollouts: [],
        rollout: () => null,
        evidence: () => null,
        noted: () => {},
        evidenceState: () => {
          throw new Error("no checkpoint is due");
        },
        restore: () => ({ ended: [], missing: [] }),
        look: (at) => {
          expect([seed, now >= at + judge.settleMs]).toEqual([seed, true]);
          looks.push(at);
          if (looks.length === 30) stop.abort();
        },
      },
      slices,
      checkpoints: { newest: async () => null, leftOut: () => {}, looked: () => {}, last: async () => {} },
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
