/** What a program may roll out by itself: over seeds, what is harmful hardly ever passes, and what is good mostly does. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { binomial, normal } from "@tributary/testing/fleet";
import { judgeGate, marginDefaults } from "./gate.ts";
import { paired } from "./paired.ts";
import { type DeviceCounts, marginOf, type Slice, type SliceLine, sliceLines } from "./slices.ts";

const SEEDS = 200;

/** Frames of which a share is answered differently, and of these the candidate wins as many as make its `gain`. */
function drawn(random: Random, name: string, frames: number, gain: number, discordance = 0.1): Slice {
  const won = binomial(frames, (discordance + gain) / 2, random);
  const lost = binomial(frames - won, (discordance - gain) / (2 - discordance - gain), random);
  const both = 0.8 * frames;
  return { name, frames, won, lost, candidate: (both + won) / frames, champion: (both + lost) / frames };
}
type Verdicts = Readonly<Record<SliceLine["verdict"], number>>;

/** How often the lines of what is drawn pass all, and how often one fails. */
function verdictsOf(draw: (random: Random) => { old: readonly Slice[]; drifted: readonly Slice[] }): Verdicts {
  const counts = { passed: 0, unsure: 0, failed: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const lines = sliceLines(draw(seededRandom(seed)), marginDefaults);
    const verdicts = lines.map(({ verdict }) => verdict);
    counts[verdicts.includes("failed") ? "failed" : verdicts.includes("unsure") ? "unsure" : "passed"] += 1 / SEEDS;
  }
  return counts;
}
const oldOnly = (frames: number, gain: number) => (random: Random) => ({
  old: [drawn(random, "base", frames, gain)],
  drifted: [],
});

describe("old slices", () => {
  test("S1: the margin is 1 point at 10,000 frames and 2 at about 1,550, and no larger for who differs more", () => {
    expect(marginOf(10_000, 0.1, marginDefaults)).toBe(0.01);
    expect(marginOf(1_550, 0.1, marginDefaults)).toBeCloseTo(0.02, 3);
    expect(marginOf(1_000, 0.1, marginDefaults)).toBeGreaterThan(0.02);
    expect(marginOf(5_000, 0.3, marginDefaults)).toBe(marginOf(5_000, 0.1, marginDefaults));
    expect(marginOf(600, 0.03, marginDefaults)).toBeLessThan(0.02);
  });

  test("what is equal passes as often as planned; what is worse by the margin as rarely as the level says", () => {
    for (const frames of [1_600, 5_000]) {
      const margin = marginOf(frames, 0.1, marginDefaults);
      expect(verdictsOf(oldOnly(frames, 0)).passed).toBeGreaterThan(0.75);
      expect(verdictsOf(oldOnly(frames, -margin)).passed).toBeLessThan(0.09); // 0.05, and chance over the seeds.
    }
    expect(verdictsOf(oldOnly(5_000, -0.02))).toMatchObject({ passed: expect.closeTo(0, 1) });
  });

  test("too few frames hold, and the line says how many would do; a proven loss fails however few there are", () => {
    const [line] = sliceLines(oldOnly(1_000, 0)(seededRandom(1)), marginDefaults);
    expect(line).toMatchObject({
      verdict: "unsure",
      found: expect.stringMatching(/too few frames for a margin of 2\.00 points: 15\d\d would do$/),
    });
    const [lost] = sliceLines(oldOnly(300, -0.09)(seededRandom(1)), marginDefaults);
    expect(lost).toMatchObject({ verdict: "failed", found: expect.stringContaining("worse: p ") });
    const none = { name: "base", ...paired([], []) };
    expect(sliceLines({ old: [none], drifted: [none] }, marginDefaults)).toMatchObject([
      { verdict: "unsure", candidate: null },
      { verdict: "unsure", candidate: null },
    ]);
  });

  describe("S4: slices with too few frames", () => {
    const with112 = (base: number, small: number, frames = 112) =>
      verdictsOf((random) => ({
        old: [
          drawn(random, "base", 5_000, base, 0.03),
          drawn(random, "site=north", frames, small, Math.max(0.03, -small)),
        ],
        drifted: [],
      }));

    test("do not hold a candidate that is equal, and are named", () => {
      expect(with112(0, 0).passed).toBeGreaterThan(0.8);
      const random = seededRandom(1);
      const small = ["north", "south"].map((at) => drawn(random, `site=${at}`, 112, 0, 0.03));
      const lines = sliceLines({ old: [drawn(random, "base", 5_000, 0, 0.03), ...small], drifted: [] }, marginDefaults);
      expect(lines.map(({ name }) => name)).toEqual([
        ...["old slice base", "old slice site=north", "old slice site=south"],
        "old slice base with site=north, site=south",
      ]);
      expect(lines.at(-1)).toMatchObject({ slice: { frames: 5_224, pooled: ["site=north", "site=south"] } });
      expect(lines[1]).toMatchObject({ found: expect.stringContaining("judged together with base") });
    });

    test("hold or fail one that loses there, and hide no loss of base", () => {
      expect(with112(0, -0.06).passed).toBeLessThan(0.2);
      expect(with112(0, -0.15).passed).toBeLessThan(0.01);
      expect(with112(-0.01, 0.03).passed).toBeLessThan(0.08);
    });

    test("are held where base has too few as well", () => {
      const few = (random: Random) => ({
        old: ["base", "site=north"].map((name) => drawn(random, name, 112, 0)),
        drifted: [],
      });
      expect(verdictsOf(few).passed).toBe(0);
    });
  });

  test("S2: a loss on one of four slices is not hidden by the others", () => {
    const one = (random: Random) => ({
      old: [
        ...["a", "b", "c"].map((at) => drawn(random, `site=${at}`, 4_000, 0.02)),
        drawn(random, "site=d", 4_000, -0.02),
      ],
      drifted: [],
    });
    expect(verdictsOf(one).passed).toBeLessThan(0.05);
  });
});

describe("the drifted slice", () => {
  const with225 = (gain: number, discordance = 0.2) =>
    verdictsOf((random) => ({ old: [], drifted: [drawn(random, "site=north", 225, gain, discordance)] }));

  test("passes what regains more than half of dusk's loss, and holds or fails what chance explains", () => {
    expect(with225(0.1).passed).toBeGreaterThan(0.9);
    const equal = with225(0);
    expect(equal.passed).toBeLessThan(0.07);
    expect(equal.failed).toBeGreaterThan(0.4);
    expect(with225(-0.08, 0.3)).toMatchObject({ passed: expect.closeTo(0, 2) }); // As 45 % wrong labels make it.
  });
});

test("who trades the old sites for the new one does not pass", () => {
  const trade = verdictsOf((random) => ({
    old: [drawn(random, "base", 5_000, -0.02)],
    drifted: [drawn(random, "site=north", 225, 0.08, 0.2)],
  }));
  expect(trade.passed).toBeLessThan(0.01);
  expect(trade.failed).toBeGreaterThan(0.95);
});

test("its lines take the place of that of all frames, and all other lines stay", () => {
  const right = Array.from({ length: 2_000 }, (_, i) => i % 10 !== 0);
  const model = { right, confidence: right.map(() => 0.9), latenciesMs: [3], megabytes: 110 };
  const input = {
    classes: ["cat", "dog"],
    labels: right.map((_, i) => i % 2),
    candidate: model,
    champion: model,
    corruptions: [],
    latencyBudgetMs: 50,
    latencySlaMs: null,
    golden: { frames: 16, failed: [] },
  };
  const all = { name: "base", ...paired(right, right) };
  const kinds = (report: ReturnType<typeof judgeGate>) => report.lines.map(({ kind, name }) => `${kind} ${name}`);
  const byPerson = kinds(judgeGate(input));
  const bySlices = judgeGate({ ...input, slices: { old: [all], drifted: [{ ...all, name: "site=north" }] } });
  expect(kinds(bySlices)).toEqual([
    "slice old slice base",
    "slice drifted slice site=north",
    ...byPerson.filter((line) => line !== "accuracy all frames"),
  ]);
  // It is as good as before on the frames it was trained for, so it is not what was wanted.
  expect(bySlices.passed).toBe(false);
});

describe("S5: devices", () => {
  type DeviceDraw = {
    readonly devices: number;
    readonly frames: number;
    readonly gain: number;
    readonly sd: number;
    readonly discordance: number;
    /** One of them has half of all frames. */
    readonly isUnbalanced: boolean;
  };

  /** Frames of devices, whose gains differ around the one of all. */
  function ofDevices(random: Random, name: string, world: DeviceDraw): Slice & { devices: readonly DeviceCounts[] } {
    const { devices: count, frames, gain, sd, discordance, isUnbalanced } = world;
    const devices = Array.from({ length: count }, (_, i): DeviceCounts => {
      const share = !isUnbalanced ? 1 / count : i === 0 ? 1 / 2 : 1 / 2 / (count - 1);
      const own = gain + sd * normal(random);
      const n = Math.round(frames * share);
      const { won, lost } = drawn(random, name, n, own, Math.max(discordance, Math.abs(own)));
      return { device: `device-${i}`, frames: n, won, lost };
    });
    const sum = (of: (one: DeviceCounts) => number) => devices.reduce((total, one) => total + of(one), 0);
    const [all, won, lost] = [sum((one) => one.frames), sum((one) => one.won), sum((one) => one.lost)];
    return { name, frames: all, won, lost, candidate: 0.8 + won / all, champion: 0.8 + lost / all, devices };
  }
  const drifted = (world: Partial<DeviceDraw>) =>
    verdictsOf((random) => {
      const defaults = { devices: 20, frames: 225, gain: 0, sd: 0.1, discordance: 0.2, isUnbalanced: false };
      return { old: [], drifted: [ofDevices(random, "site=north", { ...defaults, ...world })] };
    });

  test.each([
    { devices: 3, isUnbalanced: false },
    { devices: 3, isUnbalanced: true },
    { devices: 8, isUnbalanced: true },
    { devices: 20, isUnbalanced: false },
  ])("a candidate without effect that differs between $devices devices passes as rarely as the level says", (world) => {
    expect(drifted(world).passed).toBeLessThan(0.09); // 0.05, and chance over the seeds.
  });

  test("a loss of the margin on average passes as rarely, where devices differ", () => {
    const lossOf = (random: Random, devices: number) =>
      ofDevices(random, "base", {
        ...{ devices, frames: 5_000, gain: -marginOf(5_000, 0.1, marginDefaults), sd: 0.05 },
        ...{ discordance: 0.1, isUnbalanced: false },
      });
    for (const devices of [4, 20]) {
      const verdicts = verdictsOf((random) => ({ old: [lossOf(random, devices)], drifted: [] }));
      expect(verdicts.passed).toBeLessThan(0.09);
    }
  });

  test("where devices do not differ, a gain is shown nearly as often as by independent frames", () => {
    expect(drifted({ gain: 0.1, sd: 0 }).passed).toBeGreaterThan(0.85);
    expect(drifted({ gain: 0.1, sd: 0, isUnbalanced: true }).passed).toBeGreaterThan(0.8);
  });

  test("it is never shown by devices what frames alone leave open", () => {
    // All three devices agree to the frame; so few frames are chance.
    const three = ["a", "b", "c"].map((device) => ({ device, frames: 10, won: 1, lost: 0 }));
    const slice = { name: "site=north", frames: 30, won: 3, lost: 0, candidate: 0.9, champion: 0.8, devices: three };
    const [line] = sliceLines({ old: [], drifted: [slice] }, marginDefaults);
    expect(line).toMatchObject({ verdict: "unsure", slice: { p: 0.125, devices: 3 } });
  });

  test("too few devices are unsure, and the line has how many are missing", () => {
    const device = (name: string | null, frames: number) => ({ device: name, frames, won: frames / 4, lost: 0 });
    const lineOf = (devices: readonly DeviceCounts[]) => {
      const slice = { name: "site=north", frames: 400, won: 100, lost: 0, candidate: 0.9, champion: 0.65, devices };
      return sliceLines({ old: [], drifted: [slice] }, marginDefaults)[0];
    };
    expect(lineOf([device("a", 200), device("b", 200)])).toMatchObject({
      verdict: "unsure",
      found: expect.stringContaining("too few devices: 2 devices, 1 more is needed"),
      slice: { devices: 2, devicesNeeded: 3 },
    });
    expect(lineOf([device(null, 400)])).toMatchObject({
      verdict: "unsure",
      found: expect.stringContaining("1 device, 2 more are needed; 400 frames name no device, and count as of one"),
    });
  });

  test("where devices are what is missing, the line has how many like these would do, and not frames", () => {
    const won = [30, 0, 24, 0];
    const devices = won.map((count, i) => ({ device: `${i}`, frames: 75, won: count, lost: 4 }));
    const slice = { name: "site=north", frames: 300, won: 54, lost: 16, candidate: 0.9, champion: 0.78, devices };
    const [line] = sliceLines({ old: [], drifted: [slice] }, marginDefaults);
    expect(line?.verdict).toBe("unsure");
    expect(line?.found).toMatch(/better: p 0\.1\d over 4 devices .*; \d+ devices like these would show it$/);
    expect(line?.found).not.toContain("frames like these");
    expect(line?.slice.devicesNeeded).toBeGreaterThan(4);
  });

  test("a small slice that names its devices is judged together with a base whose photos are independent", () => {
    const random = seededRandom(1);
    const base = drawn(random, "base", 5_000, 0, 0.03);
    const small = ofDevices(random, "site=north", {
      ...{ devices: 2, frames: 112, gain: 0, sd: 0, discordance: 0.03, isUnbalanced: false },
    });
    const lines = sliceLines({ old: [base, small], drifted: [] }, marginDefaults);
    expect(lines.map(({ verdict }) => verdict)).toEqual(["passed", "passed", "passed"]);
    expect(lines[0]?.slice.devices).toBe(null);
    expect(lines[2]?.slice.devices).toBe(2);
  });
});
