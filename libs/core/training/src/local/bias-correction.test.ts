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

/** The logit of the label grows by `by`. */
const better = (all: ReturnType<typeof photos>, by: (label: number) => number) =>
  all.map((one) => ({
    ...one,
    logits: one.logits.map((own, c) => own + (c === one.label ? by(one.label) : 0)),
  }));

describe.each([1, 2, 3])("seed %i", (seed) => {
  test("raises what moved against the other classes, by as much as it moved", () => {
    const moved = [-1, 0.5, 0.5, 0.5];
    const [paid, ...others] = biasCorrection(photos(seed, moved), options);
    expect(Math.abs((paid as number) - 1.5)).toBeLessThan(0.25);
    expect(others).toEqual([0, 0, 0]);
  });

  test("B1: leaves a model alone that became better, at all classes or at one for which none pays", () => {
    const before = photos(seed, [0, 0, 0, 0]);
    const sure = before.map((one) =>
      one.label === 1 ? one : { ...one, certainty: 1, logits: one.logits.map((_, c) => (c === one.label ? 40 : 0)) },
    );
    for (const frames of [before, better(before, () => 0.5), better(sure, (label) => (label === 1 ? 2 : 0))])
      expect(Math.max(...biasCorrection(frames, options))).toBeLessThan(1e-6);
  });
});

test("B2: what a dozen photos of a class changed by chance is mostly not believed, and of three nothing is", () => {
  const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
  const believed = (count: number) =>
    seeds.map((seed) => {
      const random = seededRandom(1_000 + seed);
      const jittered = photos(seed, [0, 0, 0, 0]).map((one) => ({
        ...one,
        logits: one.logits.map((own) => own + 3 * (random() - 0.5)),
      }));
      const rare = jittered.filter(({ label }) => label === 0).slice(0, count);
      const [own = 0] = biasCorrection([...jittered.filter(({ label }) => label !== 0), ...rare], options);
      return own;
    });
  expect(believed(12).filter((own) => own < 0.2).length).toBeGreaterThanOrEqual(15);
  expect(Math.max(...believed(3))).toBe(0);
});

test("B3: it settles where a class wins less than the others lose by it", () => {
  const frameOf = (label: number, margin: number, lost: number) => {
    const certainty = certaintyOf(label, label === 0 ? [margin, 0] : [0, margin], 1);
    return { label, certainty, logits: label === 0 ? [margin - lost, 0] : [0, margin - lost] };
  };
  const of = (count: number, label: number, margin: number, lost: number) =>
    Array.from({ length: count }, () => frameOf(label, margin, lost));
  // Nine tenths of the payers are sure anyway.
  const frames = [...of(900, 0, 5, 0), ...of(100, 0, 0.5, 1), ...of(9_000, 1, 0.2, 0.02)];
  const [raised = 0, other] = biasCorrection(frames, { classes: 2, temperature: 1 });
  expect(raised).toBeGreaterThan(0.05);
  const nudged = biasCorrection([...frames, ...of(1, 0, 5, 0)], { classes: 2, temperature: 1 });
  expect(nudged[0]).toBeCloseTo(raised, 2);
  expect(other).toBeLessThan(0.05);
});

test("B4: two classes that only lost each other do not rise together", () => {
  const frames = Array.from({ length: 800 }, (_, i) => {
    const label = i % CLASSES;
    const sure = Array.from({ length: CLASSES }, (_, c) => (c === label ? 8 : 0));
    return { label, certainty: certaintyOf(label, sure, TEMPERATURE), logits: label < 2 ? [8, 8, 0, 0] : sure };
  });
  expect([...biasCorrection(frames, options)]).toEqual([0, 0, 0, 0]);
});

test("a class without photos has no correction, one photo of each shows nothing, and a logit that is no number is left out", () => {
  const all = photos(1, [-1, 0, 0, 0]);
  const without = all.filter(({ label }) => label !== 3);
  const broken = [
    { label: 0, certainty: 0.5, logits: [Number.NaN, 0, 0, 0] },
    { label: 0, certainty: Number.NaN, logits: [1, 0, 0, 0] },
  ];
  const correction = biasCorrection([...without, ...broken], options);
  expect(correction[0]).toBeCloseTo(1, 1);
  expect(correction[3]).toBe(0);
  expect([...biasCorrection(all.slice(0, CLASSES), options)]).toEqual([0, 0, 0, 0]);
});
