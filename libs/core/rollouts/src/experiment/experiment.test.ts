import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type ArmLanes,
  type ArmVerdict,
  ExperimentJudge,
  type ExperimentSettings,
  type ExperimentSpec,
  experimentDefaults,
  flipsAt,
  gridMultiples,
  gridOf,
  hoursToDecide,
  laneNames,
  logRatioMismatch,
  plannedVariances,
  type Rates,
  readExperiment,
  unitOf,
  utilityOf,
  type Weights,
  writtenExperiment,
} from "./index.ts";
import { SampleRatio } from "./sample-ratio.ts";

const HOUR = 3_600_000;
const DEVICES = 20;
const weights: Weights = { correct: 1, escalated: 0.05, late: 1 };
const usual: Rates = { correct: 0.88, escalated: 0.1, late: 0.003 };
/** Per device and hour. */
const frames = { correct: 12, escalated: 300, late: 300 };
const seeds = Array.from({ length: 40 }, (_, i) => i + 1);

const normal = (random: Random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
/** Near enough to a binomial. */
const hits = (n: number, rate: number, random: Random) =>
  Math.min(n, Math.max(0, Math.round(n * rate + Math.sqrt(n * rate * (1 - rate)) * normal(random))));

type Growing = Record<keyof Rates, { good: number[]; frames: number[]; before: number[] }>;

/** An arm whose devices differ, and what adds an hour to it. */
function growing(rates: Rates, random: Random): { readonly lanes: ArmLanes; readonly step: () => void } {
  const own = Array.from({ length: DEVICES }, () => 0.02 * normal(random));
  const lane = (name: keyof Rates) => ({
    good: own.map(() => 0),
    frames: own.map(() => 0),
    before: own.map((o) => usual[name] + (name === "correct" ? o : 0)),
  });
  const lanes: Growing = { correct: lane("correct"), escalated: lane("escalated"), late: lane("late") };
  const step = () => {
    for (const name of laneNames)
      for (let i = 0; i < DEVICES; i++) {
        const rate = rates[name] + (name === "correct" ? (own[i] as number) : 0);
        (lanes[name].good[i] as number) += hits(frames[name], rate, random);
        (lanes[name].frames[i] as number) += frames[name];
      }
  };
  return { lanes, step };
}

const settings: ExperimentSettings = {
  ...experimentDefaults,
  weights,
  rope: 0.02,
  arms: 1,
  planned: plannedVariances(
    {
      devices: [DEVICES, DEVICES],
      rates: usual,
      frames: { correct: 24 * 12, escalated: 24 * 300, late: 24 * 300 },
      deviceSd: { correct: 0.005, escalated: 0.005, late: 0.001 },
    },
    weights,
  ),
};

function verdictOf(effect: Rates, seed: number, own = settings): ArmVerdict {
  const random = seededRandom(seed);
  const arm = growing(
    {
      correct: usual.correct + effect.correct,
      escalated: usual.escalated + effect.escalated,
      late: usual.late + effect.late,
    },
    random,
  );
  const control = growing(usual, random);
  const judge = new ExperimentJudge(own);
  let verdict: ArmVerdict = "undecided";
  for (let hour = 1; hour <= 120 && verdict === "undecided"; hour++) {
    control.step();
    arm.step();
    verdict = judge.look(hour * HOUR, control.lanes, arm.lanes)?.verdict ?? "undecided";
  }
  return verdict;
}

const counted = (effect: Rates, own = settings) => {
  const found = { adopt: 0, reject: 0, equivalent: 0, undecided: 0 };
  for (const seed of seeds) found[verdictOf(effect, seed, own)] += 1;
  return found;
};

describe("an experiment's verdict, over 40 seeds", () => {
  test("the same policy twice ends equivalent", () => {
    const { equivalent, adopt, reject } = counted({ correct: 0, escalated: 0, late: 0 });
    expect(equivalent).toBeGreaterThanOrEqual(30);
    expect(adopt + reject).toBeLessThanOrEqual(4); // 2 expected at most
  });

  test("more right answers than they cost are adopted", () => {
    const { adopt, reject, equivalent } = counted({ correct: 0.04, escalated: 0.1, late: 0 });
    expect(adopt).toBeGreaterThanOrEqual(36);
    expect(reject + equivalent).toBeLessThanOrEqual(2);
  });

  test("5 points more right answers of which as many are late are rejected, also where lateness costs nothing", () => {
    const slow = { correct: 0.05, escalated: 0, late: 0.06 };
    expect(counted(slow).reject).toBe(40);
    const free = { ...settings, weights: { ...weights, late: 0 } };
    const { adopt, reject } = counted(slow, free);
    expect(adopt).toBe(0);
    expect(reject).toBe(40); // The margin of late answers is a guardrail, not a price.
  });

  test("with a guardrail that allows it, what a late answer costs flips the verdict", () => {
    const slow = { correct: 0.05, escalated: 0, late: 0.06 };
    const loose = { ...settings, lateMargin: 0.2 };
    expect(counted(slow, loose).adopt).toBe(0);
    expect(counted(slow, { ...loose, weights: { ...weights, late: 0 } }).adopt).toBeGreaterThanOrEqual(38);
  });
});

test("nothing is judged in the burn-in, or of an arm without labels", () => {
  const random = seededRandom(1);
  const [control, arm] = [growing(usual, random), growing(usual, random)];
  control.step();
  arm.step();
  const judge = new ExperimentJudge(settings);
  expect(judge.look(experimentDefaults.burnInMs - 1, control.lanes, arm.lanes)).toBeNull();
  const none = { ...arm.lanes.correct, good: [], frames: [] };
  const unlabelled = {
    ...arm.lanes,
    correct: { ...none, good: Array(DEVICES).fill(0), frames: Array(DEVICES).fill(0) },
  };
  expect(judge.look(HOUR, control.lanes, unlabelled)).toBeNull();
  expect(judge.look(HOUR, control.lanes, arm.lanes)).toMatchObject({ verdict: "undecided", missing: {} });
});

test("one device that claims absurd counts moves the gain by what one device may", () => {
  const random = seededRandom(1);
  const [control, arm] = [growing(usual, random), growing(usual, random)];
  for (let hour = 0; hour < 24; hour++) {
    control.step();
    arm.step();
  }
  const look = () => new ExperimentJudge(settings).look(24 * HOUR, control.lanes, arm.lanes)?.gain.estimate as number;
  const before = look();
  for (const lane of laneNames) {
    (arm.lanes[lane].good as number[])[0] = lane === "correct" ? 1e15 : -5;
    (arm.lanes[lane].frames as number[])[0] = 1e6;
  }
  expect(Math.abs(look() - before)).toBeLessThan((weights.correct + weights.escalated + weights.late) / DEVICES);
});

test("money is a scale: weights in cents give the verdicts of weights in euros", () => {
  const effect = { correct: 0.03, escalated: 0.1, late: 0 };
  const cents = {
    ...settings,
    weights: { correct: 100, escalated: 5, late: 100 },
    rope: 100 * settings.rope,
    planned: { ...settings.planned, utility: 1e4 * settings.planned.utility },
  };
  for (const seed of seeds.slice(0, 10)) expect(verdictOf(effect, seed, cents)).toBe(verdictOf(effect, seed));
});

test.each([
  [{ ...weights, late: -1 }, /weights must be 0 or more.*late -1/],
  [{ correct: 0, escalated: 0, late: 0 }, /one above 0/],
  [{ ...weights, escalated: Number.NaN }, /escalated NaN/],
])("weights %j are refused", (wrong, why) => {
  expect(() => unitOf(wrong)).toThrow(why);
  expect(() => new ExperimentJudge({ ...settings, weights: wrong })).toThrow(why);
});

test("a rope or a margin that decides nothing is refused", () => {
  expect(() => new ExperimentJudge({ ...settings, rope: 0 })).toThrow(/rope must be above 0/);
  expect(() => new ExperimentJudge({ ...settings, rope: 1 })).toThrow(/below the largest weight, 1/);
  expect(() => new ExperimentJudge({ ...settings, lateMargin: 0 })).toThrow(/lateMargin must be between 0 and 1/);
});

test("what would flip the decision: where the gain is zero, and the grid agrees with it", () => {
  const differences = { correct: 0.05, escalated: 0.2, late: 0.02 };
  const flips = flipsAt(differences, weights);
  expect(flips).toEqual({ correct: expect.closeTo(0.6), escalated: expect.closeTo(0.15), late: expect.closeTo(2) });
  for (const lane of laneNames) {
    expect(utilityOf(differences, { ...weights, [lane]: flips[lane] as number })).toBeCloseTo(0);
  }
  expect(flipsAt({ correct: 0.05, escalated: -0.1, late: 0 }, weights)).toEqual({
    correct: null,
    escalated: null,
    late: null,
  });

  const random = seededRandom(3);
  const [control, arm] = [growing(usual, random), growing({ correct: 0.93, escalated: 0.3, late: 0.023 }, random)];
  for (let hour = 0; hour < 48; hour++) {
    control.step();
    arm.step();
  }
  const grid = gridOf(control.lanes, arm.lanes, weights);
  const cell = (v: number, k: number) => grid?.[gridMultiples.indexOf(v as 1)]?.[gridMultiples.indexOf(k as 1)];
  expect(cell(1, 1)).toMatchObject({ for: "arm", isClear: true, weights });
  expect(cell(1, 4)).toMatchObject({ for: "control", isClear: true });
  expect(cell(0, 0)).toMatchObject({ for: "control", isClear: true }); // What it costs alone.
});

describe("sample-ratio mismatch", () => {
  const drawn = (random: Random, silent: number) => {
    const order = [...Array<number>(50).fill(0), ...Array<number>(50).fill(1)];
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    return order.filter((arm) => arm === 0 || random() >= silent);
  };

  test("is alarmed at any moment in at most alpha of the runs where there is none", () => {
    let alarms = 0;
    for (let seed = 1; seed <= 400; seed++) {
      const reported = drawn(seededRandom(seed), 0);
      const logs = reported.map((_, i) =>
        logRatioMismatch([{ assigned: [50, 50], reported: reported.slice(0, i + 1) }]),
      );
      if (Math.max(...logs) >= Math.log(20)) alarms += 1;
    }
    expect(alarms).toBeLessThanOrEqual(30); // 20 expected at most
  });

  test("sees an arm of which half stay silent, also in several strata", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const strata = [0, 1].map(() => ({ assigned: [50, 50], reported: drawn(random, 0.5) }));
      expect(logRatioMismatch(strata)).toBeGreaterThan(Math.log(100));
    }
  });

  test("sees at once that 30 % of an arm are missing, in 36 strata, and an alarm of equal arms is rare", () => {
    const alarms = (silent: number) => {
      let count = 0;
      for (let seed = 1; seed <= 100; seed++) {
        const random = seededRandom(seed);
        const order = Array.from({ length: 720 }, (_, i) => `d${i}`);
        const strata = order.map((_, i) => i % 36);
        const arms = [order.slice(0, 360), order.slice(360)].map((devices, i) => ({
          name: `${i}`,
          policyVersion: "",
          devices,
        }));
        const ratio = new SampleRatio({ uid: `u${seed}`, arms, order, strata });
        const missing = (arm: number) => 0.05 + (arm === 1 ? silent : 0);
        ratio.reported(
          arms.map(({ devices }, arm) => new Map(devices.filter(() => random() >= missing(arm)).map((id) => [id, 1]))),
        );
        if (ratio.isMismatch) count += 1;
      }
      return count;
    };
    expect(alarms(0.3)).toBeGreaterThan(97);
    expect(alarms(0)).toBeLessThanOrEqual(4);
  });

  test("is nothing while nobody reports", () => {
    expect(logRatioMismatch([{ assigned: [50, 50], reported: [] }])).toBeCloseTo(0);
    expect(logRatioMismatch([])).toBe(0);
  });
});

describe("what is planned", () => {
  const plan = { devices: [40, 40] as const, rates: usual, deviceSd: { correct: 0.01, escalated: 0.02, late: 0.002 } };
  const hours = (gain: number, rise = 0, labels = 2) =>
    hoursToDecide(plan, { correct: labels, escalated: 300, late: 300 }, { ...settings, rope: 0.01 }, { gain, rise });

  test("a larger gain is decided sooner, and more labels help", () => {
    const [small, large] = [hours(0.02), hours(0.05)];
    expect([small?.verdict, large?.verdict]).toEqual(["adopt", "adopt"]);
    expect(large?.hours).toBeLessThan(small?.hours as number);
    expect(hours(0.02, 0, 8)?.hours).toBeLessThan(small?.hours as number);
    expect(hours(-0.03)?.verdict).toBe("reject");
    expect(hours(0)?.verdict).toBe("equivalent");
    expect(hours(0.05, 0.05)?.verdict).toBe("reject"); // Late beyond the margin.
  });

  test("what no year decides has no time", () => {
    expect(
      hoursToDecide({ ...plan, devices: [2, 2] }, { correct: 0.01, escalated: 1, late: 1 }, settings, {
        gain: 0.001,
        rise: 0,
      }),
    ).toBeNull();
  });
});

describe("a specification", () => {
  const written = {
    apiVersion: "tributary.dev/v1",
    kind: "Experiment",
    metadata: { name: "is-the-cloud-worth-it" },
    spec: {
      arms: [
        { name: "hybrid", policy: "0123456789" },
        { name: "edge-heavy", policy: "abcdef0123" },
      ],
      utility: { correct: 0.01, escalated: 0.0005, late: 0.01, currency: "EUR" },
      rope: 0.0001,
    },
  };
  const problemsOf = (change: object) =>
    readExperiment({ ...written, spec: { ...written.spec, ...change } }).problems.map(
      ({ path, message }) => `${path.join(".")}: ${message}`,
    );

  test("has every default filled in, and is written as it was read", () => {
    const { spec } = readExperiment(written);
    expect(spec?.spec).toMatchObject({ alpha: 0.05, lateMargin: 0.005, burnIn: 600_000, duration: 6 * 86_400_000 });
    expect(readExperiment(writtenExperiment(spec as ExperimentSpec)).spec).toEqual(spec);
  });

  test.each([
    [{ arms: [written.spec.arms[0]] }, /spec.arms: is too short; at least 2/],
    [
      { arms: [written.spec.arms[0], { name: "hybrid", policy: "abcdef0123" }] },
      /arms.1.name: another arm is called hybrid/,
    ],
    [
      { arms: [written.spec.arms[0], { name: "b", policy: "01234567" }] },
      /arms.1.policy: another arm has the same policy/,
    ],
    [
      { arms: [written.spec.arms[0], { name: "b", policy: "latest" }] },
      /arms.1.policy: "latest": expected 8 to 64 hexadecimal/,
    ],
    [{ rope: 0.02 }, /spec.rope: all utilities would be the same; write less than 0.01/],
    [{ utility: { correct: 0, escalated: 0, late: 0, currency: "EUR" } }, /spec.utility: nothing is worth anything/],
    [{ utility: { ...written.spec.utility, currency: "euro" } }, /currency: "euro": expected a currency such as EUR/],
    [{ burnIn: "14d" }, /spec.burnIn: ends with the experiment/],
    [{ latemargin: 0.01 }, /unknown field; did you mean lateMargin\?/],
  ])("with %j is refused, with the place and the fix", (change, why) => {
    expect(problemsOf(change).join("\n")).toMatch(why);
  });
});
