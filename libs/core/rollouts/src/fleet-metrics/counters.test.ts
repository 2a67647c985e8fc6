import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import type { AnalysisPlan } from "./analysis.ts";
import { type FleetAnalysis, FleetMetrics } from "./index.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 86_400_000;
const at = (minute: number) => T0 + minute * MINUTE;
const plan: AnalysisPlan = {
  uid: "u",
  startedAt: at(10),
  control: ["a", "b"],
  canary: ["c"],
  metrics: ["kept"],
  models: { candidate: "new", stable: "old" },
};
const created = at(5);

function watching() {
  const fleet = new FleetMetrics();
  const observe = (deviceId: string, minute: number, good: number, total: number) =>
    fleet.counted("u", "kept", deviceId, { good, total, at: at(minute) }, created);
  const analysis = () => fleet.start(plan) as FleetAnalysis;
  /** Good frames and frames of a, b, c. */
  const seen = () => {
    const { control, canary } = (fleet.analysis("u") ?? analysis()).counts("kept");
    return [control, canary].flatMap(({ good, frames }) => Array.from(good).map((one, i) => [one, frames[i]] as const));
  };
  return { fleet, observe, analysis, seen };
}

describe("counters of devices", () => {
  test("count by what they grew by since the start, and before the rollout was created (counters.ts C3)", () => {
    const { fleet, observe, analysis, seen } = watching();
    for (const [minute, good, total] of [
      [0, 100, 100],
      [4, 150, 200], // of before
      [6, 160, 210], // while nobody knows which model it was of
      [9, 170, 220],
    ] as const)
      observe("a", minute, good, total);
    analysis();
    observe("a", 11, 180, 230); // straddles the start
    expect(seen()[0]).toEqual([0, 0]);
    observe("a", 12, 189, 240);
    observe("a", 30, 198, 250); // what was missed is not lost
    expect(seen()[0]).toEqual([18, 20]);
    expect(fleet.analysis("u")?.framesBefore("kept")).toBe(100);
    expect(fleet.analysis("u")?.counts("kept").control.before[0]).toBe(0.5);
    expect(fleet.analysis("u")?.newest("kept")).toBe(at(30));
  });

  test("count from 0 after a restart of their device (counters.ts C1)", () => {
    const { observe, analysis, seen } = watching();
    analysis();
    observe("c", 10, 90, 100);
    observe("c", 11, 5, 10);
    observe("c", 12, 9, 20);
    observe("c", 13, 9, 120); // neither good nor total fell: nothing was reset
    expect(seen()[2]).toEqual([9, 120]);
    observe("c", 14, 10, 11);
    expect(seen()[2]).toEqual([19, 131]);
  });

  test("count once, whichever instance observes a moment and in whatever order (counters.ts C2)", () => {
    const { observe, analysis, seen } = watching();
    analysis();
    observe("a", 10, 0, 0);
    observe("a", 12, 10, 10);
    observe("a", 12, 4, 10);
    observe("a", 11, 5, 5);
    expect(seen()[0]).toEqual([10, 10]);
  });

  test("whose good outcomes are counted late lose none (counters.ts C4)", () => {
    const { observe, analysis, seen } = watching();
    analysis();
    observe("a", 10, 7, 10);
    observe("a", 11, 10, 10);
    observe("a", 12, 19, 20);
    expect(seen()[0]).toEqual([0, 0]);
    observe("a", 13, 29, 40);
    expect(seen()[0]).toEqual([22, 30]);
  });

  test.each([
    ["NaN", Number.NaN, 1],
    ["below 0", -1, 1],
    ["more good ones than all", 3, 2],
    ["an infinity", 1, Number.POSITIVE_INFINITY],
  ])("of %s are refused and counted (C5)", (_, good, total) => {
    const { fleet, observe, analysis, seen } = watching();
    analysis();
    observe("a", 10, 1, 1);
    expect(observe("a", 11, good, total)).toBe(false);
    expect(observe("no/name", 11, 1, 1)).toBe(false);
    expect(fleet.refused.malformed).toBe(2);
    expect(observe("a", 12, 2, 3)).toBe(true);
    expect(seen()[0]).toEqual([1, 2]);
  });

  test("are bounded, kept for as long as their rollout is, and do not count as hearing a device", () => {
    const fleet = new FleetMetrics({ countersMax: 3 });
    const observe = (uid: string, deviceId: string) =>
      fleet.counted(uid, "kept", deviceId, { good: 1, total: 1, at: at(1) }, created);
    expect([observe("u", "a"), observe("u", "b"), observe("v", "a"), observe("v", "b"), observe("u", "a")]).toEqual([
      true,
      true,
      true,
      false,
      true,
    ]);
    expect(fleet.refused.overLimit).toBe(1);
    expect(fleet.countedTo("u", "kept")).toBe(at(1));
    fleet.keepCounters((uid) => uid === "v");
    expect([fleet.countedTo("u", "kept"), observe("u", "c")]).toEqual([null, true]);
    fleet.start(plan);
    for (const minute of [11, 12])
      fleet.counted("u", "kept", "a", { good: minute, total: minute, at: at(minute) }, created);
    expect(fleet.analysis("u")?.heard(at(10)).control).toBe(0);
    fleet.observe("a", "old", "latency-met", 1, 1, at(13)); // Not of its metrics, and heard all the same.
    expect(fleet.analysis("u")?.heard(at(10)).control).toBe(1);
  });

  test("come to the same whether an analysis was started before or after the past was read", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const observations: [string, number, number, number][] = [];
      for (const deviceId of ["a", "b", "c"]) {
        let [good, total] = [0, 0];
        for (let minute = 0; minute < 40; minute++) {
          if (random() < 0.05) [good, total] = [0, 0];
          const frames = Math.floor(random() * 20);
          total += frames;
          good += Math.floor(frames * random());
          for (let copies = random() < 0.3 ? 2 : random() < 0.1 ? 0 : 1; copies > 0; copies--)
            observations.push([deviceId, minute, good, total]);
        }
      }
      const [early, late] = [watching(), watching()];
      early.analysis();
      for (const one of observations) early.observe(...one);
      for (const one of observations.filter(([, minute]) => minute <= 10)) late.observe(...one);
      late.analysis();
      for (const one of observations.filter(([, minute]) => minute > 10)) late.observe(...one);
      expect([seed, late.seen()]).toEqual([seed, early.seen()]);
      expect(late.fleet.analysis("u")?.counts("kept")).toEqual(early.fleet.analysis("u")?.counts("kept"));
    }
  });
});
