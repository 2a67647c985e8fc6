import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { nonInferiorityItems, nonInferiorityMargin, nonInferiorityP, tangoLower } from "./tango.ts";

describe("Tango's score test", () => {
  // Tango 1998, of two ways to disinfect contact lenses: 43 of 44 agree, margin 10 points: Z 1.709, p .044. The others: the cells'
  // likelihood maximised numerically (golden section over p21 of won ln p12 + lost ln p21 + (items - won - lost) ln (1 - p12 - p21),
  // p12 = p21 - margin), and its root by bisection, in Python.
  test.each([
    [0, 1, 44, 0.1, 0.04376584443856091, -0.09566242639917164],
    [20, 30, 1_000, 0.02, 0.08510516826115266, -0.022107434205122352],
    [480, 520, 10_000, 0.01, 0.029163557769689485, -0.009210458927404195],
    [0, 0, 200, 0.02, 0.021675875630431385, -0.013347160654775616],
    [3, 0, 40, 0.05, 0.010890731486441263, 0.006895043853926085],
    [30, 90, 5_000, 0.0111, 0.6611061052630279, -0.015748375690076838],
  ])("won %d, lost %d of %d, margin %d", (won, lost, items, margin, p, lower) => {
    expect(nonInferiorityP({ won, lost, items }, margin)).toBeCloseTo(p, 7);
    expect(tangoLower({ won, lost, items }, 0.05)).toBeCloseTo(lower, 7);
  });

  test("its bound is the margin that it refutes at that level, and nothing is known of no items", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      const items = 50 + Math.floor(5_000 * random());
      const [won, lost] = [Math.floor(0.1 * items * random()), Math.floor(0.1 * items * random())];
      const lower = tangoLower({ won, lost, items }, 0.05);
      if (lower < 0)
        expect([seed, nonInferiorityP({ won, lost, items }, -lower)]).toEqual([seed, expect.closeTo(0.05, 6)]);
      expect(lower).toBeLessThanOrEqual((won - lost) / items);
    }
    expect([
      nonInferiorityP({ won: 0, lost: 0, items: 0 }, 0.02),
      tangoLower({ won: 0, lost: 0, items: 0 }, 0.05),
    ]).toEqual([1, -1]);
  });

  test("frames and margins of a plan are each other's inverse; 2 points need about 1,550 at 10 % discordance", () => {
    const plan = { discordance: 0.1, alpha: 0.05, power: 0.8 };
    expect(nonInferiorityItems(0.02, plan)).toBeGreaterThan(1_500);
    expect(nonInferiorityItems(0.02, plan)).toBeLessThan(1_600);
    for (const margin of [0.01, 0.02, 0.05, 0.1]) {
      const items = nonInferiorityItems(margin, plan);
      expect(nonInferiorityMargin(items, plan)).toBeLessThanOrEqual(margin);
      expect(nonInferiorityMargin(items - 1, plan)).toBeGreaterThan(margin);
    }
    expect(nonInferiorityItems(0.02, { ...plan, discordance: 0 })).toBeGreaterThan(100);
  });
});
