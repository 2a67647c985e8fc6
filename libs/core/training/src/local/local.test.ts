import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { type Recipe, recipeFor } from "../recipe.ts";
import { type Augmentation, augment } from "./augment.ts";
import {
  adamStep,
  appearanceMatch,
  appearanceOf,
  batchPlan,
  blended,
  distilled,
  drawSome,
  learningRateAt,
  matchAppearance,
  missingFrames,
  splitAccuracy,
  startAdam,
  truth,
} from "./index.ts";

const SEEDS = [1, 2, 3, 4];
const recipe: Recipe = { ...recipeFor(300, 20_000), basePassesMax: 1_000 };
/** Numbers of the classes of frames that have one in common. */
const oneClass = (count: number) => new Array<number>(count).fill(0);
const below = (random: Random, max: number) => Math.floor(random() * max);

describe("batches", () => {
  test.each(SEEDS)("seed %i: no frame is seen again before all were seen", (seed) => {
    const random = seededRandom(seed);
    const frames = { slice: oneClass(17 + below(random, 100)), base: oneClass(150 + below(random, 500)) };
    const plan = batchPlan(frames, recipe, `run-${seed}`);
    const seen = {
      slice: frames.slice.slice(),
      base: frames.base.slice(),
    };
    for (let step = 0; step < plan.steps; step++) {
      const batch = plan.batchAt(step);
      expect(batch).toHaveLength(recipe.batch);
      expect(batch.filter(({ isSlice }) => isSlice)).toHaveLength(recipe.sliceFramesPerBatch);
      for (const { isSlice, index } of batch) {
        const counts = isSlice ? seen.slice : seen.base;
        counts[index] = (counts[index] as number) + 1;
      }
      for (const counts of [seen.slice, seen.base]) expect(Math.max(...counts) - Math.min(...counts)).toBeLessThan(2);
    }
    expect(Math.abs(Math.min(...seen.slice) - recipe.epochs)).toBeLessThan(2);
  });

  test("few base photos end it early", () => {
    const stepsOf = (baseFrames: number) =>
      batchPlan({ slice: oneClass(300), base: oneClass(baseFrames) }, recipeFor(300, 20_000), "run").steps;
    expect([stepsOf(20_000), stepsOf(1_120)]).toEqual([450, 100]);
    expect(recipeFor(300, 1_120)).toMatchObject({ basePassesMax: 30, distillation: 0.8 });
  });

  test.each(SEEDS)("seed %i: batches.ts B1: a step's batch is the same whatever was asked for before", (seed) => {
    const frames = { slice: oneClass(60), base: oneClass(300) };
    const [whole, resumed] = [batchPlan(frames, recipe, `${seed}`), batchPlan(frames, recipe, `${seed}`)];
    const all = Array.from({ length: whole.steps }, (_, step) => whole.batchAt(step));
    const at = below(seededRandom(seed), whole.steps);
    expect(resumed.batchAt(at)).toEqual(all[at]);
    expect(batchPlan(frames, recipe, `${seed}-other`).batchAt(at)).not.toEqual(all[at]);
  });

  test("a frame of a class that is nine times rarer is seen three times as often", () => {
    const labels = Array.from({ length: 200 }, (_, i) => (i % 10 === 0 ? 1 : 0));
    const plan = batchPlan({ slice: labels, base: oneClass(2_000) }, recipe, "rare");
    const seen = [0, 0];
    for (let step = 0; step < plan.steps; step++) {
      for (const { isSlice, index } of plan.batchAt(step)) {
        const label = labels[index] as number;
        if (isSlice) seen[label] = (seen[label] as number) + 1;
      }
    }
    const [common = 0, rare = 0] = seen;
    expect(rare / common / (20 / 180)).toBeCloseTo(3, 0);
  });

  test("fewer slice frames than a batch takes fill it with several passes", () => {
    const batch = batchPlan({ slice: oneClass(5), base: oneClass(300) }, recipe, "few").batchAt(0);
    const counts = new Map<number, number>();
    for (const { isSlice, index } of batch) if (isSlice) counts.set(index, (counts.get(index) ?? 0) + 1);
    expect([...counts.values()].sort()).toEqual([3, 3, 3, 3, 4]);
  });

  test("calibration frames are different, and no more than there are", () => {
    expect(new Set(drawSome(40, 20, "a")).size).toBe(20);
    expect([...drawSome(4, 20, "a")].sort()).toEqual([0, 1, 2, 3]);
  });
});

describe("augmentation", () => {
  const size = { width: 4, height: 3, channels: 2 };
  const pixels = Uint8Array.from({ length: 24 }, (_, i) => i);
  const none: Augmentation = { isFlipped: false, right: 0, down: 0 };
  const firstChannel = (moved: Uint8Array, row: number) =>
    Array.from({ length: 4 }, (_, x) => moved[(row * 4 + x) * 2] as number);

  test("flips rows, and moves with reflection", () => {
    expect(firstChannel(augment(pixels, size, { ...none, isFlipped: true }), 0)).toEqual([6, 4, 2, 0]);
    expect(firstChannel(augment(pixels, size, { ...none, right: 2 }), 0)).toEqual([4, 2, 0, 2]);
    expect(firstChannel(augment(pixels, size, { ...none, right: -1 }), 0)).toEqual([2, 4, 6, 4]);
    expect(firstChannel(augment(pixels, size, { ...none, down: 1 }), 0)).toEqual([8, 10, 12, 14]);
    expect(augment(pixels, size, none)).toBe(pixels);
  });

  test.each(SEEDS)("seed %i: moves are at most the recipe's, and a flip undoes a flip", (seed) => {
    const frames = batchPlan({ slice: oneClass(60), base: oneClass(300) }, recipe, `${seed}`).batchAt(seed);
    for (const { augmentation } of frames) {
      expect(Math.max(Math.abs(augmentation.right), Math.abs(augmentation.down))).toBeLessThanOrEqual(2);
      const flip = { ...none, isFlipped: true };
      expect(augment(augment(pixels, size, flip), size, flip)).toEqual(pixels);
    }
    const plain = batchPlan(
      { slice: oneClass(60), base: oneClass(300) },
      { ...recipe, flips: false, shiftMax: 0 },
      `${seed}`,
    );
    expect(plain.batchAt(seed).every(({ augmentation }) => augment(pixels, size, augmentation) === pixels)).toBe(true);
  });
});

describe("Adam", () => {
  test.each(SEEDS)("seed %i: finds the minimum of a bowl, and continues from a copy with the same bits", (seed) => {
    const random = seededRandom(seed);
    const goal = Array.from({ length: 5 }, () => random() * 2 - 1);
    const steps = 400;
    const run = (parameters: ReadonlyMap<string, Float32Array>, from: ReturnType<typeof startAdam>, until: number) => {
      let state = from;
      while (state.step < until) {
        const gradient = (parameters.get("w") as Float32Array).map((value, i) => value - (goal[i] as number));
        const rate = learningRateAt(state.step, steps, { learningRateMax: 0.05, warmUpShare: 0.1 });
        state = adamStep(parameters, new Map([["w", gradient]]), state, rate);
      }
      return state;
    };
    const whole = new Map([["w", new Float32Array(5)]]);
    run(whole, startAdam(whole), steps);
    for (const [i, value] of (whole.get("w") as Float32Array).entries())
      expect(value).toBeCloseTo(goal[i] as number, 2);

    const half = new Map([["w", new Float32Array(5)]]);
    const state = structuredClone(run(half, startAdam(half), steps / 2));
    const copy = structuredClone(half);
    run(copy, state, steps);
    expect(copy).toEqual(whole);
  });

  test("the rate rises over the warm-up to its peak and falls to nearly 0", () => {
    const rates = Array.from({ length: 100 }, (_, step) => learningRateAt(step, 100, recipe));
    const peak = rates.indexOf(Math.max(...rates));
    expect(peak).toBeGreaterThanOrEqual(8);
    expect(peak).toBeLessThanOrEqual(11);
    expect(Math.max(...rates)).toBeLessThanOrEqual(recipe.learningRateMax);
    expect(rates.at(-1)).toBeLessThan(recipe.learningRateMax / 1_000);
  });

  test("a parameter without a gradient stays", () => {
    const parameters = new Map([
      ["last", Float32Array.of(1)],
      ["first", Float32Array.of(1)],
    ]);
    adamStep(parameters, new Map([["last", Float32Array.of(1)]]), startAdam(parameters), 0.1);
    expect(parameters.get("first")).toEqual(Float32Array.of(1));
    expect(parameters.get("last")?.[0]).toBeCloseTo(0.9);
  });
});

test("targets are distributions: the label's, and half of the deployed model's answer", () => {
  expect([...truth(1, 3)]).toEqual([0, 1, 0]);
  const target = distilled(0, [0, Math.log(3)], 0.5);
  expect(target[0]).toBeCloseTo(0.5 + 0.5 * 0.25);
  expect(target[1]).toBeCloseTo(0.5 * 0.75);
  expect([...distilled(0, [-5, 5], 0)]).toEqual([1, 0]);
});

describe("blend", () => {
  test("takes shares of each weight; 0 is the deployed model, 1 the trained one exactly", () => {
    const deployed = new Map([["w", Float32Array.of(0, 1, 0.1)]]);
    const trained = new Map([["w", Float32Array.of(1, 3, 0.7)]]);
    expect(blended(deployed, trained, 0)).toEqual(deployed);
    expect(blended(deployed, trained, 1)).toEqual(trained);
    expect(blended(deployed, trained, 0.5).get("w")?.slice(0, 2)).toEqual(Float32Array.of(0.5, 2));
  });
});

describe("base photos that are made to look like the slice", () => {
  const size = { width: 16, height: 12, channels: 3 };
  const random = seededRandom(3);
  /** Edges of random places and heights, in all channels. */
  const photo = (light: number, spread: number) => {
    const [column, row] = [2 + below(random, 12), 2 + below(random, 8)];
    return Uint8Array.from({ length: 16 * 12 * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % 16, Math.floor(i / 48)];
      return light + spread * (Number(x < column) - Number(y < row)) + 3 * random();
    });
  };
  const base = Array.from({ length: 200 }, () => photo(100 + 60 * random(), 20 + 20 * random()));
  const seen = (views: readonly Uint8Array[]) => {
    const of = (all: readonly Uint8Array[]) => all.map((pixels) => appearanceOf(pixels, size));
    const match = appearanceMatch(of(base), of(views));
    return base.map((pixels) => appearanceOf(matchAppearance(pixels, size, match), size));
  };
  const mean = (all: readonly number[]) => all.reduce((sum, value) => sum + value, 0) / all.length;

  test("they get its brightness and contrast, rank by rank", () => {
    const dark = base.map((pixels) => pixels.map((value) => value / 2));
    for (const [i, own] of seen(dark).entries()) {
      const wanted = appearanceOf(dark[i] as Uint8Array, size);
      expect(Math.abs((own.means[1] as number) - (wanted.means[1] as number))).toBeLessThan(2);
      expect(Math.abs((own.deviations[1] as number) - (wanted.deviations[1] as number))).toBeLessThan(2);
    }
  });

  test("and its sharpness", () => {
    const right = (i: number) => (Math.floor(i / 3) % 16 === 15 ? i : i + 3);
    const soft = base.map((pixels) => pixels.map((value, i) => (value + (pixels[right(i)] as number)) / 2));
    const roughness = (all: readonly { readonly roughness: number }[]) => mean(all.map((one) => one.roughness));
    const [before, wanted] = [base, soft].map((all) => roughness(all.map((one) => appearanceOf(one, size))));
    expect(wanted).toBeLessThan(0.85 * (before as number));
    expect(Math.abs(roughness(seen(soft)) / (wanted as number) - 1)).toBeLessThan(0.05);
  });

  test("a picture of one colour is made as dark, and no number leaves its range", () => {
    const views = base.map((pixels) =>
      appearanceOf(
        pixels.map((value) => value / 2),
        size,
      ),
    );
    const match = appearanceMatch(
      base.map((pixels) => appearanceOf(pixels, size)),
      views,
    );
    const grey = matchAppearance(new Uint8Array(16 * 12 * 3).fill(128), size, match);
    expect(grey.every((value) => value >= 40 && value <= 100)).toBe(true);
  });
});

test("accuracies are by class, without the classes that have no frame", () => {
  const judged = [
    { label: 0, before: 0, after: 1, gained: 0 },
    { label: 0, before: 1, after: 0, gained: 0 },
    { label: 2, before: 1, after: 2, gained: 0 },
  ];
  expect(splitAccuracy("site=north", "TUNE", judged, ["cat", "dog", "owl"])).toEqual({
    slice: "site=north",
    split: "TUNE",
    frames: 3,
    before: 1 / 3,
    after: 2 / 3,
    classes: { cat: { frames: 2, before: 0.5, after: 0.5 }, owl: { frames: 1, before: 0, after: 1 } },
  });
});

test("too few frames are named with the number that would do", () => {
  const counts = { sliceTrain: 20, sliceTune: 20, baseTrain: 200, baseTune: 0 };
  expect(missingFrames(counts)).toEqual([
    "20 labelled frames of the slice to train on; at least 50 are needed",
    "0 base photos to choose the blend on (TUNE); at least 50 are needed",
  ]);
});
