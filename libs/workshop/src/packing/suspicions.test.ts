import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { isClearlyBetter, isGuessing, otherLabelOrder, otherReadings } from "./suspicions.ts";

const NAMES = ["cat", "dog", "fox", "owl"];
const draws = (seed: number, accuracy: number, n = 200) => {
  const random = seededRandom(seed);
  const labels = Array.from({ length: n }, () => Math.floor(random() * NAMES.length));
  const predicted = labels.map((label) => (random() < accuracy ? label : Math.floor(random() * NAMES.length)));
  return { labels, predicted, right: predicted.map((output, i) => output === labels[i]) };
};

describe("suspicions", () => {
  test.each([1, 2, 3, 4, 5])("seed %i: guessing is told from seeing", (seed) => {
    const guess = draws(seed, 0);
    expect(isGuessing(guess.right, guess.labels)).toBe(true);
    const sees = draws(seed, 0.5);
    expect(isGuessing(sees.right, sees.labels)).toBe(false);
  });

  test.each([1, 2, 3, 4, 5])("seed %i: labels in another order are put right, good ones left alone", (seed) => {
    const { labels, predicted } = draws(seed, 0.8);
    expect(otherLabelOrder(predicted, labels, NAMES)).toBeNull();
    const moved = predicted.map((output) => (output + 1) % NAMES.length);
    expect(otherLabelOrder(moved, labels, NAMES)).toEqual(["owl", "cat", "dog", "fox"]);
  });

  test("a little better is not clearly better (S1)", () => {
    const own = Array.from({ length: 200 }, (_, i) => i % 2 === 0);
    expect(
      isClearlyBetter(
        own.map((right, i) => right || i < 10),
        own,
      ),
    ).toBe(false);
    expect(
      isClearlyBetter(
        own.map(() => true),
        own,
      ),
    ).toBe(true);
    expect(isClearlyBetter(own, own)).toBe(false);
  });

  test("every other reading is another one, and grey has no channels to swap", () => {
    const grey = { channel_order: "L", do_rescale: true, do_normalize: true, image_mean: 0.4, image_std: 0.2 };
    for (const { config } of otherReadings(grey)) expect(config).not.toEqual(grey);
    expect(otherReadings(grey).some(({ what }) => what.includes("BGR"))).toBe(false);
    expect(otherReadings({}).some(({ what }) => what.includes("BGR"))).toBe(true);
  });
});
