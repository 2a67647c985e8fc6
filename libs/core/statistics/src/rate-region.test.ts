/** What a sample of each class says of all weighted sums of the classes' rates at once. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { chiBarQuantile, chiBarTail, clopperPearsonUpper, normalCdf, RateRegion } from "./index.ts";

test.each([
  [4, 1, normalCdf(-2)],
  [4, 2, normalCdf(-2) + Math.exp(-2) / 4],
  [9.348, 3, 0.375 * 2 * normalCdf(-Math.sqrt(9.348)) + 0.375 * Math.exp(-4.674) + 0.125 * 0.025],
])("a chi-bar-squared variable above %d of %d terms", (x, terms, tail) => {
  expect(chiBarTail(x, terms)).toBeCloseTo(tail, 5);
  expect(chiBarQuantile(tail, terms)).toBeCloseTo(x, 3);
});

test("of 1,000 terms it has the normal distribution's tail", () => {
  // Mean 1/2 and variance 5/4 of a term.
  expect(chiBarTail(500, 1_000)).toBeCloseTo(0.5, 1);
  expect(chiBarQuantile(0.005, 1_000)).toBeGreaterThan(500 + 2.5 * Math.sqrt(1_250));
  expect(chiBarQuantile(0.005, 1_000)).toBeLessThan(500 + 3 * Math.sqrt(1_250));
});

describe("a region of rates", () => {
  test.each([
    { items: [20, 20], rates: [0.02, 0.5] },
    { items: [30, 400], rates: [0.2, 0.1] },
    { items: new Array<number>(12).fill(25), rates: new Array<number>(12).fill(0.15) },
  ])(
    "rate-region.ts R1: has the true rates, for whatever weights, in all but 5 % of $items.length samples",
    ({ items, rates }) => {
      const random = seededRandom(11);
      const runs = 200;
      let missed = 0;
      for (let run = 0; run < runs; run++) {
        const samples = items.map((count, c) => {
          const events = Array.from({ length: count }, random).filter((u) => u < (rates[c] as number)).length;
          return { items: count, events };
        });
        const region = new RateRegion(samples, 0.05);
        const { lower, upper } = region;
        const excess = rates.map((rate, c) => Math.max(0, rate - (lower[c] as number)));
        // The weights that are worst for these samples, those of each class alone, and some others.
        const weights = [
          excess.map((e, c) => (e * (items[c] as number)) / 0.1),
          ...rates.map((_, c) => rates.map((_, i) => (i === c ? 1 : 0))),
          items,
          ...Array.from({ length: 5 }, () => rates.map(() => random())),
        ];
        const isOut = weights.some((costs) => {
          const sum = rates.reduce((all, rate, c) => all + (costs[c] as number) * (rate - (lower[c] as number)), 0);
          return sum > region.most(costs) + 1e-9;
        });
        if (isOut || rates.some((rate, c) => rate > (upper[c] as number))) missed++;
      }
      expect(missed / runs).toBeLessThan(0.05);
    },
  );

  test("of one class it is a little wider than the exact binomial's, and a sum is known better than its parts", () => {
    const [one] = new RateRegion([{ items: 250, events: 25 }], 0.01).upper;
    const exact = clopperPearsonUpper(25, 250, 0.01 / 3);
    expect(one).toBeGreaterThan(exact);
    expect(one).toBeLessThan(exact + 0.005);
    const ten = new RateRegion(
      Array.from({ length: 10 }, () => ({ items: 250, events: 25 })),
      0.005,
    );
    const apart = ten.upper.reduce((sum, u, c) => sum + 0.1 * (u - (ten.lower[c] as number)), 0);
    const uneven = Array.from({ length: 10 }, (_, c) => (c < 5 ? 0.2 : 0));
    expect(ten.most(uneven)).toBeLessThan(0.7 * apart);
    expect(ten.most(new Array<number>(10).fill(0.1))).toBeLessThan(0.35 * apart);
  });

  test("a class of which nearly all are events may have any rate", () => {
    const region = new RateRegion([{ items: 20, events: 19 }], 0.01);
    expect([region.lower, region.upper, region.most([3])]).toEqual([[1], [1], 0]);
  });
});
