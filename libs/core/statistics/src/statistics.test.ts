/** Against scipy 1.17 and numpy 2.4, and properties over seeds. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import {
  binomialCdf,
  bootstrapIntervals,
  clopperPearson,
  clopperPearsonLower,
  clopperPearsonUpper,
  expectedCalibrationError,
  fitLogistic,
  fitTemperature,
  holmAdjusted,
  momentsOf,
  negativeLogLikelihood,
  normalCdf,
  normalQuantile,
  pairedDifference,
  quantileOf,
  weightedSignTest,
} from "./index.ts";
import { addToMoments, emptyMoments, mergeMoments, varianceOf } from "./moments.ts";
import { sigmoid } from "./sigmoid.ts";

describe("binomial tails", () => {
  test.each([
    [0, 10, 0.1, 0.34867844009999993],
    [16, 500, 0.05, 0.034290186598394896],
    [83, 2000, 0.05, 0.04231466007700768],
    [224, 5000, 0.05, 0.04720368171602869],
    [29, 2000, 0.02, 0.04170664069369691],
    [50, 60, 0.9, 0.07306551008369887],
  ])("P(X <= %d) of %d at %d", (events, trials, probability, expected) => {
    expect(binomialCdf(events, trials, probability)).toBeCloseTo(expected, 9);
  });

  test.each([
    [0, 50, 0.05, 0.05815507911697225, 0],
    [3, 200, 0.05, 0.03830970849856934, 0.00410061333506991],
    [55, 2500, 0.05, 0.027463740423512403, 0.01739540606622588],
    [10, 10, 0.025, 1, 0.6915028921812392],
    [97, 5000, 0.025, 0.023615703115726135, 0.015759541010466376],
  ])("Clopper-Pearson of %d in %d", (events, trials, alpha, upper, lower) => {
    expect(clopperPearsonUpper(events, trials, alpha)).toBeCloseTo(upper, 8);
    expect(clopperPearsonLower(events, trials, alpha)).toBeCloseTo(lower, 8);
  });

  test("no data bound nothing", () => {
    expect(clopperPearson(0, 0)).toEqual({ lower: 0, upper: 1 });
  });

  test("a two-sided interval covers the truth at least as often as its level", () => {
    for (const probability of [0.02, 0.15, 0.5]) {
      let covered = 0;
      for (let seed = 1; seed <= 1_000; seed++) {
        const random = seededRandom(seed);
        let events = 0;
        for (let i = 0; i < 80; i++) if (random() < probability) events++;
        const { lower, upper } = clopperPearson(events, 80);
        if (lower <= probability && probability <= upper) covered++;
      }
      expect(covered).toBeGreaterThanOrEqual(940); // 95 % less three standard errors would be 929
    }
  });
});

describe("a paired difference of two shares", () => {
  test("is the difference, and its interval holds the truth at least nearly as often as its level, also for few items", () => {
    const random = seededRandom(31);
    for (const [items, p, q] of [
      [20, 0.2, 0.05],
      [60, 0.05, 0.03],
      [400, 0.1, 0.14],
    ] as const) {
      let covered = 0;
      for (let run = 0; run < 2_000; run++) {
        let [first, second] = [0, 0];
        for (let i = 0; i < items; i++) {
          const uniform = random();
          if (uniform < p) first++;
          else if (uniform < p + q) second++;
        }
        const { difference, lower, upper } = pairedDifference(first, second, items);
        expect(difference).toBe((first - second) / items);
        if (lower <= p - q && p - q <= upper) covered++;
      }
      expect(covered / 2_000).toBeGreaterThan(0.94);
    }
    expect(pairedDifference(0, 0, 0)).toEqual({ difference: 0, lower: -1, upper: 1 });
  });
});

test("normal quantiles and their inverse", () => {
  const expected = { 0.9: 1.2815515655446004, 0.975: 1.959963984540054, 1e-6: -4.753424308822899 };
  for (const [probability, quantile] of Object.entries(expected)) {
    expect(normalQuantile(Number(probability))).toBeCloseTo(quantile, 9);
    expect(normalCdf(quantile)).toBeCloseTo(Number(probability), 9);
  }
});

test("moments and quantiles as numpy has them, merged in any grouping", () => {
  const values = [1, 4, 2.5, -3, 7, 7, 0.25];
  const merged = mergeMoments(momentsOf(values.slice(0, 3)), momentsOf(values.slice(3)));
  expect(merged.mean).toBeCloseTo(2.6785714285714284, 12);
  expect(varianceOf(merged)).toBeCloseTo(13.348214285714285, 12);
  expect(mergeMoments(emptyMoments, merged)).toEqual(merged);
  expect(varianceOf(addToMoments(emptyMoments, 3))).toBeNull();
  expect(quantileOf(values, 0.1)).toBeCloseTo(-1.05, 12);
  expect(quantileOf(values, 0.5)).toBeCloseTo(2.5, 12);
  expect(quantileOf([], 0.5)).toBeNull();
});

describe("paired bootstrap", () => {
  test("the interval of a mean is near the normal one, and a constant difference has no width", () => {
    const random = seededRandom(7);
    const values = Array.from({ length: 400 }, () => random());
    const meanOf = (drawn: Int32Array) => drawn.reduce((sum, i) => sum + (values[i] ?? 0), 0) / drawn.length;
    const [mean, difference] = bootstrapIntervals(
      values.length,
      (drawn) => [meanOf(drawn), meanOf(drawn) + 1 - meanOf(drawn)],
      { random, resamples: 2_000 },
    );
    const { mean: centre } = momentsOf(values);
    const half = 1.96 * Math.sqrt((varianceOf(momentsOf(values)) ?? 0) / values.length);
    expect(mean?.lower).toBeCloseTo(centre - half, 2);
    expect(mean?.upper).toBeCloseTo(centre + half, 2);
    expect(difference?.lower).toBeCloseTo(1, 12);
    expect(difference?.upper).toBeCloseTo(1, 12);
  });

  test("the same seed gives the same interval", () => {
    const run = () => bootstrapIntervals(50, (drawn) => [drawn[0] ?? 0], { random: seededRandom(3), resamples: 100 });
    expect(run()).toEqual(run());
  });
});

describe("calibration", () => {
  test("the temperature that made the labels is found again", () => {
    const random = seededRandom(11);
    const gaussian = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    for (const truth of [0.5, 1, 2.5]) {
      const logits = Array.from({ length: 6_000 }, () => Float32Array.from({ length: 5 }, () => 4 * gaussian()));
      const labels = logits.map((row) => drawFrom(row, truth, random()));
      const found = fitTemperature(logits, labels);
      expect(Math.abs(Math.log(found / truth))).toBeLessThan(0.1);
      const loss = (temperature: number) => negativeLogLikelihood(logits, labels, temperature) ?? 0;
      expect(loss(found)).toBeLessThanOrEqual(Math.min(loss(found * 1.05), loss(found / 1.05)));
    }
  });

  test("honest probabilities have a small calibration error, boastful ones a large one", () => {
    const random = seededRandom(5);
    const confidences = Array.from({ length: 20_000 }, () => 0.5 + random() / 2);
    const right = confidences.map((confidence) => random() < confidence);
    expect(expectedCalibrationError(confidences, right)).toBeLessThan(0.015);
    const boast = confidences.map((confidence) => Math.min(1, confidence + 0.1));
    expect(expectedCalibrationError(boast, right)).toBeGreaterThan(0.07);
    expect(expectedCalibrationError([], [])).toBeNull();
  });
});

describe("ridge logistic regression", () => {
  // scipy.optimize on the same objective, ridge 2.
  const x =
    "0.346,0.822;0.33,-1.303;0.905,0.446;-0.537,0.581;0.365,0.294;0.028,0.547;-0.736,-0.163;-0.482,0.599;0.04,-0.292;-0.782,-0.257;0.008,-0.276;1.294,1.007;-2.711,-1.889;-0.175,-0.422;0.214,0.217;2.118,-1.112;-0.378,2.043;0.647,0.663;-0.514,-1.648;0.167,0.109;-1.227,-0.683;-0.072,-0.945;-0.098,0.095;0.036,-0.506;0.594,0.891;0.321,-0.818;0.732,-0.501;0.879,-1.072;0.914,-0.02;-1.249,-0.314;0.054,0.273;-0.982,-1.107;0.2,-0.467;0.236,0.76;-1.649,0.254;1.225,-0.298;-0.811,0.752;0.253,0.896;-0.345,-1.482;-0.11,-0.446";
  const y = "1110101010111111011100001110111110010011";

  test("finds what scipy finds", () => {
    const rows = x.split(";").map((row) => row.split(",").map(Number));
    const fit = fitLogistic(
      rows,
      [...y].map((digit) => digit === "1"),
      2,
    );
    expect(fit.intercept).toBeCloseTo(0.6242372870409763, 5);
    expect(fit.weights[0]).toBeCloseTo(0.6648410113088352, 5);
    expect(fit.weights[1]).toBeCloseTo(-0.7311777251440785, 5);
  });

  test("a row that counts thrice is three rows", () => {
    const random = seededRandom(12);
    const rows = Array.from({ length: 60 }, () => [random(), random() - 0.5]);
    const right = rows.map(([x]) => random() < (x ?? 0));
    const counts = rows.map((_, i) => (i % 3 === 0 ? 3 : 1));
    const repeat = <T>(items: readonly T[]) =>
      items.flatMap((item, i) => Array.from({ length: counts[i] ?? 1 }, () => item));
    const [counted, repeated] = [fitLogistic(rows, right, 2, counts), fitLogistic(repeat(rows), repeat(right), 2)];
    expect(counted.intercept).toBeCloseTo(repeated.intercept, 6);
    for (const [j, weight] of repeated.weights.entries()) expect(counted.weights[j]).toBeCloseTo(weight, 6);
  });

  test("separable and constant data have a finite fit", () => {
    const rows = Array.from({ length: 60 }, (_, i) => [i - 30, i % 2 === 0 ? 1 : 0]);
    const separable = fitLogistic(
      rows,
      rows.map(([first]) => (first ?? 0) >= 0),
      1,
    );
    expect(separable.weights.every(Number.isFinite)).toBe(true);
    expect(sigmoid(separable.intercept + (separable.weights[0] ?? 0) * 20)).toBeGreaterThan(0.99);
    const constant = fitLogistic(
      rows,
      rows.map(() => true),
      1,
    );
    expect(sigmoid(constant.intercept)).toBeGreaterThan(0.9);
  });
});

function drawFrom(logits: Float32Array, temperature: number, uniform: number): number {
  const weights = Array.from(logits, (logit) => Math.exp(logit / temperature));
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  return Math.max(
    0,
    weights.findIndex((weight) => {
      left -= weight;
      return left <= 0;
    }),
  );
}

describe("paired answers", () => {
  test("all pairs for it: 2^-n; none, or as many against: 1", () => {
    expect(weightedSignTest(20, [{ weight: 1, count: 20 }])).toBeCloseTo(2 ** -20, 10);
    expect(weightedSignTest(0, [{ weight: 1, count: 20 }])).toBe(1);
    expect(weightedSignTest(0, [])).toBe(1);
  });

  test("equal weights: the exact binomial tail", () => {
    expect(weightedSignTest(2 * 24, [{ weight: 2, count: 42 }])).toBeCloseTo(binomialCdf(9, 42, 0.5), 12);
  });

  test("different weights: what coins do", () => {
    const random = seededRandom(1);
    const toss = (count: number) =>
      Array.from({ length: count }, random).reduce((sum, u) => sum + (u < 0.5 ? 1 : -1), 0);
    let hits = 0;
    for (let i = 0; i < 20_000; i++) if (0.2 * toss(30) + 0.1 * toss(40) >= 2 - 1e-9) hits += 1;
    const pairs = [
      { weight: 0.2, count: 30 },
      { weight: 0.1, count: 40 },
    ];
    expect(weightedSignTest(2, pairs)).toBeCloseTo(hits / 20_000, 2);
  });

  test("many different weights: never below, and not far above", () => {
    const many = Array.from({ length: 8 }, (_, i) => ({ weight: 1 + i * 1e-9, count: 8 }));
    for (const total of [10, 20, 30, 50, 64]) {
      const exact = weightedSignTest(total, [{ weight: 1, count: 64 }]);
      const bound = weightedSignTest(total, many);
      expect(bound).toBeGreaterThan(exact * 0.999);
      expect(bound).toBeLessThan(10 * exact);
    }
  });

  test("Holm (against statsmodels' multipletests)", () => {
    const adjusted = holmAdjusted([0.01, 0.04, 0.03, 0.005]);
    expect(adjusted.map((p) => Number(p.toFixed(6)))).toEqual([0.03, 0.06, 0.06, 0.02]);
  });
});
