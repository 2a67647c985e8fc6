import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { normalCdf, normalQuantile } from "@tributary/statistics";
import { GroupSequential, groupSequentialUntil, looksUntil } from "./group-sequential.ts";

const MINUTE = 60_000;
const [BURN_IN, END] = [3 * MINUTE, 60 * MINUTE];
const [RUNS, LEVEL] = [200, 0.02];

describe("a test of harm with an end", () => {
  test("looks first after the burn-in and last at the end, each about an eighth later than the one before", () => {
    for (let minutes = 4; minutes <= 5_000; minutes += 7) {
      const looks = looksUntil(BURN_IN, minutes * MINUTE);
      expect([looks[0], looks.at(-1)]).toEqual([BURN_IN, minutes * MINUTE]);
      const ratios = looks.slice(1).map((at, i) => at / (looks[i] as number));
      expect([minutes, Math.max(...ratios) <= 1.12 + 1e-9]).toEqual([minutes, true]);
    }
  });

  test("has the bounds that are published for five looks and O'Brien and Fleming's spending (Reboussin et al. 2000)", () => {
    const spending = (share: number) => 2 * (1 - normalCdf(normalQuantile(1 - 0.0125) / Math.sqrt(share)));
    const isCrossed = (look: number, z: number) => {
      const one = new GroupSequential({ plannedMs: [1, 2, 3, 4, 5], spending });
      for (let at = 1; at <= look; at++)
        one.look(at, { harm: at < look ? 0 : z / Math.sqrt(look), variance: 1 / at, freedom: 1e9 });
      return one.crossedMs !== null;
    };
    for (const [i, bound] of [4.877, 3.357, 2.68, 2.29, 2.031].entries())
      expect([i, isCrossed(i + 1, bound - 1e-3), isCrossed(i + 1, bound + 1e-3)]).toEqual([i, false, true]);
  });

  test("has no look where the analysis ends first", () => {
    expect(groupSequentialUntil(LEVEL, BURN_IN, BURN_IN)).toBeNull();
    expect(groupSequentialUntil(LEVEL, 0, 10_000)).not.toBeNull();
  });

  // Of 200, 4 is the mean, and above 11 once in 1,000 suites.
  test("crosses for its level of models that are alike, whatever the rhythm at which it is asked", () => {
    for (const every of [1, 7]) {
      const crossed = runs((random) => crossedAt(random, 0, every)).filter((at) => at !== null).length;
      expect([every, crossed >= 1, crossed <= 11]).toEqual([every, true, true]);
    }
  });

  test("a difference that does not shrink with time costs no more than its level", () => {
    // What a device gains or loses with the model stays with it: of twenty devices its mean is some way off 0.
    const crossed = runs((random) => crossedAt(random, 0, 1, 0.3)).filter((at) => at !== null).length;
    expect(crossed).toBeLessThanOrEqual(11);
  });

  test("sees harm that one look at the end would see in nine of ten, and half of it in half of the time", () => {
    const at = runs((random) => crossedAt(random, 3.6 / Math.sqrt(END / MINUTE), 1));
    const seen = at.filter((one): one is number => one !== null).sort((a, b) => a - b);
    expect(seen.length).toBeGreaterThan(0.75 * RUNS);
    expect(seen[RUNS / 2] as number).toBeLessThan(45 * MINUTE);
  });

  test("nothing is spent while there is too little, or nothing new", () => {
    const one = groupSequentialUntil(LEVEL, BURN_IN, END);
    const comparison = { harm: 0, variance: 1, freedom: 1e6 };
    one?.look(10 * MINUTE, null);
    expect(one?.state()).toMatchObject({ spent: 0, density: null });
    one?.look(20 * MINUTE, comparison);
    const { spent } = one?.state() ?? {};
    one?.look(40 * MINUTE, comparison);
    expect([spent, one?.state().spent]).toEqual([expect.any(Number), spent]);
    one?.look(END, { ...comparison, variance: 0.5 });
    expect(one?.state().spent).toBeCloseTo(LEVEL, 12);
  });

  test("a restored one decides as one that went on", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const [random, again] = [seededRandom(seed), seededRandom(seed)];
      expect(crossedAt(random, 0.4, 1, 0, true)).toEqual(crossedAt(again, 0.4, 1));
    }
  });
});

const runs = <T>(one: (random: Random) => T): readonly T[] =>
  Array.from({ length: RUNS }, (_, i) => one(seededRandom(i + 1)));

/** When it crosses, where each minute adds one observation with the mean `harm` and a deviation of 1. `effectSd`: deviation of that mean from
 * draw to draw, which the variance knows. */
function crossedAt(random: Random, harm: number, every: number, effectSd = 0, isRestarted = false): number | null {
  let one = groupSequentialUntil(LEVEL, BURN_IN, END);
  const mean = harm + effectSd * normalQuantile(random());
  let sum = 0;
  for (let minute = 1; minute <= END / MINUTE; minute++) {
    sum += mean + normalQuantile(random());
    if (minute % every > 0 && minute < END / MINUTE) continue;
    one?.look(minute * MINUTE, { harm: sum / minute, variance: 1 / minute + effectSd ** 2, freedom: 1e6 });
    if (!isRestarted || one === null) continue;
    const state = structuredClone(one.state());
    one = groupSequentialUntil(LEVEL, BURN_IN, END);
    one?.restore(state);
  }
  return one?.crossedMs ?? null;
}
