/** What an experiment will know by some hour is foreseen from labels as they come: with unequal propensities, and more from some devices. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { momentsOf, normalQuantile } from "@tributary/statistics";
import { hoursToDecide, plannedVariances, withUnequalLabels } from "./index.ts";

const RATE = 0.85;
const weights = { correct: 1, escalated: 0, late: 0 };
const rates = { correct: RATE, escalated: 0.1, late: 0.01 };
/** Between devices, which their past does not explain. */
const deviceSd = { correct: 0.06, escalated: 0, late: 0 };
/** Labels of one device and hour: of each third of the devices. */
const PER_HOUR = [1, 1, 4] as const;
/** Of labelled frames, as often each: the inverse of their propensities. */
const INVERSE = [1, 9] as const;
const DESIGN = (2 * (INVERSE[0] ** 2 + INVERSE[1] ** 2)) / (INVERSE[0] + INVERSE[1]) ** 2;
const [DEVICES, HOURS] = [42, 24] as const;

/** Labels as they come, and their share of right ones as an arm's accuracy is: a ratio of sums over devices. */
function arm(random: () => number): { readonly counts: readonly number[]; readonly accuracy: number } {
  let [right, all] = [0, 0];
  const counts = Array.from({ length: DEVICES }, (_, i) => {
    const rate = RATE + deviceSd.correct * normalQuantile(random());
    let labels = 0;
    for (let minute = 0; minute < 60 * HOURS; minute++) {
      if (random() >= (PER_HOUR[i % 3] as number) / 60) continue;
      const weight = INVERSE[random() < 0.5 ? 0 : 1] as number;
      labels += 1;
      all += weight;
      if (random() < rate) right += weight;
    }
    return labels;
  });
  return { counts, accuracy: right / all };
}

describe("labels of unequal weight, and more of some devices than of others", () => {
  const random = seededRandom(11);
  const draws = Array.from({ length: 300 }, () => [arm(random), arm(random)] as const);
  const { n, squares } = momentsOf(draws.map(([a, b]) => a.accuracy - b.accuracy));
  const perHour = { correct: 2, escalated: 300, late: 300 };
  const plan = { devices: [DEVICES, DEVICES] as const, rates, deviceSd };
  const unequal = withUnequalLabels(plan, perHour, { design: DESIGN, byDevice: draws[0]?.[0].counts ?? [] });
  type Planned = typeof unequal;
  const plannedFor = ({ plan, perHour }: Planned) => {
    const frames = { correct: HOURS * perHour.correct, escalated: 1, late: 1 };
    return plannedVariances({ ...plan, frames }, weights).utility;
  };

  test("the variance of the comparison is as foreseen, and larger than that of as many equal ones", () => {
    const seen = squares / (n - 1);
    expect(seen / plannedFor(unequal)).toBeGreaterThan(0.8);
    expect(seen / plannedFor(unequal)).toBeLessThan(1.25);
    expect(seen / plannedFor({ plan, perHour })).toBeGreaterThan(1.4);
  });

  test("so an experiment takes more hours", () => {
    const settings = { alpha: 0.05, weights, rope: 0.01, lateMargin: 0.005, burnInMs: 3_600_000, arms: 1 };
    const hoursBy = ({ plan, perHour }: Planned) =>
      hoursToDecide(plan, perHour, settings, { gain: 0.08, rise: 0 })?.hours ?? 0;
    expect(hoursBy(unequal) / hoursBy({ plan, perHour })).toBeGreaterThan(1.5);
  });

  test("labels of equal weight, as many as chance gives each device, are worth what they are", () => {
    const random = seededRandom(5);
    // A sum of many rare draws: Poisson.
    const counts = Array.from({ length: 500 }, () => Array.from({ length: 300 }, random).filter((u) => u < 0.1).length);
    const sdOf = (byDevice: readonly number[]) =>
      withUnequalLabels(plan, perHour, { design: 1, byDevice }).plan.deviceSd.correct;
    expect(sdOf(counts)).toBeCloseTo(deviceSd.correct, 2);
    for (const none of [[], [0, 0], [3]]) expect(sdOf(none)).toBe(deviceSd.correct);
  });
});
