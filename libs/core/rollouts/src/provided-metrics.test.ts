/** A comparison by counters of Prometheus, look by look. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { Comparison, comparisonDefaults } from "./comparison.ts";
import { FleetMetrics } from "./fleet-metrics/fleet-metrics.ts";
import { type RolloutSpec, readSpec } from "./index.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 24 * 60 * MINUTE;
const provider = { prometheus: { good: "good_total", total: "all_total" } };
const { spec } = readSpec({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: {
    model: "edge@2",
    strategy: { canary: { steps: [{ setWeight: 10 }, { analysis: { duration: "2h" } }, { setWeight: 100 }] } },
    metrics: [{ name: "answers-kept", provider }],
  },
});

/** `kept`: share of good outcomes of the canary; the control's is 0.95. `until`: minute from which on counters stand still. */
function watched({ kept, until = 1_000, note }: { kept: number; until?: number; note?: string }) {
  const random = seededRandom(7);
  const fleet = new FleetMetrics();
  const ids = (arm: string, n: number) => Array.from({ length: n }, (_, i) => `${arm}${i}`);
  const [canary, control] = [ids("k", 8), ids("c", 32)];
  const models = { candidate: "new", stable: "old" };
  const plan = { uid: "u", startedAt: T0, control, canary, metrics: ["answers-kept"], models };
  const analysis = fleet.start(plan) as NonNullable<ReturnType<FleetMetrics["start"]>>;
  const notes = new Map(note === undefined ? [] : [["answers-kept", note]]);
  const place = { step: 1, share: 1, strata: null, segments: null };
  const comparison = new Comparison(analysis, spec as RolloutSpec, place, comparisonDefaults, notes);
  const counts = new Map<string, { good: number; total: number }>();
  const run = (from: number, to: number) => {
    for (let minute = from; minute <= to; minute++) {
      const at = T0 + minute * MINUTE;
      for (const deviceId of [...canary, ...control]) {
        const model = canary.includes(deviceId) ? "new" : "old";
        fleet.observe(deviceId, model, "latency-met", 60, 60, at);
        const { good, total } = counts.get(deviceId) ?? { good: 0, total: 0 };
        const share = (model === "new" ? kept : 0.95) + 0.01 * (random() - 0.5);
        if (minute < until) counts.set(deviceId, { good: good + Math.round(600 * share), total: total + 600 });
        const sample = counts.get(deviceId);
        if (sample !== undefined) fleet.counted("u", "answers-kept", deviceId, { ...sample, at }, T0 - 1);
      }
      comparison.look(at);
    }
    const evidence = comparison.evidence(
      { control: { onModel: 32, goldenFailed: 0 }, canary: { onModel: 8, goldenFailed: 0 } },
      { devices: 0, some: [] },
    );
    return { verdict: comparison.verdict, why: evidence.why, metric: evidence.metrics[0] };
  };
  return run;
}

describe("counters of Prometheus", () => {
  test("that show harm roll the model back", () => {
    const { verdict, why, metric } = watched({ kept: 0.8 })(1, 30);
    expect(verdict).toBe("Failed");
    expect(why).toMatch(/^answers-kept fell by 1\d\.\d points \(-?\d+\.\d to \d+\.\d\) against the control$/);
    expect(metric).toMatchObject({
      source: "prometheus",
      note: null,
      canary: { devices: 8 },
      control: { devices: 32 },
    });
  });

  test("that show none let it continue, and not before their time", () => {
    const run = watched({ kept: 0.95 });
    expect(run(1, 4).verdict).not.toBe("Successful");
    expect(run(5, 40).verdict).toBe("Successful");
  });

  test("that stand still are no data, whatever they showed before (comparison.ts J6)", () => {
    const run = watched({ kept: 0.95, until: 25, note: "Prometheus cannot be asked: ECONNREFUSED" });
    expect(run(1, 30).verdict).toBe("Successful");
    const { verdict, why } = run(31, 50);
    expect([verdict, why]).toEqual([
      "NoData",
      "nothing new for too long in answers-kept (Prometheus cannot be asked: ECONNREFUSED)",
    ]);
  });

  test("that never come are no data, and why stands in the evidence (comparison.ts J7)", () => {
    const { verdict, why, metric } = watched({ kept: 0.95, until: 0, note: "Prometheus cannot be asked: timeout" })(
      1,
      30,
    );
    expect([verdict, why]).toEqual([
      "NoData",
      "nothing to compare in answers-kept (Prometheus cannot be asked: timeout): frames of known outcome from 0 canary and 0 control devices, of each 8 are needed",
    ]);
    expect(metric?.note).toBe("Prometheus cannot be asked: timeout");
  });
});
