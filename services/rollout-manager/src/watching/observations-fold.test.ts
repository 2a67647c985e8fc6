/** Prometheus' answers in metrics.observations.v1, folded by several instances. */
import { describe, expect, test } from "@jest/globals";
import { type MetricObservations, topics } from "@tributary/contracts";
import { RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { MetricsFold } from "./metrics-fold.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 24 * 60 * MINUTE;
const at = (minute: number) => T0 + minute * MINUTE;
const signal = new AbortController().signal;

class Observations extends MemoryKafka {
  observe(
    minute: number,
    devices: readonly [string, number, number][],
    change: Partial<MetricObservations> = {},
  ): void {
    const observations = {
      rolloutUid: "u",
      metric: "kept",
      at: at(minute),
      problem: null,
      devices: devices.map(([deviceId, good, total]) => ({ deviceId, good, total })),
      ...change,
    };
    const timestamp = Math.max(at(minute), this.written.at(-1)?.timestamp ?? 0) + 5_000;
    this.put(topics.observations, "u", observations, { timestamp });
  }
}

async function folded(log: Observations, startsAfterReading = false) {
  const fleet = new FleetMetrics();
  const telemetry = silentTelemetry();
  const notes: (string | null)[] = [];
  const fold = new MetricsFold({
    reader: log,
    fleet,
    experiments: new RolloutController(fleet).experiments,
    telemetry,
    propensityMean: 0.02,
    limits: { drawnFramesMax: 10, labelsWaitingMax: 10, labelledFramesMax: 10 },
    limitsOf: () => undefined,
    createdAt: (uid, metric) => (uid === "u" && metric === "kept" ? at(5) : undefined),
    noted: (_uid, _metric, words) => notes.push(words),
    onRecord: () => {},
  });
  const start = () => fleet.start({ uid: "u", startedAt: at(10), control: ["a"], canary: ["b"], metrics: ["kept"] });
  if (!startsAfterReading) start();
  await fold.start(at(100), at(0));
  await fold.foldTo(at(9.5), at(9.5), signal);
  if (startsAfterReading) start();
  for (let minute = 10; minute < 40; minute++) await fold.foldTo(at(minute), at(minute), signal);
  const { control, canary } = fleet.analysis("u")?.counts("kept") ?? {};
  const arms = [control, canary].map((arm) => [arm?.good[0], arm?.frames[0], arm?.before[0]]);
  return { arms, notes, metrics: await telemetry.metrics(), refused: fleet.refused };
}

describe("observations", () => {
  test("of two instances count once, and the same for every instance", async () => {
    const log = new Observations();
    log.observe(0, [["a", 0, 0]]);
    log.observe(4, [["a", 90, 100]]);
    for (const minute of [11, 12, 13]) {
      log.observe(minute, [
        ["a", 90 + 9 * minute, 100 + 10 * minute],
        ["b", 5 * minute, 10 * minute],
      ]);
      // Another instance got other counters for the same moment, and those of one more device.
      log.observe(minute, [
        ["a", 100 + 10 * minute, 100 + 10 * minute],
        ["c", 1, 1],
      ]);
    }
    const first = await folded(log);
    expect(first.arms).toEqual([
      [18, 20, 0.9],
      [10, 20, 0.9],
    ]);
    expect((await folded(log, true)).arms).toEqual(first.arms);
  });

  test("that are malformed are skipped, counted by reason, and stop nothing", async () => {
    const log = new Observations();
    log.observe(11, [["a", 10, 10]]);
    log.write({ topic: topics.observations.name, key: "u", value: Buffer.from("not Avro"), timestamp: at(11.1) });
    log.observe(11.2, [["a", 99, 99]], { at: at(900) }); // A moment in the future would make all that follow count as old.
    log.observe(
      12,
      Array.from({ length: 1_001 }, (_, i): [string, number, number] => [`d${i}`, 1, 1]),
    );
    log.observe(12, [["a", 1, 1]], { rolloutUid: "another" });
    log.observe(12, [["a", 1, 1]], { metric: "accuracy" });
    log.observe(12, [
      ["a", Number.NaN, 20],
      ["no/name", 1, 1],
      ["b", 3, 2],
    ]);
    log.observe(13, [["a", 15, 20]]);
    const { arms, metrics, refused } = await folded(log);
    expect(arms[0]).toEqual([5, 10, 0]);
    expect(metrics).toMatch(/malformed_total\{topic="metrics\.observations\.v1",code="framing-unknown"\} 1/);
    expect(metrics).toMatch(/malformed_total\{topic="metrics\.observations\.v1",code="unexpected-error"\} 2/);
    expect(refused.malformed).toBe(3);
  });

  test("carry the newest problem, but not that of an instance without an answer while another had one", async () => {
    const log = new Observations();
    log.observe(11, [], { problem: "away" });
    log.observe(11, [["a", 1, 1]]);
    log.observe(11, [], { problem: "away" });
    log.observe(12, [["a", 2, 2]], { problem: "nothing of 1" });
    const { notes } = await folded(log);
    expect(notes).toEqual(["away", null, "nothing of 1"]);
  });
});
