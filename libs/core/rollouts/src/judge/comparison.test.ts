/** Few labels a device, drawn with the propensities that a policy gives: the frames that are hard are drawn often. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { compare, type SampleCounts } from "./comparison.ts";
import type { Arm } from "./index.ts";

/** Of ten frames nine are easy: they are drawn with 1 %, and the hard one with 11 %; the mean is 2 %. */
const PI = { easy: 0.01, hard: 0.11, mean: 0.02 } as const;

const exponential = (random: Random): number => -Math.log(random());

/** Labels a device: `rate` on average. `right`: of easy and of hard frames. */
function drawn(devices: number, rate: number, right: { easy: number; hard: number }, random: Random): Arm {
  const column = () => new Float64Array(devices);
  const [good, frames, labels, squares, badSquares] = [column(), column(), column(), column(), column()];
  for (let i = 0; i < devices; i++) {
    // Poisson, by waiting times.
    for (let waited = exponential(random); waited < rate; waited += exponential(random)) {
      const kind = random() < (0.9 * PI.easy) / PI.mean ? "easy" : "hard";
      const weight = PI.mean / PI[kind];
      frames[i] = (frames[i] as number) + weight;
      squares[i] = (squares[i] as number) + weight * weight;
      labels[i] = (labels[i] as number) + 1;
      if (random() < right[kind]) good[i] = (good[i] as number) + weight;
      else badSquares[i] = (badSquares[i] as number) + weight * weight;
    }
  }
  return { good, frames, before: column().fill(0.9), sample: { labels, squares, badSquares } };
}

describe.each([0.5, 1, 3])("%d labels a device", (rate) => {
  test("what an arm gains on hard frames, and loses on the others, is weighed as often as these are seen", () => {
    // .9 of .97 and .1 of .3, against .96 and .4: the same accuracy, and drawn frames alone say 4 points more.
    const [control, arm] = [
      { easy: 0.97, hard: 0.31 },
      { easy: 0.96, hard: 0.4 },
    ];
    const seeds = Array.from({ length: 60 }, (_, i) => i + 1);
    const found = seeds.map((seed) => {
      const random = seededRandom(seed);
      return compare(drawn(1_000, rate, control, random), drawn(1_000, rate, arm, random));
    });
    const mean = found.reduce((sum, one) => sum + (one?.harm ?? Number.NaN), 0) / seeds.length;
    const variance = found.reduce((sum, one) => sum + (one?.variance ?? Number.NaN), 0) / seeds.length;
    expect(Math.abs(mean)).toBeLessThan(3 * Math.sqrt(variance / seeds.length));
    // And the variance is that of the estimates.
    const seen = found.reduce((sum, one) => sum + ((one?.harm ?? Number.NaN) - mean) ** 2, 0) / (seeds.length - 1);
    expect(seen / variance).toBeGreaterThan(0.6);
    expect(seen / variance).toBeLessThan(1.5);
  });
});

test("a device that claims a thousand times the labels of others moves the estimate by four devices", () => {
  const of = (claims: number): Arm => {
    const arm = drawn(200, 5, { easy: 0.97, hard: 0.31 }, seededRandom(1));
    const { labels, squares, badSquares } = arm.sample as SampleCounts & Record<string, Float64Array>;
    for (const column of [labels, squares, badSquares]) (column as Float64Array)[0] = claims;
    (arm.frames as Float64Array)[0] = claims;
    (arm.good as Float64Array)[0] = 0;
    return arm;
  };
  const canary = drawn(50, 5, { easy: 0.97, hard: 0.31 }, seededRandom(2));
  const [honest, hostile] = [compare(of(5), canary), compare(of(5_000), canary)];
  expect(Math.abs((honest?.harm ?? 0) - (hostile?.harm ?? 0))).toBeLessThan(4 / 200);
});

test("fewer labels than are needed are no comparison", () => {
  const [control, canary] = [1, 2].map((seed) => drawn(100, 0.5, { easy: 0.97, hard: 0.31 }, seededRandom(seed)));
  const [a, b] = [control as Arm, canary as Arm];
  expect(compare(a, b, undefined, { labels: 15 })).not.toBeNull();
  expect(compare(a, b, undefined, { labels: 60 })).toBeNull();
});
