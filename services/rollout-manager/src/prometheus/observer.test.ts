/** Which moments are queried and written when: past and present, many devices, unreachable servers. */
import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { applyEvent, type Rollout, readSpec } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import type { Vector } from "./client.ts";
import { PAST_STEPS } from "./moments.ts";
import { DEVICES_A_RECORD, Observer } from "./observer.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 24 * 60 * MINUTE;
const signal = new AbortController().signal;
const { spec } = readSpec({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: {
    model: "edge@2",
    strategy: { canary: { steps: [{ setWeight: 10 }, { analysis: { duration: "2h" } }, { setWeight: 100 }] } },
    metrics: [
      { name: "accuracy" },
      { name: "answers-kept", provider: { prometheus: { good: "good_total", total: "all_total" } } },
    ],
  },
});

function rig(devices: number) {
  const order = Array.from({ length: devices }, (_, i) => `d${i}`);
  const [uid, modelDigest, stableDigest] = ["u", "new", "old"];
  if (spec === null) throw new Error("the specification is wrong");
  const change = { kind: "created", spec, modelDigest, stableDigest, order } as const;
  const rollout = applyEvent(null, { uid, version: 1, at: T0, by: "ann", change }, 1n) as Rollout;
  const fleet = new FleetMetrics();
  const sink = new MemoryKafka();
  sink.before = () => {
    if (world.kafka === "away") throw new Error("no broker");
  };
  let seen = 0;
  const asked: string[] = [];
  const world = { now: T0, prometheus: "well", kafka: "well" };
  const vector = (value: number): Vector => ({
    series: order.map((device) => ({ labels: { device }, value })),
    malformed: 0,
  });
  const telemetry = silentTelemetry();
  const observer = new Observer({
    controller: { rollouts: [rollout] },
    fleet,
    telemetry,
    random: () => 0.5,
    isReady: () => true,
    grid: { everyMs: MINUTE, delayMs: 0, pastMs: 24 * 60 * MINUTE },
    clock: { now: () => world.now, monotonicMs: () => world.now, sleep: async () => {} },
    ask: async (query, at) => {
      asked.push(`${query}@${(at - T0) / MINUTE}`);
      if (world.prometheus === "away") throw new Failure("prometheus-timeout", "retry", "no answer within 9 ms");
      if (world.prometheus === "empty") return { series: [], malformed: 0 };
      return vector(query === "good_total" ? 9 : 10);
    },
    sink,
  });
  const start = (minute: number) =>
    fleet.start({
      uid,
      startedAt: T0 + minute * MINUTE,
      metrics: ["accuracy", "answers-kept"],
      canary: order.slice(0, 2),
      control: order.slice(2, 4),
    });
  const round = async (minute: number) => {
    world.now = T0 + minute * MINUTE;
    await observer.round(signal);
    const news = sink.values(topics.observations).slice(seen);
    seen += news.length;
    return news.map(({ at, devices, problem }) => [(at - T0) / MINUTE, devices.length, problem]);
  };
  return { world, asked, start, round, telemetry };
}

describe("an observer", () => {
  test("asks for the past once, of every device, in records of bounded size", async () => {
    const { asked, round } = rig(DEVICES_A_RECORD + 1);
    const records = await round(0);
    expect(records).toHaveLength(2 * (PAST_STEPS + 1));
    expect(records.slice(0, 2)).toEqual([
      [-1_440, DEVICES_A_RECORD, null],
      [-1_440, 1, null],
    ]);
    expect(asked).toHaveLength(2 * (PAST_STEPS + 1));
    expect(await round(5)).toEqual([]);
  });

  test("asks for each moment of a comparison, of its devices alone", async () => {
    const { start, round } = rig(50);
    await round(0);
    start(3.5);
    expect(await round(3.9)).toEqual([]);
    expect(await round(4)).toEqual([[4, 4, null]]);
    expect(await round(4.5)).toEqual([]);
    expect(await round(9)).toEqual([[9, 4, null]]);
  });

  test("reports once a moment why there is no data, backs off, and continues when Prometheus is reachable again", async () => {
    const { world, asked, start, round, telemetry } = rig(50);
    world.prometheus = "away";
    expect(await round(0)).toEqual([]); // Nobody waits for the past.
    start(3.5);
    const reports: unknown[] = [];
    for (let minute = 4; minute < 10; minute += 0.05) reports.push(...(await round(minute)));
    expect(reports).toEqual([4, 5, 6, 7, 8, 9].map((minute) => [minute, 0, "no answer within 9 ms"]));
    expect(asked.length).toBeLessThan(60);
    world.prometheus = "well";
    expect(await round(12)).toEqual([[12, 4, null]]);
    world.prometheus = "empty";
    expect(await round(13)).toEqual([[13, 0, "Prometheus has nothing usable of any of the 4 devices"]]);
    expect(await telemetry.metrics()).toMatch(/prometheus_failures_total\{code="prometheus-timeout"\} \d+/);
  });

  test("repeats observations that Kafka did not take", async () => {
    const { world, start, round } = rig(50);
    start(3.5);
    world.kafka = "away";
    expect(await round(4)).toEqual([]);
    world.kafka = "well";
    expect(await round(4.2)).toEqual([[4, 4, null]]);
  });
});
