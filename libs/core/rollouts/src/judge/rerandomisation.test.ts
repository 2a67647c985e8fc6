import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { compare } from "./comparison.ts";
import { type Arm, type Counts, CrossCheck, plannedLooks } from "./index.ts";
import { crossCheckProblem, drawnStatistics, drawsFor, type Strata } from "./rerandomisation.ts";

const MINUTE = 60_000;

type Counted = readonly (readonly [before: number, good: number, frames: number])[];
const oracle = JSON.parse(readFileSync(new URL("../../fixtures/rerandomisation.json", import.meta.url), "utf8")) as {
  readonly cases: readonly {
    readonly canary: Counted;
    readonly control: Counted;
    readonly statistic: number;
    readonly p: number;
  }[];
};

/** One device: rate of good frames before the start and since, of 100 each; its stratum. */
type Device = { readonly before: number; readonly rate: number; readonly stratum: number };

const armOf = (devices: readonly Device[]): Arm => ({
  good: devices.map(({ rate }) => 100 * rate),
  frames: devices.map(() => 100),
  before: devices.map(({ before }) => before),
});
const countsOf = (canary: readonly Device[], control: readonly Device[]): Counts => ({
  canary: armOf(canary),
  control: armOf(control),
});
const strataOf = (canary: readonly Device[], control: readonly Device[]): Strata => ({
  canary: canary.map(({ stratum }) => stratum),
  control: control.map(({ stratum }) => stratum),
});
/** Devices in a few strata whose past explains part of what they do, and some are far off: no normal distribution. */
function fleetOf(seed: number, devices: number, strata = 3): readonly Device[] {
  const random = seededRandom(seed);
  return Array.from({ length: devices }, (_, i) => {
    const before = 0.8 + 0.15 * random();
    const rate = random() < 0.1 ? 0.3 * random() : before + 0.04 * (random() - 0.5);
    return { before, rate, stratum: i % strata };
  });
}
const worse = (devices: readonly Device[], harm: number) =>
  devices.map((one) => ({ ...one, rate: Math.max(0, one.rate - harm) }));

function checkOf(canary: readonly Device[], control: readonly Device[], seed: number, alpha = 0.02, looks = 3) {
  const plannedMs = Array.from({ length: looks }, (_, i) => (i + 1) * MINUTE);
  return new CrossCheck({ alpha, plannedMs, strata: strataOf(canary, control), seed });
}

describe("draws", () => {
  /** 4 devices of which 2 are canaries, and 5 of which 2 are: 6 x 10 ways. Two devices of the second are alike: ties. */
  const first = fleetOf(3, 4, 1);
  const others = fleetOf(4, 5, 1).map((one) => ({ ...one, stratum: 1 }));
  const second = others.map((one, i) => (i === 4 ? (others[1] as Device) : one));
  const ways = pairsOf(first).flatMap(([a, b]) =>
    pairsOf(second).map(
      ([c, d]) =>
        [
          [...a, ...c],
          [...b, ...d],
        ] as const,
    ),
  );
  const statisticOf = ([canary, control]: (typeof ways)[number]) => {
    const { harm, variance } = compare(armOf(control), armOf(canary)) as NonNullable<ReturnType<typeof compare>>;
    return harm / Math.sqrt(variance);
  };
  const all = ways.map(statisticOf);

  test("are each of the ways there are, equally often, and p is what counting them all gives", () => {
    expect(ways).toHaveLength(60);
    const DRAWS = 6_000;
    for (const [w, way] of ways.entries()) {
      if (w % 7 > 0) continue;
      const [made = 0, ...drawn] = drawnStatistics(countsOf(...way), strataOf(...way), DRAWS, w);
      expect(made).toBeCloseTo(all[w] as number, 9);
      for (const value of new Set(all.map((one) => one.toFixed(6)))) {
        const share = all.filter((one) => one.toFixed(6) === value).length / all.length;
        const found = drawn.filter((one) => one.toFixed(6) === value).length;
        expect(Math.abs(found - DRAWS * share)).toBeLessThan(5 * Math.sqrt(DRAWS * share));
      }
      const exact = all.filter((one) => one >= made - 1e-9).length / all.length;
      const check = checkOf(...way, w);
      check.look(MINUTE, countsOf(...way));
      const { p = 0 } = check.looks[0] ?? {};
      expect(Math.abs(p - exact)).toBeLessThan(0.07); // 999 draws: 4 standard deviations of 0.016
      expect(p).toBeGreaterThanOrEqual(1 / 1_000);
    }
  });

  test("come to the statistic of scipy to 1e-9, and to the p of its exact permutation test as near as draws can", () => {
    const DRAWS = 20_000;
    for (const [c, { canary, control, statistic, p }] of oracle.cases.entries()) {
      const arm = (devices: Counted): Arm => ({
        before: devices.map(([before]) => before),
        good: devices.map(([, good]) => good),
        frames: devices.map(([, , frames]) => frames),
      });
      const strata = { canary: canary.map(() => 0), control: control.map(() => 0) };
      const [made = 0, ...drawn] = drawnStatistics({ canary: arm(canary), control: arm(control) }, strata, DRAWS, c);
      expect([c, Math.abs(made - statistic) < 1e-9]).toEqual([c, true]);
      const share = drawn.filter((one) => one >= made - 1e-9).length / DRAWS;
      expect(Math.abs(share - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / DRAWS));
    }
  });

  test("keep the strata: what a stratum is worse in is no harm of the model", () => {
    const good = fleetOf(1, 20, 1).map((one, i) => ({ ...one, before: 0.9, rate: i % 2 === 0 ? 0.902 : 0.898 }));
    const bad = good.map((one) => ({ ...one, rate: one.rate - 0.1, stratum: 1 }));
    const [canary, control] = [
      [...good.slice(0, 2), ...bad.slice(0, 14)],
      [...good.slice(2), ...bad.slice(14)],
    ];
    const pIn = (strata: (device: Device) => Device) => {
      const arms = [canary.map(strata), control.map(strata)] as const;
      const check = checkOf(...arms, 1);
      check.look(MINUTE, countsOf(...arms));
      return check.looks[0]?.p as number;
    };
    expect(pIn((device) => ({ ...device, stratum: 0 }))).toBeLessThan(0.01);
    expect(pIn((device) => device)).toBeGreaterThan(0.2);
    // Strata of one arm alone leave nothing to draw: every draw is the one that was made, and ties count against harm.
    const [apart, rest] = [good, bad.slice(0, 8)];
    const check = checkOf(rest, apart, 1);
    check.look(MINUTE, countsOf(rest, apart));
    expect(check.looks).toEqual([{ sinceMs: MINUTE, p: 1, spent: 0.02 / 3, isHarmful: false }]);
  });

  test("of devices that are all alike are ties, and of an arm without frames nothing", () => {
    const alike = Array.from({ length: 30 }, () => ({ before: 0.9, rate: 0.9, stratum: 0 }));
    const [canary, control] = [alike.slice(0, 10), alike.slice(10)];
    const check = checkOf(canary, control, 1);
    check.look(MINUTE, countsOf(canary, control));
    const silent = countsOf(canary, control);
    check.look(2 * MINUTE, { ...silent, canary: { ...silent.canary, frames: canary.map(() => 0) } });
    expect(check.looks.map(({ p, isHarmful }) => [p, isHarmful])).toEqual([
      [1, false],
      [1, false],
    ]);
  });
});

describe("a cross-check", () => {
  test("calls few equal models harmful, at whatever look, and p is seldom small", () => {
    const [RUNS, ALPHA, LOOKS] = [120, 0.1, 4];
    let harmful = 0;
    const small = new Map([[0.05, 0], [0.2, 0], [0.5, 0]]); // biome-ignore format: one line
    for (let seed = 1; seed <= RUNS; seed++) {
      const fleet = fleetOf(seed, 32);
      const [canary, control] = [fleet.slice(0, 8), fleet.slice(8)];
      const check = checkOf(canary, control, seed, ALPHA, LOOKS);
      const random = seededRandom(seed + 1e6);
      // What was seen stays, and something new comes to it.
      let now = fleet;
      for (let minute = 1; minute <= LOOKS; minute++) {
        now = now.map((one, i) => ({
          ...one,
          rate: (one.rate * minute + (fleet[i] as Device).rate * random()) / (minute + 1),
        }));
        check.look(minute * MINUTE, countsOf(now.slice(0, 8), now.slice(8)));
      }
      if (check.looks.some(({ isHarmful }) => isHarmful)) harmful += 1;
      const p = check.looks[0]?.p as number;
      for (const [level, count] of small) if (p <= level) small.set(level, count + 1);
    }
    const sdOf = (share: number) => Math.sqrt((share * (1 - share)) / RUNS);
    expect(harmful / RUNS).toBeLessThan(ALPHA + 3 * sdOf(ALPHA));
    expect(harmful / RUNS).toBeGreaterThan(ALPHA - 4 * sdOf(ALPHA)); // Nothing of alpha is lost by looking again.
    for (const [level, count] of small) expect(count / RUNS).toBeLessThan(level + 3 * sdOf(level));
  });

  test("sees a clear harm, spends no more than alpha, and does not look again", () => {
    let seen = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const fleet = fleetOf(seed, 100).map((one) => ({ ...one, rate: one.before }));
      const counts = countsOf(worse(fleet.slice(0, 20), 0.05), fleet.slice(20));
      const check = checkOf(fleet.slice(0, 20), fleet.slice(20), seed);
      for (let minute = 1; minute <= 10; minute++) check.look(minute * MINUTE, counts);
      if (check.looks.length === 1 && check.looks[0]?.isHarmful) seen += 1;
    }
    expect(seen).toBe(20);
    const fleet = fleetOf(1, 40);
    const [canary, control] = [fleet.slice(0, 10), fleet.slice(10)];
    const check = checkOf(canary, control, 1, 0.02, 5);
    for (const seconds of [59, 60, 119, 245, 246, 3_000]) check.look(1_000 * seconds, countsOf(canary, control));
    const spent = check.looks.map((look) => [look.sinceMs / 1_000, Number(look.spent.toFixed(9))]);
    expect(spent).toEqual([[60, 0.004], [245, 0.016], [3_000, 0.02]]); // biome-ignore format: one line
  });

  test("is the same again from the same seed, and another from another", () => {
    const fleet = fleetOf(5, 60);
    const [canary, control] = [fleet.slice(0, 15), fleet.slice(15)];
    const looksOf = (seed: number) => {
      const check = checkOf(canary, control, seed);
      for (const minute of [1, 2, 3]) check.look(minute * MINUTE, countsOf(canary, control));
      return check.looks;
    };
    expect(looksOf(7)).toEqual(looksOf(7));
    const statistics = (seed: number) =>
      drawnStatistics(countsOf(canary, control), strataOf(canary, control), 50, seed);
    expect(statistics(7)).toEqual(statistics(7));
    expect(statistics(8)[0]).toBe(statistics(7)[0]);
    expect(statistics(8)).not.toEqual(statistics(7));
  });

  test("looks at moments from the first to the last, each at least twice as late, and at most eight", () => {
    expect(plannedLooks(3 * MINUTE, 60 * MINUTE).map((ms) => ms / 1_000)).toEqual([180, 381, 805, 1_702, 3_600]);
    for (const last of [0, 3, 5.9, 6, 7, 90, 1_440, 43_200]) {
      const looks = plannedLooks(3 * MINUTE, last * MINUTE);
      expect(looks.length).toBeLessThanOrEqual(8);
      expect(looks[0]).toBe(3 * MINUTE);
      if (looks.length > 1) expect(looks.at(-1)).toBe(last * MINUTE);
      for (let i = 1; i < looks.length; i++)
        expect((looks[i] as number) / (looks[i - 1] as number)).toBeGreaterThan(1.99);
    }
  });

  test("is not made where it would cost too much, or cannot show anything", () => {
    const of = (canaries: number, controls: number, stratum: (i: number) => number = () => 0) => ({
      canary: Array.from({ length: canaries }, (_, i) => stratum(i)),
      control: Array.from({ length: controls }, (_, i) => stratum(i)),
    });
    expect(crossCheckProblem(of(800, 3_200), 0.02, 8)).toBeNull();
    expect(crossCheckProblem(of(1_000, 4_000), 0.02, 8)).toBe("it is for at most 4004 devices, and these are 5000");
    expect([drawsFor(0.02, 8), drawsFor(0.002, 8), drawsFor(1e-6, 8)]).toEqual([999, 3_999, 9_999]);
    expect(
      crossCheckProblem(
        of(8, 8, (i) => i),
        0.02,
        8,
      ),
    ).toBe("its strata can be drawn in 256 ways, and 400 are needed");
    expect(
      crossCheckProblem(
        of(8, 32, (i) => i % 8),
        0.02,
        8,
      ),
    ).toBeNull();
  });
});

/** Each pair of them, and the others. */
function pairsOf(devices: readonly Device[]): readonly (readonly [readonly Device[], readonly Device[]])[] {
  return devices.flatMap((one, i) =>
    devices.slice(i + 1).map((other, k) => {
      const j = i + 1 + k;
      return [[one, other], devices.filter((_, at) => at !== i && at !== j)] as const;
    }),
  );
}
