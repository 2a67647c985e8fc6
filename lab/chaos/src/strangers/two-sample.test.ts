import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { compareSamples, seenFactor } from "./two-sample.ts";

const draw = (random: () => number, n: number, shift = 0) =>
  Array.from({ length: n }, () => -Math.log(1 - random()) + shift);

test("samples of one distribution differ significantly as often as the level, not more", () => {
  const random = seededRandom(11);
  const runs = 400;
  let [shifted, different] = [0, 0];
  for (let run = 0; run < runs; run++) {
    const { mannWhitneyP, kolmogorovP } = compareSamples(draw(random, 150), draw(random, 130));
    if (mannWhitneyP < 0.05) shifted++;
    if (kolmogorovP < 0.05) different++;
  }
  expect(shifted / runs).toBeGreaterThan(0.02);
  expect(shifted / runs).toBeLessThan(0.08);
  expect(different / runs).toBeLessThan(0.08);
});

test("a shift is found, and a spread that shifts nothing", () => {
  const random = seededRandom(12);
  const moved = compareSamples(draw(random, 500), draw(random, 500, 0.3));
  expect(moved.mannWhitneyP).toBeLessThan(1e-6);
  const narrow = draw(random, 500).map((one) => 5 + one * 0.2);
  const wide = Array.from({ length: 500 }, (_, i) => 5 + (i % 2 === 0 ? -0.4 : 0.9) * random());
  expect(compareSamples(narrow, wide).kolmogorovP).toBeLessThan(1e-6);
  expect(compareSamples([1, 1, 1], [1, 1, 1])).toEqual({ mannWhitneyP: 1, kolmogorovP: 1 });
  expect(seenFactor(draw(random, 2_000), draw(random, 2_000), 0.001)).toBeLessThanOrEqual(1.2);
});
