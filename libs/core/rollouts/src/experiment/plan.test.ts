/** What an experiment will know by some hour is foreseen from labels as they come: with unequal propensities, and more from some devices. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { momentsOf } from "@tributary/statistics";
import { effectiveLabels, hoursToDecide, plannedVariances } from "./index.ts";

const RATE = 0.85;
const weights = { correct: 1, escalated: 0, late: 0 };
const rates = { correct: RATE, escalated: 0.1, late: 0.01 };
const deviceSd = { correct: 0, escalated: 0, late: 0 };
/** Labels of one device and hour: half of the devices have seven times as many as the others. */
const PER_HOUR = [0.5, 3.5] as const;
/** Of labelled frames, as often each: the inverse of their propensities, whose design effect is 2 x sum of squares / square of the sum. */
const INVERSE = [1, 5] as const;
const DESIGN = (2 * (INVERSE[0] ** 2 + INVERSE[1] ** 2)) / (INVERSE[0] + INVERSE[1]) ** 2;
const [DEVICES, HOURS] = [40, 24] as const;

/** Labels as they come, and the mean over devices of what they show of each. */
function arm(random: () => number): { readonly counts: readonly number[]; readonly mean: number } {
  const devices = Array.from({ length: DEVICES }, (_, i) => {
    const perHour = PER_HOUR[i % 2] as number;
    let [labels, good, all] = [0, 0, 0];
    for (let minute = 0; minute < 60 * HOURS; minute++) {
      if (random() >= perHour / 60) continue;
      const weight = INVERSE[random() < 0.5 ? 0 : 1] as number;
      labels += 1;
      all += weight;
      if (random() < RATE) good += weight;
    }
    return { labels, rate: all === 0 ? RATE : good / all };
  });
  return { counts: devices.map(({ labels }) => labels), mean: momentsOf(devices.map(({ rate }) => rate)).mean };
}

describe("labels of unequal weight, and more of some devices than of others", () => {
  const random = seededRandom(11);
  const draws = Array.from({ length: 200 }, () => [arm(random), arm(random)] as const);
  const { n, squares } = momentsOf(draws.map(([a, b]) => a.mean - b.mean));
  const perHour = (PER_HOUR[0] + PER_HOUR[1]) / 2;
  const plannedFor = (labels: number) => {
    const frames = { correct: HOURS * labels, escalated: 1, late: 1 };
    return plannedVariances({ devices: [DEVICES, DEVICES], rates, frames, deviceSd }, weights).utility;
  };
  const worth = effectiveLabels(perHour, DESIGN, draws[0]?.[0].counts ?? []);

  test("the variance of the comparison is as foreseen; without the design effect it is a third", () => {
    const seen = squares / (n - 1);
    expect(seen / plannedFor(worth)).toBeGreaterThan(0.75);
    expect(seen / plannedFor(worth)).toBeLessThan(1.35);
    expect(seen / plannedFor(perHour)).toBeGreaterThan(2.5);
  });

  test("so the hours are more", () => {
    const settings = { alpha: 0.05, weights, rope: 0.01, lateMargin: 0.005, burnInMs: 3_600_000, arms: 1 };
    const plan = { devices: [DEVICES, DEVICES] as const, rates, deviceSd };
    const hoursBy = (correct: number) =>
      hoursToDecide(plan, { correct, escalated: 300, late: 300 }, settings, { gain: 0.03, rise: 0 })?.hours ?? 0;
    expect(hoursBy(worth) / hoursBy(perHour)).toBeGreaterThan(1.6);
  });

  test("labels of equal weight, as many as chance gives each device, are worth what they are", () => {
    const random = seededRandom(5);
    // A sum of many rare draws: Poisson.
    const counts = Array.from({ length: 500 }, () => Array.from({ length: 300 }, random).filter((u) => u < 0.1).length);
    expect(effectiveLabels(2, 1, counts)).toBeCloseTo(2, 1);
    expect(effectiveLabels(2, 1, [])).toBe(2);
    expect(effectiveLabels(2, 1, [0, 0])).toBe(2);
  });
});
