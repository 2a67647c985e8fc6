import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { classShares, explainedByMix } from "./index.ts";

/** Counts of a classifier that is right on `accuracy` of each class and errs evenly. */
const confusionOf = (sizes: readonly number[], accuracy: number) =>
  sizes.map((size, t) => sizes.map((_, p) => size * (p === t ? accuracy : (1 - accuracy) / (sizes.length - 1))));
const predictedOf = (confusion: readonly (readonly number[])[], mix: readonly number[]) =>
  confusion.map((_, p) =>
    confusion.reduce((sum, row, t) => sum + ((mix[t] ?? 0) * (row[p] ?? 0)) / row.reduce((a, b) => a + b, 0), 0),
  );

describe("mix of classes", () => {
  test("half of the frames of one of ten classes, at an accuracy of 80 %", () => {
    const mix = [0.5, ...new Array<number>(9).fill(0.5 / 9)];
    const confusion = confusionOf(new Array<number>(10).fill(100), 0.8);
    classShares(confusion, predictedOf(confusion, mix)).forEach((share, t) => {
      expect(share).toBeCloseTo(mix[t] ?? 0, 2);
    });
  });

  test("a rare class of two that becomes common, and one that vanishes", () => {
    const confusion = confusionOf([9_900, 100], 0.9);
    expect(classShares(confusion, predictedOf(confusion, [0.5, 0.5]))[1]).toBeCloseTo(0.5, 1);
    expect(classShares(confusion, predictedOf(confusion, [1, 0]))[1]).toBeLessThan(0.01);
  });

  test("classes that are never predicted share what looks like them", () => {
    // Classes 1 and 2 are both predicted as 1.
    const confusion = [
      [90, 10, 0],
      [10, 90, 0],
      [10, 90, 0],
    ];
    const shares = classShares(confusion, [0.5, 0.5, 0]);
    expect(shares[0]).toBeCloseTo(0.5, 1);
    expect(shares[1]).toBeCloseTo(shares[2] ?? 0, 3);
    expect(shares.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
  });

  test.each([1, 2])(
    "256 classes from 2,000 predictions (seed %i): no share is negative, the common class is found",
    (seed) => {
      const random = seededRandom(seed);
      const confusion = confusionOf(
        Array.from({ length: 256 }, () => 20 + Math.floor(random() * 50)),
        0.7,
      );
      const mix = Array.from({ length: 256 }, (_, t) => (t === 9 ? 0.3 : 0.7 / 255));
      const shares = predictedOf(confusion, mix);
      const predicted = shares.map((share) => Math.round(share * 2_000 * (0.7 + 0.6 * random())));
      const found = classShares(confusion, predicted);
      expect(Math.min(...found)).toBeGreaterThanOrEqual(0);
      expect(found[9]).toBeGreaterThan(0.2);
      expect(found.indexOf(Math.max(...found))).toBe(9);
    },
  );

  test("no predictions: the mix of the validation set; a class without frames has no share", () => {
    expect(classShares(confusionOf([30, 70], 1), [0, 0])).toEqual([0.3, 0.7]);
    expect(classShares(confusionOf([30, 70, 0], 1), [10, 10, 10])[2]).toBe(0);
  });
});

describe("what a change of mix explains", () => {
  const means = { luminance: [0.2, 0.8], entropy: [0.5, 0.4] };
  const [before, now] = [
    [0.5, 0.5],
    [0.9, 0.1],
  ];

  test("the shift that it predicts, all of it; a darker picture, little", () => {
    expect(explainedByMix({ luminance: -0.24, entropy: 0.04 }, before, now, means, 300)).toBeGreaterThan(0.99);
    expect(explainedByMix({ luminance: -0.24, entropy: 0.04 }, before, before, means, 300)).toBeLessThan(0.05);
    expect(explainedByMix({ luminance: 0.3, entropy: 0 }, before, now, means, 300)).toBe(0);
  });

  test("a shift within the noise of its frames leaves nothing to explain", () => {
    expect(explainedByMix({ luminance: 0.05, entropy: -0.05 }, before, before, means, 20)).toBe(1);
  });
});
