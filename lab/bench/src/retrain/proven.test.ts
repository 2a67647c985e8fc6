/** Of many classes some look harmed by chance; what is called proven holds for all of them, and many small losses are seen together. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { type Counted, LOSS_MAX, lowerOf, lowerOfNets, type Netted, provenLosses, seemingHarm } from "./proven.ts";

const FRAMES = 150;

type Rates = { readonly differ: number; readonly lost: number };

/** `differ`: share of answers that differ; of these, `lost` are lost. */
const groupsOf = (count: number, { differ, lost }: Rates, random: Random, frames = FRAMES): readonly Netted[] =>
  Array.from({ length: count }, () => ({
    nets: Array.from({ length: frames }, () => (random() >= differ ? 0 : random() < lost ? -1 : 1)),
    trainings: 1,
  }));

/** Trainings that go wrong partly on the same photos: each differs on half of those on which the task's models can differ. */
const overlapping = (count: number, rates: Rates, trainings: number, random: Random, frames: number): Netted[] =>
  groupsOf(count, { ...rates, differ: 2 * rates.differ }, random, frames).map(({ nets }) => ({
    nets: nets.map((net) => net * Array.from({ length: trainings }, random).filter((drawn) => drawn < 0.5).length),
    trainings,
  }));

/** Rates at which a group loses on average just what it may, `LOSS_MAX` of its answers. */
const allowed = (differ: number): Rates => ({ differ, lost: 0.5 + LOSS_MAX / (2 * differ) });

const counted = ({ nets }: Netted): Counted => ({
  frames: nets.length,
  won: nets.filter((net) => net > 0).length,
  lost: nets.filter((net) => net < 0).length,
});

/** Several trainings that all do the same to a photo. */
const alike = (groups: readonly Netted[], trainings: number): readonly Netted[] =>
  groups.map(({ nets }) => ({ nets: nets.map((net) => trainings * net), trainings }));

describe("harm of many trainings", () => {
  test("400 classes that lose what they may: some look harmed, as chance explains, and none is proven", () => {
    let [alarms, proven, seeming] = [0, 0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const groups = groupsOf(400, allowed(0.08), seededRandom(seed));
      const harm = seemingHarm(groups);
      seeming += harm.seeming / 20;
      proven += provenLosses(groups.map(counted)).length;
      if (harm.p <= 0.05) alarms += 1;
    }
    expect(seeming).toBeGreaterThan(3);
    expect(proven).toBeLessThanOrEqual(2);
    expect(alarms).toBeLessThanOrEqual(3);
  });

  test.each([
    { frames: 26, differ: 0.1, trainings: 1 },
    { frames: 26, differ: 0.1, trainings: 5 },
    { frames: 150, differ: 0.03, trainings: 5 },
    { frames: 400, differ: 0.05, trainings: 3 },
  ])(
    "few photos, few differences, trainings that overlap: seldom an alarm ($frames, $differ, $trainings)",
    (regime) => {
      const { frames, differ, trainings } = regime;
      const alarms = Array.from({ length: 40 }, (_, seed) => seededRandom(seed + 1)).filter(
        (random) => seemingHarm(overlapping(60, allowed(differ), trainings, random, frames)).p <= 0.05,
      );
      expect(alarms.length).toBeLessThanOrEqual(5);
    },
  );

  test("trainings that err on the same photos prove no more than one of them", () => {
    const groups = groupsOf(200, { differ: 0.08, lost: 0.5 }, seededRandom(3));
    expect(seemingHarm(alike(groups, 9))).toEqual(seemingHarm(groups));
    const [one, nine] = [groups[0] as Netted, alike(groups, 9)[0] as Netted];
    expect(lowerOfNets(nine.nets, 9 * FRAMES)).toBeCloseTo(lowerOfNets(one.nets, FRAMES), 12);
    expect(lowerOfNets(one.nets, FRAMES)).toBeCloseTo(lowerOf(counted(one)), 2);
  });

  test("one class that loses a tenth is proven among them, by its place", () => {
    const groups = groupsOf(200, { differ: 0.05, lost: 0.5 }, seededRandom(1)).map(counted);
    expect(provenLosses([...groups, { frames: FRAMES, won: 1, lost: 22 }])).toEqual([200]);
  });

  test("many classes that lose two points each are not proven one by one, and seen together", () => {
    const groups = groupsOf(200, { differ: 0.06, lost: 0.67 }, seededRandom(2));
    expect(provenLosses(groups.map(counted))).toEqual([]);
    expect(seemingHarm(groups).p).toBeLessThan(0.01);
    expect(seemingHarm(alike(groups, 3)).p).toBeLessThan(0.01);
  });

  test("where nothing changed nothing is asked", () => {
    expect(provenLosses([{ frames: FRAMES, won: 0, lost: 0 }])).toEqual([]);
    expect(seemingHarm([{ nets: new Array<number>(FRAMES).fill(0), trainings: 1 }])).toEqual({
      seeming: 0,
      expected: 0,
      p: 1,
    });
  });
});
