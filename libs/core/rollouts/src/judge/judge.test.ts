import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { compare } from "./comparison.ts";
import { logCrashEvidence } from "./crashes.ts";
import { bandOf, logEvidence, logEvidenceMax, logNormalCdf, mixtureVariance } from "./evidence.ts";
import { forecast } from "./forecast.ts";
import {
  type Arm,
  type MetricLook,
  MetricWatch,
  metricDefaults,
  plannedVariance,
  pOfOneLook,
  segmentWeights,
  smallestArms,
} from "./index.ts";
import { checkArms } from "./plan.ts";

/** Counts of two arms of 8 devices whose favourite class is the first or the second, minute by minute. */
function classCounts(random: Random, harm: readonly [number, number]) {
  const arm = () => ({ good: new Float64Array(8), frames: new Float64Array(8), before: new Float64Array(8).fill(0.9) });
  const both = () => ({ control: arm(), canary: arm() });
  const [whole, ...classes] = [both(), both(), both()] as const;
  const step = () => {
    for (const name of ["control", "canary"] as const)
      for (let i = 0; i < 8; i++)
        for (let frame = 0; frame < 30; frame++) {
          const c = random() < 0.85 ? i % 2 : 1 - (i % 2);
          const isGood = random() < 0.9 - (name === "canary" ? (harm[c] as number) : 0);
          for (const { [name]: to } of [whole, classes[c] as typeof whole]) {
            to.frames[i] = (to.frames[i] as number) + 1;
            to.good[i] = (to.good[i] as number) + (isGood ? 1 : 0);
          }
        }
  };
  return { whole, classes, step };
}

describe("a metric and its segments", () => {
  const settings = { ...metricDefaults, endMs: null, plannedVariance: 1e-4 };
  /** Minute of the rollback in half an hour; null: none. */
  const back = (seed: number, harm: readonly [number, number], segments: readonly number[]) => {
    const { whole, classes, step } = classCounts(seededRandom(seed), harm);
    const watch = new MetricWatch({ ...settings, segments });
    for (let minute = 1; minute <= 30; minute++) {
      step();
      const look = watch.look(minute * 60_000, whole, segments.length === 0 ? [] : classes);
      if (look?.isHarmful) return { minute, leading: look.leading };
    }
    return null;
  };
  const seeds = Array.from({ length: 40 }, (_, i) => i + 1);

  test("weights leave a half to the whole, and all of it where there is nothing beside", () => {
    expect(segmentWeights([2, 0])).toEqual([0.25, 0.25]);
    expect(segmentWeights([2, 1])).toEqual([0.125, 0.125, 0.25]);
    expect(segmentWeights([0, 0])).toEqual([]);
  });

  test("harm on one class is seen by its class, and not by the whole", () => {
    const byClass = seeds.map((seed) => back(seed, [0.4, 0], segmentWeights([2])));
    expect(
      byClass.filter((found) => found !== null && found.minute <= 5 && found.leading === 0).length,
    ).toBeGreaterThan(36);
    expect(seeds.filter((seed) => back(seed, [0.4, 0], []) !== null).length).toBeLessThan(10);
  });

  test("equal models stay, and one that trades a point of a class for one of another", () => {
    for (const harm of [[0, 0], [0.01, -0.01]] as const) // biome-ignore format: one line
      expect(seeds.filter((seed) => back(seed, harm, segmentWeights([2])) !== null).length).toBeLessThanOrEqual(1);
  });

  test("a segment with too few devices is no evidence, and takes nothing but its weight", () => {
    const { whole, classes, step } = classCounts(seededRandom(1), [0, 0]);
    for (let minute = 1; minute <= 5; minute++) step();
    const none = { control: { ...classes[0].control, frames: new Float64Array(8) }, canary: classes[0].canary };
    const look = new MetricWatch({ ...settings, segments: [0.5] }).look(5 * 60_000, whole, [none]);
    const alone = new MetricWatch(settings).look(5 * 60_000, whole);
    expect(look?.segments).toEqual([null]);
    expect(look?.logHarm).toBeCloseTo(Math.log(0.5 * Math.exp(alone?.logHarm ?? 0) + 0.5), 9);
    expect([look?.logSafe, look?.band]).toEqual([alone?.logSafe, alone?.band]);
  });

  test("a forecast gives what would suffice if the estimate stays, and that time alone may not", () => {
    const log = (one: { harm: number; variance: number; freedom: number }) => logEvidence(one, 1e-3);
    const noisy = { harm: 0.02, variance: 1e-4, freedom: 14, chance: 1e-4 };
    const { moreMs, timesDevices } = forecast(noisy, 60_000, log, 3.9);
    expect(moreMs).toBeGreaterThan(60_000);
    expect(timesDevices).toBeGreaterThan(1);
    expect(log({ ...noisy, variance: 1e-4 / (1 + (moreMs as number) / 60_000) })).toBeGreaterThanOrEqual(3.9);
    // All of its variance is between devices.
    expect(forecast({ ...noisy, chance: 0 }, 60_000, log, 3.9)).toMatchObject({ moreMs: null, timesDevices });
    expect(forecast({ ...noisy, harm: 1e-4 }, 60_000, log, 3.9)).toEqual({ moreMs: null, timesDevices: null });
  });

  test("p of one look is Student's", () => {
    expect(pOfOneLook({ harm: 2.015048, variance: 1, freedom: 5 })).toBeCloseTo(0.05, 6);
    expect(pOfOneLook({ harm: -2.015048, variance: 1, freedom: 5 })).toBeCloseTo(0.95, 6);
  });
});

type Oracle = {
  readonly alpha: number;
  readonly evidence: readonly {
    readonly harm: number;
    readonly variance: number;
    readonly freedom: number;
    readonly mixture: number;
    readonly logEvidence: number;
    readonly half: number | null;
  }[];
  readonly crashes: readonly {
    readonly canary: number;
    readonly crashes: number;
    readonly share: number;
    readonly logEvidence: number;
  }[];
};
const oracle = JSON.parse(readFileSync(new URL("../../fixtures/oracle.json", import.meta.url), "utf8")) as Oracle;
const near = (value: number, expected: number) => Math.abs(value - expected) <= 1e-9 * Math.max(1, Math.abs(expected));

describe("evidence", () => {
  test("agrees with savvi and scipy to 1e-9", () => {
    for (const { mixture, logEvidence: expected, half, ...comparison } of oracle.evidence) {
      const evidence = logEvidence(comparison, mixture);
      expect([evidence, near(evidence, expected)]).toEqual([evidence, true]);
      const { lower, upper } = bandOf(comparison, mixture, oracle.alpha);
      if (half === null) expect([lower, upper]).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]);
      else expect(near((upper - lower) / 2, half)).toBe(true);
    }
    for (const { canary, crashes, share, logEvidence: expected } of oracle.crashes) {
      const evidence = logCrashEvidence(canary, crashes, share);
      expect([canary, crashes, evidence, near(evidence, expected)]).toEqual([canary, crashes, evidence, true]);
    }
  });

  test("of harm grows with harm, up to its bound; doing better is worth less than nothing learned", () => {
    const mixture = mixtureVariance(1e-5, 0.02);
    const at = (harm: number) => logEvidence({ harm, variance: 1e-5, freedom: 20 }, mixture);
    const harms = Array.from({ length: 60 }, (_, i) => -0.03 + i * 0.002);
    for (let i = 1; i < harms.length; i++) expect(at(harms[i] as number)).toBeGreaterThan(at(harms[i - 1] as number));
    expect(at(-0.01)).toBeLessThan(0);
    const most = logEvidenceMax({ variance: 1e-5, freedom: 20 }, mixture);
    expect(at(1e3)).toBeLessThanOrEqual(most);
    expect(at(1e3)).toBeGreaterThan(most - 1e-3);
  });

  test("ln of the normal distribution function is smooth where the function is 0", () => {
    for (let z = -4.9; z > -5.2; z -= 0.001) {
      const slope = (logNormalCdf(z) - logNormalCdf(z - 0.001)) / 0.001;
      expect(slope).toBeGreaterThan(4.9);
      expect(slope).toBeLessThan(5.5);
    }
    expect(logNormalCdf(-60)).toBeCloseTo(-1805.01, 1);
  });

  test("fewer crashes than the share are no evidence, more are", () => {
    expect(logCrashEvidence(0, 40, 1 / 3)).toBeLessThan(0);
    expect(logCrashEvidence(0, 0, 1 / 3)).toBeCloseTo(0, 12);
    expect(logCrashEvidence(12, 14, 1 / 3)).toBeGreaterThan(Math.log(100));
  });
});

describe("arms", () => {
  test("too few devices are refused, naming how many would do", () => {
    expect(() => checkArms(2, 100, 0.02)).toThrow(
      /canary has 2 devices: .*cannot exceed 1\.8, and 3\.9 is needed; 8 would do/,
    );
    expect(() => checkArms(50, 6, 0.02)).toThrow(/control has 6 devices/);
    expect(() => checkArms(8, 16, 0.02)).not.toThrow();
    for (const alpha of [0.05, 0.02, 0.005, 1e-6])
      expect(() => checkArms(smallestArms(alpha), 99, alpha)).not.toThrow();
  });

  test("what devices did before explains their differences away", () => {
    const random = seededRandom(1);
    const arm = (n: number): Arm => {
      const before = Array.from({ length: n }, () => 0.9 + 0.05 * (random() - 0.5));
      return { before, frames: before.map(() => 1e5), good: before.map((rate) => Math.round(1e5 * rate)) };
    };
    const [control, canary] = [arm(100), arm(20)];
    const flat = (a: Arm): Arm => ({ ...a, before: Array.from(a.before, () => 0) });
    const adjusted = compare(control, canary);
    const plain = compare(flat(control), flat(canary));
    expect(adjusted?.variance).toBeLessThan((plain?.variance ?? 0) / 5);
  });

  test.each([1, 2, 3, 4, 5])(
    "seed %i: one pass computes what the definition states, since the start or since later",
    (seed) => {
      const random = seededRandom(seed);
      const arm = (n: number): Arm => {
        const before = Array.from({ length: n }, () => 0.8 + 0.19 * random());
        const frames = before.map(() => Math.floor(random() * 300));
        // Devices so far apart that the variance needs no floor.
        const rates = before.map((rate) => rate - 0.3 * random());
        return { before, frames, good: frames.map((count, i) => Math.round(count * (rates[i] as number))) };
      };
      const [control, canary] = [arm(300), arm(40)];
      const earlier = (a: Arm) => ({
        frames: Array.from(a.frames, (count) => Math.floor(count / 3)),
        good: Array.from(a.frames, (count) => Math.floor(Math.floor(count / 3) * 0.6)),
      });
      const start = { control: earlier(control), canary: earlier(canary) };
      const since = (a: Arm, from: ReturnType<typeof earlier>): Arm => ({
        frames: Array.from(a.frames, (count, i) => count - (from.frames[i] as number)),
        good: Array.from(a.good, (count, i) => count - (from.good[i] as number)),
        before: a.before,
      });
      const later = [since(control, start.control), since(canary, start.canary)] as const;
      for (const [one, expected] of [
        [compare(control, canary), defined(control, canary)],
        [compare(control, canary, start), defined(...later)],
      ] as const) {
        for (const key of ["harm", "variance", "freedom"] as const)
          expect([key, near(one?.[key] as number, expected[key])]).toEqual([key, true]);
      }
    },
  );

  test("no bad frame anywhere is not certainty, a silent device is missing, and one device is no arm", () => {
    const arm = (frames: number[]): Arm => ({ frames, good: frames, before: frames.map(() => 1) });
    expect(compare(arm([100, 100, 0]), arm([100, 100]))).toMatchObject({ harm: 0, freedom: 2 });
    expect(compare(arm([100, 100]), arm([100, 100]))?.variance).toBeGreaterThan(0);
    expect(compare(arm([100, 100]), arm([100, 0]))).toBeNull();
  });
});

test("late starts are bounded, and harm that starts after days is seen all the same", () => {
  const watch = new MetricWatch({ ...metricDefaults, endMs: 3_600_000, plannedVariance: 1e-5 });
  const arm = (n: number) => ({
    good: new Float64Array(n),
    frames: new Float64Array(n),
    before: new Float64Array(n).fill(0.9),
  });
  const [control, canary] = [arm(60), arm(20)];
  const random = seededRandom(7);
  let harmfulAt: number | null = null;
  for (let minute = 5; minute <= 5_000 && harmfulAt === null; minute += 5) {
    for (const [one, lost] of [
      [control, 0],
      [canary, minute > 4_000 ? 0.05 : 0],
    ] as const) {
      for (let i = 0; i < one.frames.length; i++) {
        one.frames[i] = (one.frames[i] as number) + 60;
        one.good[i] = (one.good[i] as number) + Math.round(60 * (0.9 - lost) + 4 * (random() - 0.5));
      }
    }
    if (watch.look(minute * 60_000, { control, canary })?.isHarmful) harmfulAt = minute;
  }
  expect(harmfulAt).toBeGreaterThan(4_000);
  expect(harmfulAt).toBeLessThanOrEqual(4_060);
});

describe("a metric watched for six hours", () => {
  const plan = { canaries: 20, controls: 60, rate: 0.9, frames: 360, deviceSd: 0.01 };

  test("an equal model is seldom called harmful, a bad one soon, also when it turns bad late", () => {
    const outcome = { equal: 0, worse: 0, late: 0, promoted: 0 };
    const RUNS = 24;
    for (let seed = 0; seed < RUNS; seed++) {
      if (watch(seed, () => 0).harmfulAt !== null) outcome.equal += 1;
      if ((watch(seed, () => 0.05).harmfulAt ?? 999) <= 30) outcome.worse += 1;
      const late = watch(seed, (minute) => (minute > 200 ? 0.05 : 0)).harmfulAt;
      if (late !== null && late > 200 && late <= 260) outcome.late += 1;
      if (watch(seed, () => -0.005).safeAt !== null) outcome.promoted += 1;
    }
    expect(outcome.equal).toBeLessThanOrEqual(3); // alpha is 2 %: above 3 of 24 once in 700 suites
    expect(outcome.worse).toBeGreaterThanOrEqual(RUNS - 2);
    expect(outcome.late).toBeGreaterThanOrEqual(RUNS - 4);
    expect(outcome.promoted).toBeGreaterThan(RUNS / 2);
  });

  test("that a planned look finds harm is enough by itself, and mostly sooner than evidence without an end", () => {
    const [found, sooner] = [[] as number[], [] as boolean[]];
    for (let seed = 0; seed < 12; seed++) {
      const { harmfulAt, last } = watch(seed, () => 0.02);
      if (last?.crossedMs != null) found.push(last.logHarm);
      sooner.push((harmfulAt ?? 999) < (watch(seed, () => 0.02, null).harmfulAt ?? 999));
    }
    expect(found.length).toBeGreaterThan(6);
    expect(Math.min(...found)).toBeGreaterThanOrEqual(-Math.log(metricDefaults.alpha));
    expect(sooner.filter((is) => is).length).toBeGreaterThan(6);
  });

  function watch(seed: number, harm: (minute: number) => number, endMs: number | null = 360 * 60_000) {
    const random = seededRandom(seed);
    const [control, canary] = [fleet(random, plan.controls), fleet(random, plan.canaries)];
    const metric = new MetricWatch({
      ...metricDefaults,
      endMs,
      plannedVariance: plannedVariance(plan),
    });
    let harmfulAt: number | null = null;
    let safeAt: number | null = null;
    let last: MetricLook | null = null;
    for (let minute = 1; minute <= 360; minute++) {
      show(control, () => 0);
      show(canary, () => harm(minute));
      if (minute % 3 > 0) continue;
      const look = metric.look(minute * 60_000, { control, canary });
      if (harmfulAt === null) last = look;
      if (look?.isHarmful) harmfulAt ??= minute;
      if (look?.isSafe) safeAt ??= minute;
    }
    return { harmfulAt, safeAt, last };

    function show(arm: Fleet, worse: () => number): void {
      for (let i = 0; i < arm.rates.length; i++) {
        for (let k = 0; k < 12; k++) {
          arm.frames[i] = (arm.frames[i] as number) + 1;
          if (random() < (arm.rates[i] as number) - worse()) arm.good[i] = (arm.good[i] as number) + 1;
        }
      }
    }
  }
});

/** The comparison as the method states it, adjusted value by adjusted value. */
function defined(control: Arm, canary: Arm): { harm: number; variance: number; freedom: number } {
  const of = ({ good, frames, before }: Arm) =>
    Array.from(frames).flatMap((count, i) =>
      count > 0 ? [{ x: before[i] as number, y: Math.min(1, (good[i] as number) / count) }] : [],
    );
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [a, b] = [of(control), of(canary)];
  const centre = mean([...a, ...b].map(({ x }) => x));
  const [x, y] = [mean(a.map((one) => one.x)), mean(a.map((one) => one.y))];
  const free =
    a.reduce((sum, one) => sum + (one.x - x) * (one.y - y), 0) / a.reduce((sum, one) => sum + (one.x - x) ** 2, 0);
  const slope = Math.min(1, Math.max(0, free)); // comparison.ts A4
  const arms = [a, b].map((devices) => {
    const z = devices.map((one) => one.y - slope * (one.x - centre));
    const m = mean(z);
    return { m, n: z.length, v: z.reduce((sum, value) => sum + (value - m) ** 2, 0) / (z.length - 1) / z.length };
  });
  const [p, q] = arms as [(typeof arms)[0], (typeof arms)[0]];
  const freedom = (p.v + q.v) ** 2 / (p.v ** 2 / (p.n - 1) + q.v ** 2 / (q.n - 1));
  return { harm: p.m - q.m, variance: p.v + q.v, freedom };
}

type Fleet = { readonly rates: Float64Array; readonly before: Float64Array; frames: Float64Array; good: Float64Array };

function fleet(random: Random, n: number): Fleet {
  const rates = Float64Array.from({ length: n }, () => 0.87 + 0.06 * random());
  const before = rates.map((rate) => rate + 0.004 * (random() - 0.5));
  return { rates, before, frames: new Float64Array(n), good: new Float64Array(n) };
}

describe("devices that report wrong counts (comparison.ts A4)", () => {
  /** An arm of `n` devices that are right about nine times of ten, or always; the first `hostile` ones report what suits
   * them. */
  function armOf(
    n: number,
    hostile: number,
    isSure: boolean,
    random: Random,
    report: () => readonly [number, number, number],
  ) {
    const arm = { good: [] as number[], frames: [] as number[], before: [] as number[] };
    for (let i = 0; i < n; i++) {
      const rate = isSure ? 1 - 1e-5 * random() : 0.85 + 0.1 * random();
      const honest = [isSure ? 50 : Math.round(50 * rate), 50, rate] as const;
      const [good, frames, before] = i < hostile ? report() : honest;
      arm.good.push(good);
      arm.frames.push(frames);
      arm.before.push(before);
    }
    return arm;
  }
  /** Rates of 0 or 1 out of next to nothing or of more frames than there are, and any past, also one right beside the
   * others'. */
  const reportsOf = (random: Random) => () => {
    const frames = [1e-3, 1, 50, 1e8, 2 ** 60][Math.floor(random() * 5)] as number;
    const good = random() < 0.5 ? 0 : frames;
    return [good, frames, [0, 1, 0.9, 0.999, 1 - 1e-6][Math.floor(random() * 5)] as number] as const;
  };
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

  test("move the estimate by no more than as many devices may, over seeds", () => {
    for (let seed = 1; seed <= 500; seed++) {
      const [canaries, controls, isSure] = [8 + (seed % 25), 32 + (seed % 60), seed % 2 === 0];
      const [inCanary, inControl] = [seed % 4, seed % 7];
      const armsWith = (a: number, b: number) => {
        const [random, reports] = [seededRandom(seed), reportsOf(seededRandom(seed + 1))];
        const control = armOf(controls, b, isSure, random, reports);
        return { control, canary: armOf(canaries, a, isSure, random, reports) };
      };
      const [honest, hostile] = [armsWith(0, 0), armsWith(inCanary, inControl)];
      const [one, other] = [compare(honest.control, honest.canary), compare(hostile.control, hostile.canary)];
      const share = inCanary / canaries + inControl / controls;
      const past = Math.abs(mean(honest.control.before) - mean(honest.canary.before));
      const moved = Math.abs((one?.harm ?? 0) - (other?.harm ?? Number.NaN));
      expect([seed, moved <= 2 * share + 2 * past + 1e-9]).toEqual([seed, true]);
    }
  });

  test("do not make others certain by the frames that they claim", () => {
    const perfect = (n: number) => ({
      good: Array.from({ length: n }, () => 50),
      frames: Array.from({ length: n }, () => 50),
      before: Array.from({ length: n }, () => 1),
    });
    const [control, canary] = [perfect(80), perfect(20)];
    const honest = compare(control, canary)?.variance ?? 0;
    for (const frames of [1e8, 2 ** 60]) {
      canary.good[0] = canary.frames[0] = frames;
      expect(compare(control, canary)?.variance).toBeGreaterThan(0.9 * honest);
    }
  });
});
