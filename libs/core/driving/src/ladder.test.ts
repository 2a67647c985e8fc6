/** The properties of the ladder over simulated drives; `npm run bench -- ladder` checks them over 10,000 seeds. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { ladderProperties, ladderRules } from "@tributary/testing/driving";
import { isBroken, isOneMissAway, noMisses, withFrame } from "./firm.ts";

const seeds = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
/** Of each property: so many drives as are an hour, and for a control those of a few minutes. */
const HOUR = 3_600_000;
const seedsOf = (driveMs: number, ofMs: number) => seeds(Math.max(3, Math.floor(ofMs / driveMs)));

test("(m,k)-firm agrees with counting, for any sequence of frames", () => {
  const wrong = seeds(200).filter((seed) => {
    const random = seededRandom(seed);
    const of = 1 + Math.floor(random() * 32);
    const task = { met: 1 + Math.floor(random() * of), of };
    const frames: boolean[] = [];
    let misses = noMisses;
    return Array.from({ length: 200 }).some(() => {
      const isMissed = random() < 0.1;
      frames.push(isMissed);
      misses = withFrame(misses, isMissed, task);
      const count = (last: number) => (last === 0 ? 0 : frames.slice(-last).filter(Boolean).length);
      const isOneAway = count(of - 1) + 1 > of - task.met;
      return isBroken(misses, task) !== count(of) > of - task.met || isOneMissAway(misses, task) !== isOneAway;
    });
  });
  expect(wrong).toEqual([]);
});

describe.each(ladderProperties)("$name", ({ check, controls, driveMs }) => {
  test("holds", () => {
    let shown = 0;
    const violations = seedsOf(driveMs, HOUR).flatMap((seed) => {
      const found = check(seed, ladderRules);
      shown += found.cases;
      return found.violations.map((violation) => `seed ${seed}: ${violation}`);
    });
    expect(violations).toEqual([]);
    expect(shown).toBeGreaterThan(0);
  });

  test.each(controls)("does not where $name", ({ rules }) => {
    const isViolated = seedsOf(driveMs, HOUR / 6).some((seed) => check(seed, rules()).violations.length > 0);
    expect(isViolated).toBe(true);
  });
});
