import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { type ClassedDraw, hasPast, hasRisen, LossTest } from "./index.ts";

/** A class: how often it is seen, its validation frames, its error rate there, and that of now. */
type Class = { readonly share: number; readonly items: number; readonly validated: number; readonly now: number };

const PROPENSITIES = [0.005, 0.02, 1] as const;

function classAt(classes: readonly Class[], at: number): number {
  let sum = 0;
  const truth = classes.findIndex(({ share }) => {
    sum += share;
    return at < sum;
  });
  return Math.max(0, truth);
}

/** Hard frames are lost more often, and drawn more often; the class's error rate over all frames is as given. */
function draw(classes: readonly Class[], random: Random, isEven: boolean): ClassedDraw {
  for (;;) {
    const hardness = isEven ? 0 : Math.floor(3 * random());
    const propensity = PROPENSITIES[hardness] as number;
    if (random() >= (isEven ? 1 : propensity)) continue;
    const truth = classAt(classes, random());
    const rate = (classes[truth] as Class).now * (isEven ? 1 : ([0.5, 1, 1.5][hardness] as number));
    return { at: 0, truth, weight: isEven ? 1 : 0.005 / propensity, loss: random() < rate };
  }
}

const validated = (classes: readonly Class[], random: Random) =>
  classes.map(({ items, validated: rate }) => {
    return { items, events: Array.from({ length: items }, random).filter((u) => u < rate).length };
  });

/** In how many runs a loss is proven at one of the looks. */
function proven(classes: readonly Class[], isEven: boolean, runs: number, draws: number): number {
  let lost = 0;
  for (let run = 0; run < runs; run++) {
    const random = seededRandom(1_000 + run);
    const lossTest = new LossTest(validated(classes, random), 0.02, 0.05);
    const all = Array.from({ length: draws }, () => draw(classes, random, isEven));
    const looks = Array.from({ length: 10 }, (_, i) => all.slice(0, ((i + 1) * draws) / 10));
    if (looks.some((some) => lossTest.judge(some).state === "LOST")) lost++;
  }
  return lost;
}

const classesOf = (
  items: number,
  shares: readonly number[],
  rates: readonly number[],
  excess: number,
): readonly Class[] =>
  shares.map((share, c) => {
    const validatedRate = rates[c % rates.length] as number;
    return { share, items: Math.round(items / shares.length), validated: validatedRate, now: validatedRate + excess };
  });

describe("a proof of a loss", () => {
  test.each([
    ["100 validation frames of two classes, of which the camera sees the worse", 100, [0.1, 0.9], [0.12, 0.42], true],
    ["394, drawn unequally", 394, [0.1, 0.9], [0.12, 0.42], false],
    ["300 of ten classes, where the camera sees three", 300, [0.5, 0.4, 0.1, 0, 0, 0, 0, 0, 0, 0], [0.1, 0.3], true],
  ])(
    "loss.ts L1: is wrong in hardly any run where the tolerance is just used up: %s",
    (_, items, shares, rates, isEven) => {
      // At 5 %, 2 of 40 runs; 5 and more have a probability of 1.2 %.
      expect(proven(classesOf(items, shares, rates, 0.02), isEven, 40, 400)).toBeLessThan(5);
    },
  );

  test("is found for 20 points on a few hundred frames, and for one class of ten", () => {
    const even = new Array<number>(10).fill(0.1);
    expect(proven(classesOf(2_500, even, [0.1], 0.2), true, 10, 400)).toBe(10);
    const one = classesOf(2_500, even, [0.1], 0).map((of, c) => (c === 4 ? { ...of, now: 0.6 } : of));
    expect(proven(one, true, 10, 600)).toBeGreaterThanOrEqual(9);
  });

  test("needs validation frames of the classes, and draws", () => {
    const draws = Array.from({ length: 300 }, () => ({ at: 0, weight: 1, truth: 1, loss: true }));
    const samples = [
      { items: 500, events: 50 },
      { items: 19, events: 1 },
    ];
    const lossTest = new LossTest(samples, 0.02, 0.01);
    expect(lossTest.judge([])).toMatchObject({ state: "NO_DATA", draws: 0, errorRate: null, expected: null });
    expect(lossTest.judge(draws)).toMatchObject({ state: "UNPROVEN", draws: 300, errorRate: 1, expected: null });
    expect(new LossTest(null, 0.02, 0.01).judge(draws)).toMatchObject({ state: "UNPROVEN", expected: null });
    const known = lossTest.judge([...draws, ...draws.map((one, i) => ({ ...one, truth: 0, loss: i % 3 === 0 }))]);
    expect(known).toMatchObject({ state: "LOST", draws: 300, lostClass: null });
    expect(known.errorRate).toBeCloseTo(1 / 3, 5);
    expect(known.expected).toBeCloseTo(0.1, 5);
  });
});

describe("a comparison of devices with their own past", () => {
  const device = (count: number, before: number, now: number, random: Random) => {
    const some = (rate: number, at: number) =>
      Array.from({ length: count }, (_, k) => ({ at: at + k, weight: 1, truth: k % 3, loss: random() < rate }));
    return { before: some(before, 0), now: some(now, count) };
  };

  test("is wrong in hardly any run where each had its own rate, and sees what rose", () => {
    let [same, risen] = [0, 0];
    for (let run = 0; run < 60; run++) {
      const random = seededRandom(run);
      const rates = Array.from({ length: 5 }, () => 0.6 * random());
      if (
        hasRisen(
          rates.map((rate) => device(40, rate, rate + 0.02, random)),
          0.02,
          0.05,
        )
      )
        same++;
      if (
        hasRisen(
          rates.map((rate) => device(40, rate, rate + 0.25, random)),
          0.02,
          0.05,
        )
      )
        risen++;
    }
    expect(same).toBeLessThan(7);
    expect(risen).toBeGreaterThan(50);
  });

  test("needs a past of most of what is labelled now", () => {
    const random = seededRandom(1);
    const [old, fresh] = [device(40, 0.1, 0.3, random), { ...device(41, 0.1, 0.3, random), before: [] }];
    expect([hasPast([old]), hasPast([old, fresh]), hasPast([])]).toEqual([true, false, false]);
  });
});
