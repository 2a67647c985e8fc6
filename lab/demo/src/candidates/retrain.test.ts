import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { type Example, trainHead } from "./retrain.ts";
import type { Head } from "./surgery.ts";

/** Three classes about three corners, in features of very different size. */
function drawn(seed: number, count: number, wrong = 0): readonly Example[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const label = i % 3;
    const features = Float32Array.from({ length: 4 }, (_, k) => (k === label ? 2 : 0) + random() - 0.5);
    features[3] = 1_000 * (features[3] as number);
    return { features, label: random() < wrong ? (label + 1) % 3 : label };
  });
}

function accuracy({ weights, bias }: Head, examples: readonly Example[]): number {
  const right = examples.filter(({ features, label }) => {
    const scores = weights.map((row, c) =>
      row.reduce((sum, w, i) => sum + w * (features[i] as number), bias[c] as number),
    );
    return scores.indexOf(Math.max(...scores)) === label;
  });
  return right.length / examples.length;
}

describe("a last layer", () => {
  test.each([1, 2, 3])("seed %i: learns separable classes, on raw features", (seed) => {
    expect(accuracy(trainHead(drawn(seed, 90), 3), drawn(seed + 100, 300))).toBeGreaterThan(0.99);
  });

  test("learns the labels, right or wrong", () => {
    const misled = trainHead(drawn(1, 300, 0.7), 3);
    expect(accuracy(misled, drawn(101, 300))).toBeLessThan(0.5);
  });

  test("the same examples give the same layer", () => {
    expect(trainHead(drawn(4, 60), 3)).toEqual(trainHead(drawn(4, 60), 3));
  });
});
