/** Wrong labels are found by the answers that both models are sure of; right ones are not accused. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { judgeGate, marginDefaults } from "./gate.ts";
import { labelsLine, sureFrames } from "./labels.ts";
import { paired } from "./paired.ts";

const SEEDS = 200;
const FRAMES = 225;
const CLASSES = 10;
const NAMES = Array.from({ length: CLASSES }, (_, i) => `class ${i}`);

type Site = {
  /** Share of frames that both models are sure of; of the others they are at .7. */
  readonly sure?: number;
  /** Labels of two classes are taken for each other in this share. */
  readonly swapped?: number;
  /** Of the champion where it is sure, and of the candidate wherever the champion errs: it learned from this site. */
  readonly errs: number;
  readonly corrects: number;
  readonly wrongLabels: number;
  readonly frames?: number;
};

const otherThan = (label: number, random: Random) => (label + 1 + Math.floor((CLASSES - 1) * random())) % CLASSES;

/** What a model answers with this confidence; the others share what is left. */
const probabilitiesOf = (answers: readonly number[], confidence: readonly number[]) =>
  answers.map((answer, i) =>
    Array.from({ length: CLASSES }, (_, label) => {
      const own = confidence[i] as number;
      return label === answer ? own : (1 - own) / (CLASSES - 1);
    }),
  );

const swap = (label: number) => (label === 2 ? 5 : label === 5 ? 2 : label);

function lineOf({ sure = 0.5, errs, corrects, wrongLabels, swapped = 0, frames = FRAMES }: Site, seed: number) {
  const random = seededRandom(seed);
  const truths = Array.from({ length: frames }, () => Math.floor(CLASSES * random()));
  const confidence = truths.map(() => (random() < sure ? 0.95 : 0.7));
  const champion = truths.map((truth) => (random() < errs ? otherThan(truth, random) : truth));
  const candidate = champion.map((answer, i) => (random() < corrects ? (truths[i] as number) : answer));
  const labels = truths.map((truth) => (random() < wrongLabels ? otherThan(truth, random) : truth));
  const taken = swapped === 0 ? labels : labels.map((label) => (random() < swapped ? swap(label) : label));
  return labelsLine(
    "site=north",
    sureFrames(probabilitiesOf(candidate, confidence), probabilitiesOf(champion, confidence), taken),
    marginDefaults,
    NAMES,
  );
}

function verdicts(site: Site) {
  const counts = { passed: 0, unsure: 0, failed: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) counts[lineOf(site, seed).verdict] += 1 / SEEDS;
  return counts;
}

describe("labels of a drifted slice", () => {
  test("right ones pass, and do not fail where drift makes the champion sure of wrong answers", () => {
    expect(verdicts({ errs: 0.05, corrects: 0, wrongLabels: 0 }).passed).toBeGreaterThan(0.99);
    expect(verdicts({ errs: 0.2, corrects: 0.7, wrongLabels: 0 }).passed).toBeGreaterThan(0.95);
    expect(verdicts({ errs: 0.4, corrects: 0.7, wrongLabels: 0 }).failed).toBeLessThan(0.02);
  });

  test("of people who err now and then mostly pass; a fifth wrong hardly ever does, and 45 % fail", () => {
    expect(verdicts({ errs: 0.05, corrects: 0, wrongLabels: 0.05 }).passed).toBeGreaterThan(0.95);
    expect(verdicts({ errs: 0.05, corrects: 0, wrongLabels: 0.1 }).failed).toBe(0);
    expect(verdicts({ errs: 0.05, corrects: 0, wrongLabels: 0.2 }).passed).toBeLessThan(0.1);
    expect(verdicts({ errs: 0.05, corrects: 0, wrongLabels: 0.45 }).failed).toBeGreaterThan(0.99);
  });

  test("where models are rarely sure, as of 28 % of frames, 30 % wrong ones do not pass; with no sure frame nobody knows", () => {
    expect(verdicts({ sure: 0.28, errs: 0.05, corrects: 0, wrongLabels: 0.3 }).passed).toBeLessThan(0.02);
    expect(verdicts({ sure: 0.28, errs: 0.05, corrects: 0, wrongLabels: 0 }).passed).toBeGreaterThan(0.95);
    // Of frames at .7 the models expect to err on three of ten: that many contradicted ones are no sign of wrong labels.
    expect(verdicts({ sure: 0, errs: 0.3, corrects: 0, wrongLabels: 0 }).failed).toBe(0);
    expect(verdicts({ sure: 0, errs: 0.3, corrects: 0, wrongLabels: 0.3 }).passed).toBeLessThan(0.05);
    const even = [
      [0.5, 0.5],
      [0.5, 0.5],
    ];
    expect(labelsLine("site=north", sureFrames(even, even, [0, 1]), marginDefaults, ["cat", "dog"])).toMatchObject({
      verdict: "unsure",
      found: expect.stringContaining("30 are needed to judge labels by"),
    });
  });

  test("two of ten classes that are taken for each other wait for a person, and are named", () => {
    const site = { errs: 0.05, corrects: 0, wrongLabels: 0 };
    expect(verdicts({ ...site, swapped: 0.3 }).passed).toBeLessThan(0.2);
    expect(verdicts({ ...site, swapped: 0.45 }).passed).toBeLessThan(0.01);
    expect(verdicts({ ...site, swapped: 0.02 }).passed).toBeGreaterThan(0.95);
    expect(lineOf({ ...site, swapped: 0.45 }, 1)).toMatchObject({
      verdict: "unsure",
      found: expect.stringMatching(/, but class 2 and class 5 are labelled as each other on \d+ of \d+ frames/),
    });
  });

  test("the line has the numbers, and says where to look", () => {
    expect(lineOf({ errs: 0, corrects: 0, wrongLabels: 0.45 }, 1)).toMatchObject({
      verdict: "failed",
      found: expect.stringMatching(
        /^\d+ of \d+ frames that champion and candidate are sure of alike are labelled otherwise, at most 25 %; p .+: these labels are wrong, or both models are; look at who labelled them, and how$/,
      ),
    });
  });

  test("it stops a candidate that is better in spite of its labels; without sure frames it waits for a person", () => {
    const right = Array.from({ length: 2_000 }, (_, i) => i % 10 !== 0);
    const model = { right, confidence: right.map(() => 0.9), latenciesMs: [3], megabytes: 110 };
    const base = { name: "base", ...paired(right, right) };
    const better = { name: "site=north", frames: FRAMES, won: 30, lost: 5, candidate: 0.5, champion: 0.4 };
    const gate = (sure: { frames: number; contradicted: number; expected: number; pair: null }) =>
      judgeGate({
        classes: ["cat", "dog"],
        labels: right.map((_, i) => i % 2),
        candidate: model,
        champion: model,
        slices: { old: [base], drifted: [{ ...better, sure }] },
        corruptions: [],
        latencyBudgetMs: 50,
        latencySlaMs: null,
        golden: { frames: 16, failed: [] },
      });
    expect(gate({ frames: 100, contradicted: 6, expected: 5, pair: null }).passed).toBe(true);
    const unsure = gate({ frames: 0, contradicted: 0, expected: 0, pair: null }).lines.filter(
      ({ verdict }) => verdict === "unsure",
    );
    expect(unsure.map(({ kind }) => kind)).toContain("labels");
    const stopped = gate({ frames: 100, contradicted: 45, expected: 5, pair: null });
    expect(stopped.lines.filter(({ verdict }) => verdict === "failed").map(({ name }) => name)).toEqual([
      "labels of site=north",
    ]);
  });
});
