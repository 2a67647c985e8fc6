/** Of many classes some look harmed by chance; what is called proven holds for all of them, and many small losses are seen together. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { binomial } from "@tributary/testing/fleet";
import { type Counted, harmOf } from "./proven.ts";

const FRAMES = 150;

/** `differ`: share of answers that differ; of these, `lost` are lost. */
function groupsOf(count: number, { differ, lost }: { differ: number; lost: number }, random: Random): Counted[] {
  return Array.from({ length: count }, () => {
    const changed = binomial(FRAMES, differ, random);
    const losses = binomial(changed, lost, random);
    return { frames: FRAMES, won: changed - losses, lost: losses };
  });
}

describe("harm of many trainings", () => {
  test("400 classes that lose nothing: some look harmed, as chance explains, and none is proven", () => {
    let [alarms, proven, seeming] = [0, 0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const harm = harmOf(groupsOf(400, { differ: 0.08, lost: 0.5 }, seededRandom(seed)));
      seeming += harm.seeming / 20;
      proven += harm.proven.length;
      if (harm.p <= 0.05) alarms += 1;
    }
    expect(seeming).toBeGreaterThan(3);
    expect(proven).toBeLessThanOrEqual(2);
    expect(alarms).toBeLessThanOrEqual(3);
  });

  test("one class that loses a tenth is proven among them, by its place", () => {
    const groups = groupsOf(200, { differ: 0.05, lost: 0.5 }, seededRandom(1));
    const harm = harmOf([...groups, { frames: FRAMES, won: 1, lost: 22 }]);
    expect(harm.proven).toEqual([200]);
  });

  test("many classes that lose two points each are not proven one by one, and seen together", () => {
    const harm = harmOf(groupsOf(200, { differ: 0.06, lost: 0.67 }, seededRandom(2)));
    expect(harm.proven).toEqual([]);
    expect(harm.p).toBeLessThan(0.01);
  });

  test("where nothing changed nothing is asked", () => {
    expect(harmOf([{ frames: FRAMES, won: 0, lost: 0 }])).toEqual({ proven: [], seeming: 0, expected: 0, p: 1 });
  });
});
