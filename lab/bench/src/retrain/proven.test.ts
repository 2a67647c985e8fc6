/** Of many classes some look harmed by chance; what is called proven holds for all of them, and many small losses are seen together. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { type Counted, lowerOf, lowerOfNets, provenLosses, seemingHarm } from "./proven.ts";

const FRAMES = 150;

type Rates = { readonly differ: number; readonly lost: number };

/** `differ`: share of answers that differ; of these, `lost` are lost. */
const netsOf = (count: number, { differ, lost }: Rates, random: Random): readonly (readonly number[])[] =>
  Array.from({ length: count }, () =>
    Array.from({ length: FRAMES }, () => (random() >= differ ? 0 : random() < lost ? -1 : 1)),
  );

const counted = (nets: readonly number[]): Counted => ({
  frames: nets.length,
  won: nets.filter((net) => net > 0).length,
  lost: nets.filter((net) => net < 0).length,
});

/** Several trainings that all do the same to a photo. */
const alike = (groups: readonly (readonly number[])[], trainings: number) =>
  groups.map((nets) => nets.map((net) => trainings * net));

describe("harm of many trainings", () => {
  test("400 classes that lose nothing: some look harmed, as chance explains, and none is proven", () => {
    let [alarms, proven, seeming] = [0, 0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const groups = netsOf(400, { differ: 0.08, lost: 0.5 }, seededRandom(seed));
      const harm = seemingHarm(groups);
      seeming += harm.seeming / 20;
      proven += provenLosses(groups.map(counted)).length;
      if (harm.p <= 0.05) alarms += 1;
    }
    expect(seeming).toBeGreaterThan(3);
    expect(proven).toBeLessThanOrEqual(2);
    expect(alarms).toBeLessThanOrEqual(3);
  });

  test("trainings that err on the same photos prove no more than one of them", () => {
    const groups = netsOf(200, { differ: 0.08, lost: 0.5 }, seededRandom(3));
    expect(seemingHarm(alike(groups, 9))).toEqual(seemingHarm(groups));
    const [nets] = groups as [readonly number[]];
    const answers = 9 * FRAMES;
    expect(lowerOfNets(alike([nets], 9)[0] as readonly number[], answers)).toBeCloseTo(lowerOfNets(nets, FRAMES), 12);
    expect(lowerOfNets(nets, FRAMES)).toBeCloseTo(lowerOf(counted(nets)), 2);
  });

  test("one class that loses a tenth is proven among them, by its place", () => {
    const groups = netsOf(200, { differ: 0.05, lost: 0.5 }, seededRandom(1)).map(counted);
    expect(provenLosses([...groups, { frames: FRAMES, won: 1, lost: 22 }])).toEqual([200]);
  });

  test("many classes that lose two points each are not proven one by one, and seen together", () => {
    const groups = netsOf(200, { differ: 0.06, lost: 0.67 }, seededRandom(2));
    expect(provenLosses(groups.map(counted))).toEqual([]);
    expect(seemingHarm(groups).p).toBeLessThan(0.01);
    expect(seemingHarm(alike(groups, 3)).p).toBeLessThan(0.01);
  });

  test("where nothing changed nothing is asked", () => {
    expect(provenLosses([{ frames: FRAMES, won: 0, lost: 0 }])).toEqual([]);
    expect(seemingHarm([new Array<number>(FRAMES).fill(0)])).toEqual({ seeming: 0, expected: 0, p: 1 });
  });
});
