import { describe, expect, test } from "@jest/globals";
import type { EdgeMetrics } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import type { AnalysisPlan } from "./analysis.ts";
import { FRAMES_MAX } from "./fleet-metrics.ts";
import { FleetMetrics, foldEdgeMetrics } from "./index.ts";
import { Watermarks } from "./watermarks.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;
const DAY = 24 * HOUR;
const T0 = 20_000 * DAY;

describe("counts of a device", () => {
  test("cover its last whole day and the current day, or all there is", () => {
    const fleet = new FleetMetrics();
    expect(fleet.rateOf("a", "accuracy")).toBeNull();
    fleet.observe("a", "m", "accuracy", 1, 10, T0);
    fleet.observe("a", "m", "accuracy", 5, 10, T0 + DAY);
    expect(fleet.rateOf("a", "accuracy")).toBeCloseTo(0.3);
    fleet.observe("a", "m", "accuracy", 4, 10, T0 + HOUR); // late, but of the day before
    expect(fleet.rateOf("a", "accuracy")).toBeCloseTo(10 / 30);
    fleet.observe("a", "m", "accuracy", 9, 10, T0 + 2 * DAY);
    expect(fleet.rateOf("a", "accuracy")).toBeCloseTo(14 / 20);
    expect(fleet.observe("a", "m", "accuracy", 9, 10, T0)).toBe(false);
    expect(fleet.refused.stale).toBe(1);
    fleet.observe("a", "m", "accuracy", 1, 2, T0 + 9 * DAY);
    expect(fleet.rateOf("a", "accuracy")).toBe(0.5);
    expect(fleet.seenAt("a")).toBe(T0 + 9 * DAY);
  });

  test.each([
    ["NaN", Number.NaN, 10],
    ["NaN frames", 1, Number.NaN],
    ["frames below 0", 0, -1],
    ["good below 0", -1, 10],
    ["more good frames than frames", 11, 10],
    ["an infinity", 1, Number.POSITIVE_INFINITY],
    ["too many", 1, FRAMES_MAX + 1],
  ])("do not take %s", (_, good, frames) => {
    const fleet = new FleetMetrics();
    expect(fleet.observe("a", "m", "accuracy", good, frames, T0)).toBe(false);
    expect(fleet.observe("a", "m", "accuracy", 1, 1, Number.NaN)).toBe(false);
    expect([fleet.refused.malformed, fleet.rateOf("a", "accuracy")]).toEqual([2, null]);
  });

  test("are bounded in devices, metrics and analyses, and forgotten after silence unless an analysis needs them", () => {
    const fleet = new FleetMetrics({ devicesMax: 100, metricsMax: 1, analysesMax: 1 });
    for (let i = 0; i < 150; i++) fleet.observe(`d${i}`, "m", "accuracy", 1, 1, T0 + i);
    expect([fleet.devices, fleet.refused.overLimit]).toEqual([100, 50]);
    expect(fleet.observe("d1", "m", "another", 1, 1, T0)).toBe(false);
    expect(fleet.observe("no/name", "m", "accuracy", 1, 1, T0)).toBe(false);
    const plan = { uid: "u", startedAt: T0 + 1_000, control: ["d1"], canary: ["d2"], metrics: ["accuracy"] };
    expect(fleet.start(plan)).not.toBeNull();
    expect(fleet.start({ ...plan, uid: "v" })).toBeNull();
    expect(fleet.prune(T0 + 50)).toBe(48);
    fleet.end("u");
    expect(fleet.prune(T0 + 50)).toBe(2);
    expect(fleet.devices).toBe(50);
    fleet.observe("d1", "m", "accuracy", 0, 4, T0 + DAY);
    expect(fleet.rateOf("d1", "accuracy")).toBe(0);
  });
});

describe("an analysis", () => {
  const plan: AnalysisPlan = {
    uid: "u",
    startedAt: T0 + 30 * HOUR,
    control: ["a", "b"],
    canary: ["c"],
    metrics: ["accuracy"],
    models: { candidate: "new", stable: "old" },
  };

  test("counts since its start as assigned, knows the past, and takes the mean for who has none", () => {
    const fleet = new FleetMetrics();
    fleet.observe("a", "old", "accuracy", 8, 10, T0);
    fleet.observe("a", "old", "accuracy", 8, 10, T0 + 25 * HOUR);
    fleet.observe("c", "old", "accuracy", 9, 10, T0 + 25 * HOUR);
    const analysis = fleet.start(plan);
    fleet.observe("a", "old", "accuracy", 3, 4, T0 + 31 * HOUR);
    fleet.observe("c", "new", "accuracy", 1, 4, T0 + 31 * HOUR);
    fleet.observe("c", "old", "accuracy", 1, 1, T0 + 29 * HOUR); // late: of before
    fleet.observe("c", "world", "accuracy", 7, 7, T0 + 31 * HOUR); // another slot's
    fleet.observe("stranger", "new", "accuracy", 1, 4, T0 + 31 * HOUR);
    const counts = fleet.analysis("u")?.counts("accuracy");
    expect(analysis?.counts("accuracy")).toBe(counts);
    expect(columnOf(fleet, "control", "frames")).toEqual([4, 0]);
    expect(columnOf(fleet, "control", "good")).toEqual([3, 0]);
    expect(columnOf(fleet, "canary", "good")).toEqual([1]);
    expect(columnOf(fleet, "canary", "before")).toEqual([10 / 11]);
    const [known, unknown] = columnOf(fleet, "control", "before");
    expect(known).toBeCloseTo(0.8);
    expect(unknown).toBeCloseTo((0.8 + 10 / 11) / 2);
    const heard = { control: 1, canary: 1, controlOnCandidate: 0, canaryOnCandidate: 1 };
    expect(analysis?.heard(T0)).toEqual(heard);
    fleet.observe("c", "old", "accuracy", 1, 1, T0 + 32 * HOUR); // it reports the new one
    expect(analysis?.heard(T0 + 32 * HOUR)).toEqual({ ...heard, control: 0, canaryOnCandidate: 0 });
    expect(analysis?.silent("control", T0, 9)).toEqual(["b"]);
    expect(analysis?.framesBefore("accuracy")).toBe(15.5);
  });

  test("counts a frame for its class as well, if it is one of the plan's, whatever labels come (analysis.ts A6)", () => {
    const fleet = new FleetMetrics();
    fleet.observe("a", "old", "accuracy", 8, 10, T0 + 25 * HOUR, "cat");
    const analysis = fleet.start({ ...plan, classes: ["cat", "dog"] });
    const bytes = fleet.bytes;
    const at = T0 + 31 * HOUR;
    fleet.observe("a", "old", "accuracy", 1, 1, at, "cat");
    fleet.observe("a", "old", "accuracy", 0, 2, at, "dog");
    fleet.observe("c", "new", "accuracy", 3, 4, at, "dog");
    fleet.observe("c", "new", "accuracy", 1, 1, at); // of no known class
    for (let i = 0; i < 1_000; i++) fleet.observe("c", "new", "accuracy", 1, 1, at, `made-up-${i}`);
    for (let i = 0; i < 1_000; i++) fleet.observe("c", "new", "accuracy", 0, 1e7, at, "dog"); // more than it can have seen
    const columns = analysis
      ?.classCounts()
      .map(({ control, canary }) => [
        Array.from(control.good),
        Array.from(control.frames),
        Array.from(canary.good),
        Array.from(canary.frames),
      ]);
    expect(columns).toEqual([
      [[1, 0], [1, 0], [0], [0]],
      [[0, 0], [2, 0], [3], [4]],
    ]); // biome-ignore format: as it is read
    expect(Array.from(analysis?.classCounts()[0]?.control.before ?? [])).toEqual([0.8, 0.8]);
    expect(fleet.bytes).toBe(bytes);
    expect(fleet.refused.implausible).toBeGreaterThanOrEqual(1_000);
  });

  test.each([1, 2, 3, 4, 5])("seed %i: a retracted label leaves the counts that there are without it", (seed) => {
    const random = seededRandom(seed);
    const [fleet, other] = [new FleetMetrics(), new FleetMetrics()];
    const { models: _, ...all } = plan;
    const own = { ...all, startedAt: T0, classes: ["cat", "dog"] };
    const frames = Array.from({ length: 200 }, () => {
      const [weight, at] = [random() < 0.5 ? 1 : 0.1, T0 + Math.floor((random() - 0.3) * DAY)];
      const of = ["a", "b", "c"][Math.floor(random() * 3)] as string;
      return { of, good: random() < 0.5 ? weight : 0, weight, at, label: random() < 0.5 ? "cat" : "dog" };
    });
    const kept = frames.filter(() => random() < 0.5);
    for (const { of, good, weight, at, label } of frames)
      if (at < T0) fleet.observe(of, "m", "accuracy", good, weight, at, label, 1);
    fleet.start(own);
    for (const { of, good, weight, at, label } of frames)
      if (at >= T0) fleet.observe(of, "m", "accuracy", good, weight, at, label, 1);
    for (const frame of frames)
      if (!kept.includes(frame))
        fleet.retract(frame.of, "m", "accuracy", frame.good, frame.weight, frame.at, frame.label);
    other.start(own);
    for (const { of, good, weight, at, label } of kept) other.observe(of, "m", "accuracy", good, weight, at, label, 1);
    const numbersOf = (one: FleetMetrics) => {
      const analysis = one.analysis(plan.uid);
      const arms = [analysis?.counts("accuracy"), ...(analysis?.classCounts() ?? [])].flatMap((counts) =>
        counts === undefined ? [] : [counts.control, counts.canary],
      );
      const numbers = arms.flatMap(({ good, frames: all, before, sample }) =>
        [good, all, before, ...Object.values(sample ?? {})].map((column) => Array.from(column)),
      );
      return [...numbers, ["a", "b", "c"].map((id) => one.rateOf(id, "accuracy") ?? -1)].flat();
    };
    const [ours, theirs] = [numbersOf(fleet), numbersOf(other)];
    expect(ours).toHaveLength(theirs.length);
    for (const [i, number] of ours.entries())
      expect([seed, i, number]).toEqual([seed, i, expect.closeTo(theirs[i] ?? 0, 9)]);
  });

  test("keeps all where a label is retracted that was refused, is not known, or aged out", () => {
    const fleet = new FleetMetrics();
    const analysis = fleet.start({ ...plan, startedAt: T0, models: { candidate: "m", stable: "m" } });
    fleet.observe("a", "m", "accuracy", 1, 1, T0 + 1, undefined, 1);
    fleet.observe("a", "m", "accuracy", 1, 1, T0 + 5 * DAY, undefined, 1);
    const before = JSON.stringify([analysis?.counts("accuracy"), fleet.rateOf("a", "accuracy")]);
    fleet.retract("b", "m", "accuracy", 1, 1, T0 + 1);
    fleet.retract("unknown", "m", "accuracy", 1, 1, T0 + 1);
    fleet.retract("a", "m", "agreement", 1, 1, T0 + 1);
    fleet.retract("a", "m", "accuracy", Number.NaN, 1, T0 + 1);
    fleet.retract("a", "m", "accuracy", 0, 5, T0 + 1);
    fleet.retract("a", "m", "accuracy", 1, 1, T0 - 9 * DAY);
    expect(JSON.stringify([analysis?.counts("accuracy"), fleet.rateOf("a", "accuracy")])).toBe(before);
    fleet.retract("a", "m", "accuracy", 1, 1, T0 + 1);
    expect(fleet.rateOf("a", "accuracy")).toBe(1);
  });

  test("counts a device's first crash alone", () => {
    const fleet = new FleetMetrics();
    const analysis = fleet.start(plan);
    fleet.crashed("a", T0);
    for (let i = 0; i < 3; i++) fleet.crashed("c", T0 + (31 + i) * HOUR);
    expect(analysis?.crashes()).toEqual({ control: 0, canary: 1, share: 1 / 3 });
  });

  test("refuses a device in both arms", () => {
    expect(() => new FleetMetrics().start({ ...plan, canary: ["a"] })).toThrow(/stands in its arms twice/);
  });

  test.each([1, 2, 3, 4, 5])("seed %i: comes to the same counts live and from its history", (seed) => {
    const random = seededRandom(seed);
    const ids = Array.from({ length: 40 }, (_, i) => `d${i}`);
    const of: AnalysisPlan = {
      ...plan,
      startedAt: T0 + 3 * DAY + 5 * HOUR,
      control: ids.slice(10),
      canary: ids.slice(0, 10),
    };
    const live = new FleetMetrics();
    const again = new FleetMetrics();
    again.start(of);
    for (let at = T0; at < of.startedAt + DAY; at += Math.floor(random() * 0.2 * HOUR)) {
      if (at >= of.startedAt && live.analysis("u") === null) live.start(of);
      const [id, frames] = [ids[Math.floor(random() * 45)] ?? "other", random() * 50];
      const late = live.analysis("u") !== null && random() < 0.1 ? 3 * HOUR : 0;
      for (const fleet of [live, again]) fleet.observe(id, "old", "accuracy", frames * 0.9, frames, at - late);
    }
    const columns = (fleet: FleetMetrics) =>
      ["control", "canary"].flatMap((arm) =>
        ["good", "frames", "before"].map((column) => columnOf(fleet, arm as Arm, column as Column)),
      );
    for (const [i, column] of columns(live).entries()) {
      for (const [k, value] of column.entries()) expect(value).toBeCloseTo(columns(again)[i]?.[k] as number, 9);
    }
  });
});

describe("replays", () => {
  test.each([1, 2, 3])("seed %i: each record counts once, whatever the order within 32", (seed) => {
    const random = seededRandom(seed);
    const marks = new Watermarks();
    marks.grow(1);
    const records = Array.from({ length: 500 }, (_, i) => ({
      boot: BigInt(1 + Math.floor(i / 100)),
      seq: BigInt(1 + (i % 100)),
    }));
    const disordered = shuffledWithin(8, records, random);
    let fresh = 0;
    const counted = new Set<string>();
    for (const { boot, seq } of disordered) {
      if (marks.mark(0, boot, seq) === "new") {
        fresh += 1;
        counted.add(`${boot}:${seq}`);
      }
      expect(marks.mark(0, boot, seq)).not.toBe("new");
    }
    expect(counted.size).toBe(fresh);
    // Only records of an older boot that come after one of the newer boot are lost.
    expect(fresh).toBeGreaterThanOrEqual(500 - 4 * 8);
  });

  test("of clones with one id, the one with the higher boot counts alone", () => {
    const fleet = new FleetMetrics();
    const observed = (bootId: bigint, seq: bigint) => foldEdgeMetrics(fleet, windowOf("a", bootId, seq, 10, 1), T0);
    expect([observed(7n, 1n), observed(9n, 1n), observed(7n, 2n), observed(9n, 2n), observed(9n, 2n)]).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
    expect(fleet.refused).toMatchObject({ oldBoot: 1, replayed: 1 });
    expect([observed(0n, 1n), observed(0n, 1n)]).toEqual([true, true]);
  });
});

describe("edge.metrics.v1", () => {
  test("gives crashes; what a device counts against its model's own budget is not judged by; nonsense is refused", () => {
    const fleet = new FleetMetrics();
    const analysis = fleet.start({ uid: "u", startedAt: T0, control: ["b"], canary: ["a"], metrics: ["deadline-met"] });
    const lost = (n: bigint, sum: number) => ({ model_losses: { n, sum, sumSq: sum } });
    const observed = (seq: bigint, device: ReturnType<typeof lost>, change: object = {}) =>
      foldEdgeMetrics(fleet, { ...windowOf("a", 1n, seq, 60, 3), device, ...change }, T0 + HOUR);
    const absurd = [lost(2n ** 60n, 1), lost(-1n, 1), lost(1n, Number.NaN), lost(1n, -3), lost(1n, 1e30)];
    expect(absurd.map((device, i) => observed(BigInt(i + 1), device))).toEqual(absurd.map(() => false));
    expect(observed(6n, lost(1n, 1), { ageMs: -HOUR })).toBe(false);
    expect(observed(7n, lost(1n, 1), { windowMs: Number.NaN })).toBe(false);
    expect([analysis?.crashes().canary, fleet.refused.malformed]).toEqual([0, 7]);
    expect(observed(8n, lost(1n, 2))).toBe(true);
    expect(analysis?.crashes()).toMatchObject({ canary: 1, control: 0 });
    expect(Array.from(analysis?.counts("deadline-met").canary.frames ?? [])).toEqual([0]);
  });

  test("fleet-metrics.ts F2: a device counts no more frames than it had time for, and no rate leaves 0 to 1", () => {
    const fleet = new FleetMetrics();
    const analysis = fleet.start({ uid: "u", startedAt: T0, control: ["b"], canary: ["a"], metrics: ["accuracy"] });
    const observed = (good: number, frames: number, at: number) =>
      fleet.observe("a", "new", "accuracy", good, frames, at);
    expect(observed(60, 60, T0 + MINUTE)).toBe(true);
    expect([observed(0, 1e8, T0 + MINUTE), observed(0, 70_000, T0 + MINUTE)]).toEqual([false, false]);
    expect([
      observed(Number.NaN, 1, T0),
      observed(-1, 1, T0),
      observed(2, 1, T0),
      observed(0, 2 ** 60, T0),
    ]).not.toContain(true);
    expect(observed(60 * (1 + 1e-10), 60, T0 + MINUTE)).toBe(true);
    const { good, frames } = analysis?.counts("accuracy").canary ?? { good: [], frames: [] };
    expect([good[0], frames[0]]).toEqual([120, 120]);
    expect(fleet.refused).toMatchObject({ implausible: 3, malformed: 4 });
  });
});

type Arm = "control" | "canary";
type Column = "good" | "frames" | "before";

const columnOf = (fleet: FleetMetrics, arm: Arm, column: Column): readonly number[] =>
  Array.from(fleet.analysis("u")?.counts("accuracy")[arm][column] ?? []);

function windowOf(deviceId: string, bootId: bigint, seq: bigint, frames: number, missed: number): EdgeMetrics {
  return {
    deviceId,
    bootId,
    seq,
    windowMs: 10_000,
    ageMs: 50,
    clockState: "SYNCHRONIZED",
    device: {},
    models: [{ modelDigest: "new", metrics: { sla_missed: { n: BigInt(frames), sum: missed, sumSq: missed } } }],
  };
}

function shuffledWithin<T>(width: number, items: readonly T[], random: Random): readonly T[] {
  return items
    .map((item, i) => ({ item, place: i + random() * width }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
