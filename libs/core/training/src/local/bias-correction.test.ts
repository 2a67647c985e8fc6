/** A training moves boundaries between classes; a number per class undoes what one of them paid. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { biasCorrection, certaintyOf } from "./index.ts";

const CLASSES = 4;
const TEMPERATURE = 1.3;

/** Photos of classes that resemble each other, and the logits after a training that moved them by `moved`. */
function photos(seed: number, moved: readonly number[]) {
  const random = seededRandom(seed);
  return Array.from({ length: 800 }, (_, i) => {
    const label = i % CLASSES;
    const before = Array.from({ length: CLASSES }, (_, c) => 4 * random() + (c === label ? 1.5 : 0));
    const logits = before.map((own, c) => own + (moved[c] as number));
    return { label, certainty: certaintyOf(label, before, TEMPERATURE), logits };
  });
}

const options = { classes: CLASSES, temperature: TEMPERATURE };

describe.each([1, 2, 3])("seed %i", (seed) => {
  test("undoes what moved classes against each other", () => {
    const correction = biasCorrection(photos(seed, [-1, 0.5, 0, 0.5]), options);
    for (const [c, expected] of [1, -0.5, 0, -0.5].entries()) expect(correction[c]).toBeCloseTo(expected, 1);
  });

  test("leaves a model alone that became better at all classes alike, and one that nothing changed", () => {
    const better = photos(seed, [0, 0, 0, 0]).map((one) => ({
      ...one,
      logits: one.logits.map((own, c) => own + (c === one.label ? 0.5 : 0)),
    }));
    for (const own of biasCorrection(better, options)) expect(Math.abs(own)).toBeLessThan(0.15);
    for (const own of biasCorrection(photos(seed, [0, 0, 0, 0]), options)) expect(own).toBeCloseTo(0, 6);
  });
});

test("B1: what three photos of a class changed by chance is mostly not believed", () => {
  const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
  const believed = seeds.map((seed) => {
    const random = seededRandom(1_000 + seed);
    const jittered = photos(seed, [0, 0, 0, 0]).map((one) => ({
      ...one,
      logits: one.logits.map((own) => own + 3 * (random() - 0.5)),
    }));
    const rare = jittered.filter(({ label }) => label === 0).slice(0, 3);
    const [own = 0] = biasCorrection([...jittered.filter(({ label }) => label !== 0), ...rare], options);
    return Math.abs(own);
  });
  expect(believed.filter((own) => own < 0.2).length).toBeGreaterThanOrEqual(15);
});

test("a class without photos has no correction of its own", () => {
  const without = photos(1, [-1, 0, 0, 0]).filter(({ label }) => label !== 3);
  const correction = biasCorrection(without, options);
  expect((correction[0] as number) - (correction[1] as number)).toBeCloseTo(1, 1);
  expect(correction.every(Number.isFinite)).toBe(true);
});
