import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { type Answers, diagnose, figuresOf, isGuessing, type Predict, type Task } from "./suspicions.ts";

const NAMES = ["cat", "dog", "fox", "owl"];
const SEEDS = [1, 2, 3, 4, 5];

/** `counts[c]` frames of class c, shuffled. */
function truthOf(seed: number, counts: readonly number[]): readonly number[] {
  const random = seededRandom(seed);
  return counts
    .flatMap((count, label) => new Array<number>(count).fill(label))
    .map((label) => [random(), label] as const)
    .sort(([a], [b]) => a - b)
    .map(([, label]) => label);
}
/** Recognises this share of each class, and otherwise answers `otherwise`, or any class. */
function answersOf(seed: number, truth: readonly number[], shares: readonly number[], otherwise?: number): number[] {
  const random = seededRandom(seed + 100);
  return truth.map((label) => {
    const isSeen = random() < (shares[label] as number);
    return isSeen ? label : (otherwise ?? Math.floor(random() * shares.length));
  });
}
/** Readings by name, each with the answers that it leads to. */
function taskOf(truth: readonly number[], classes: number, others: Readonly<Record<string, Answers>>): [Task, Predict] {
  const readings = Object.keys(others).map((what, i) => ({ what, changes: 1 + (i % 2), config: { what } }));
  const predict: Predict = async ({ what }, frames) =>
    frames.map((frame) => (others[what as string] as Answers)[frame] as number | null);
  return [{ truth, names: NAMES.slice(0, classes), readings }, predict];
}

describe("guessing", () => {
  test.each(SEEDS)("seed %i: the most frequent class alone is guessing, however often it is right", (seed) => {
    const truth = truthOf(seed, [270, 30]);
    expect(
      isGuessing(
        truth.map(() => 0),
        truth,
      ),
    ).toBe(true);
    expect(isGuessing(answersOf(seed, truth, [0.9, 0], 0), truth)).toBe(true);
    // Right less often than the most frequent class alone, and yet it sees.
    const sees = answersOf(seed, truth, [0.8, 0.8], 1).map((answer, i) =>
      answer === 1 && truth[i] === 1 ? 1 : answer,
    );
    expect(figuresOf(sees, truth).right).toBeLessThan(270);
    expect(isGuessing(sees, truth)).toBe(false);
  });

  test("of four classes: none seen is guessing in all but 1 % of draws, half seen never", () => {
    const seeds = Array.from({ length: 500 }, (_, seed) => seed);
    const truth = truthOf(1, [80, 60, 40, 20]);
    const guessing = (share: number) =>
      seeds.filter((seed) => isGuessing(answersOf(seed, truth, [share, share, share, share]), truth)).length;
    expect(guessing(0)).toBeGreaterThanOrEqual(485);
    expect(guessing(0.5)).toBe(0);
  });
});

describe("diagnosis", () => {
  test.each(SEEDS)("seed %i: a rescale forgotten on 9:1 is not named as labels in another order", async (seed) => {
    const truth = truthOf(seed, [137, 257]);
    // All frames look alike: always the rarer class, right on 35 %. Exchanged labels would be right on 65 %.
    const own = truth.map(() => 0);
    const right = answersOf(seed, truth, [0.85, 0.95], 0);
    const other = truth.map(() => 1);
    const [task, predict] = taskOf(truth, 2, { do_rescale: right, "always the other": other });
    const { named, isGuessing: isBlind, majority } = await diagnose(own, task, predict);
    expect([isBlind, majority.name, named?.kind, named?.what]).toEqual([true, "dog", "preprocessing", "do_rescale"]);
  });

  test.each(SEEDS)("seed %i: labels in another order are named with the order that fits", async (seed) => {
    const truth = truthOf(seed, [40, 60, 50, 30]);
    const seen = answersOf(seed, truth, [0.8, 0.8, 0.8, 0.8]);
    const [task, predict] = taskOf(truth, 4, { nothing: seen.map(() => 1) });
    const moved = await diagnose(
      seen.map((answer) => (answer + 1) % 4),
      task,
      predict,
    );
    expect(moved.named).toMatchObject({ kind: "labels", what: "owl, cat, dog, fox" });
    expect((await diagnose(seen, task, predict)).named).toBeNull();
  });

  test.each(SEEDS)(
    "seed %i: of what the frames cannot distinguish, the fewest keys; the other is listed",
    async (seed) => {
      const truth = truthOf(seed, [100, 100]);
      const good = answersOf(seed, truth, [0.9, 0.9]);
      const [task, predict] = taskOf(truth, 2, { one: good, two: good });
      const { named, asGood } = await diagnose(
        truth.map(() => 0),
        task,
        predict,
      );
      expect([named?.what, asGood.map(({ what }) => what)]).toEqual(["one", ["two"]]);
    },
  );

  test.each(SEEDS)("seed %i: nothing is named when nothing helps, and all that was tried is listed", async (seed) => {
    const truth = truthOf(seed, [300, 100]);
    const blind = (more: number) => answersOf(1_000 * more + seed, truth, [0, 0]);
    const others = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`try ${i}`, blind(i + 1)]));
    const [task, predict] = taskOf(truth, 2, others);
    const { named, tries, isGuessing: isBlind } = await diagnose(blind(0), task, predict);
    expect([named, tries.length, isBlind]).toEqual([null, 26, true]);
  });

  test.each(SEEDS)(
    "seed %i: a model that sees is not blamed for trading one class for the other (suspicions.ts S2)",
    async (seed) => {
      const truth = truthOf(seed, [900, 100]);
      const own = answersOf(seed, truth, [0.98, 0.5], 0);
      const traded = answersOf(seed, truth, [0.85, 0.85], 1);
      const [task, predict] = taskOf(truth, 2, { traded });
      expect((await diagnose(own, task, predict)).named).toBeNull();
    },
  );

  test("a model as good as any reading could show is left alone; tries are bounded", async () => {
    const truth = truthOf(1, [3_000, 3_000]);
    let runs = 0;
    const others = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`try ${i}`, truth.map(() => 0)]));
    const [task, predict] = taskOf(truth, 2, others);
    const counting: Predict = (config, frames) => {
      runs += frames.length;
      return predict(config, frames);
    };
    await diagnose(answersOf(1, truth, [0.99, 0.99]), task, counting);
    expect(runs).toBe(0);
    await diagnose(answersOf(1, truth, [0.7, 0.7]), task, counting);
    expect(runs).toBe(20 * 100 + 4 * 300);
  });

  test("frames that cannot be run as described are no answer, and a reading that runs is named", async () => {
    const truth = truthOf(1, [100, 100]);
    const [task, predict] = taskOf(truth, 2, { do_resize: answersOf(1, truth, [0.9, 0.9]) });
    const { named, own } = await diagnose(
      truth.map(() => null),
      task,
      predict,
    );
    expect([named?.what, own.right]).toEqual(["do_resize", 0]);
  });
});
