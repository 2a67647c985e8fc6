import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import type { SampledFrame } from "./aipw.ts";
import { aipw, calibrate, samplePropensity, scoreOf } from "./index.ts";
import { learnWorld, worldFrames } from "./testing/world.ts";

const policy = learnWorld(1);
const frames = worldFrames(5_000, 50).map(({ logits, edgeRight }) => {
  const q = scoreOf(policy, calibrate(logits, 1)).edgeRight;
  return { q, pi: samplePropensity(policy, q), right: edgeRight };
});
const truth = frames.filter(({ right }) => right).length / frames.length;

function runs(population: readonly Omit<SampledFrame, "drawn">[], count: number, missing = 0) {
  let covered = 0;
  let error = 0;
  for (let seed = 1; seed <= count; seed++) {
    const random = seededRandom(seed);
    const drawn = population.map((frame) => {
      const isDrawn = random() < frame.pi;
      return { ...frame, drawn: isDrawn, right: isDrawn && random() < missing ? null : frame.right };
    });
    const estimate = aipw(drawn);
    if (estimate === null) continue;
    if (estimate.lower <= truth && truth <= estimate.upper) covered++;
    error += estimate.estimate - truth;
  }
  return { coverage: covered / count, bias: error / count };
}

describe("accuracy from the random sample", () => {
  test("95 % intervals cover in at least 93.5 % of 1,000 runs, without bias", () => {
    const { coverage, bias } = runs(frames, 1_000);
    expect(coverage).toBeGreaterThanOrEqual(0.935);
    expect(Math.abs(bias)).toBeLessThan(0.005);
  });

  test("aipw.ts W1: with a q that is plain wrong it stays unbiased", () => {
    const misled = frames.map((frame) => ({ ...frame, q: 0.5 }));
    expect(Math.abs(runs(misled, 600).bias)).toBeLessThan(0.01);
  });

  test("aipw.ts W2: a third of the labels missing widens the interval and moves nothing", () => {
    const { coverage, bias } = runs(frames, 600, 1 / 3);
    expect(coverage).toBeGreaterThanOrEqual(0.92);
    expect(Math.abs(bias)).toBeLessThan(0.01);
  });

  test("no labelled draw is no estimate", () => {
    expect(aipw([])).toBeNull();
    expect(aipw([{ q: 0.9, pi: 0.1, drawn: false, right: true }])).toBeNull();
    expect(aipw([{ q: 0.9, pi: 0.1, drawn: true, right: null }])).toBeNull();
    expect(() => aipw([{ q: 0.9, pi: 0, drawn: true, right: true }])).toThrow("propensity");
  });

  test("when every frame is drawn the estimate is the truth", () => {
    const all = frames.map((frame) => ({ ...frame, pi: 1, drawn: true }));
    expect(aipw(all)?.estimate).toBeCloseTo(truth, 10);
    expect(aipw(all)?.standardError).toBe(0);
  });
});
