import { expect, test } from "@jest/globals";
import { noisy } from "./confident.test-kit.ts";
import { confidentLabels } from "./index.ts";

test.each([0.1, 0.2, 0.3])("of %d wrong labels about as many are estimated, and most of them are named", (wrong) => {
  const { labels, probabilities, classes, isWrong } = noisy(7, wrong);
  const { wrongShare, suspects } = confidentLabels(labels, probabilities, classes);
  expect(wrongShare).toBeGreaterThan(wrong);
  expect(wrongShare).toBeLessThan(wrong + 0.12); // A tenth of the model's answers are wrong.
  const named = suspects.filter((i) => isWrong[i]).length;
  expect(named / suspects.length).toBeGreaterThan(wrong / (wrong + 0.12));
});

test("without items nothing is wrong, and a class without a label is never found", () => {
  expect(confidentLabels([], [], 3).wrongShare).toBe(0);
  const { suspects, wrongShare } = confidentLabels(
    [0, 0],
    [
      [0.2, 0.8],
      [0.9, 0.1],
    ],
    2,
  );
  expect([suspects, wrongShare]).toEqual([[], 0]);
});
