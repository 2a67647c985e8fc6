import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { sharesOf } from "./arms.ts";
import { armOf, simulateFrontier } from "./index.ts";
import { complete, learnWorld, loggedFrom, scoredPopulation } from "./testing/world.ts";

const policy = complete(learnWorld(1, { priorityLabels: [] }));
const population = scoredPopulation(policy);

const order = [...population].sort((a, b) => b.score - a.score);

/** The frontier as it is when all is known. */
function truthAt(share: number): number {
  const sent = Math.round(share * order.length);
  const right = order.filter(({ edgeRight, cloudRight }, i) => (i < sent ? cloudRight : edgeRight)).length;
  return right / order.length;
}

const logged = (count: number, seed: number, missing = 0) => loggedFrom(population, count, seed, missing);

const SHARES = [0, 0.2, 0.5, 1];
const TRUTH = SHARES.map(truthAt);

describe("another policy on logged frames", () => {
  test("O1-O4: the intervals cover the true frontier, also with a third of the labels missing", () => {
    const runs = 50;
    const covered = SHARES.map(() => 0);
    let bias = 0;
    for (let seed = 1; seed <= runs; seed++) {
      const { points } = simulateFrontier(logged(4_000, seed, seed % 2 ? 0 : 1 / 3), policy, SHARES);
      points.forEach(({ accuracy, lower, upper }, i) => {
        const truth = TRUTH[i] ?? Number.NaN;
        if (lower <= truth && truth <= upper) covered[i] = (covered[i] ?? 0) + 1;
        bias += (accuracy - truth) / (runs * SHARES.length);
      });
    }
    for (const times of covered) expect(times / runs).toBeGreaterThanOrEqual(0.86);
    expect(Math.abs(bias)).toBeLessThan(0.007);
  });

  test("beside edge, cloud and fixed scores at the same share: the paired intervals cover the true leads", () => {
    const runs = 60;
    const threshold = { ...policy, scoreMin: order[2_500]?.score ?? 0 };
    const accuracyBy = (score: (frame: (typeof population)[number]) => number, count: number) => {
      const ranked = [...population].sort((a, b) => score(b) - score(a));
      return ranked.filter(({ edgeRight, cloudRight }, i) => (i < count ? cloudRight : edgeRight)).length / 10_000;
    };
    const own = accuracyBy(({ score }) => score, 2_500);
    const truths = {
      edge: own - accuracyBy(() => 0, 0),
      cloud: own - accuracyBy(() => 0, 10_000),
      confidence: own - accuracyBy(({ calibrated }) => -calibrated.confidence, 2_500),
      margin: own - accuracyBy(({ calibrated }) => -calibrated.margin, 2_500),
      entropy: own - accuracyBy(({ calibrated }) => calibrated.entropy, 2_500),
    };
    const missed: Record<string, number> = {};
    for (let seed = 1; seed <= runs; seed++) {
      const { alternatives, cloudGain, cloudWorseOn } = simulateFrontier(logged(4_000, seed), threshold, []);
      expect(alternatives.map(({ name }) => name)).toEqual(Object.keys(truths));
      for (const { name, lead } of alternatives) {
        if (truths[name] < lead.lower || truths[name] > lead.upper) missed[name] = (missed[name] ?? 0) + 1;
      }
      const gain = truths.edge - truths.cloud;
      if (cloudGain === null || gain < cloudGain.lower || gain > cloudGain.upper) missed.gain = (missed.gain ?? 0) + 1;
      expect(cloudWorseOn).toEqual([]);
    }
    const { gain = 0, ...others } = missed;
    expect(gain / runs).toBeLessThanOrEqual(0.12); // 5 %, and two standard errors
    for (const times of Object.values(others)) expect(times / runs).toBeLessThanOrEqual(0.05); // 1 % each
    const worse = logged(8_000, 1).map((frame) =>
      frame.calibrated.labelIndex === 3 && frame.drawn ? { ...frame, cloudRight: false } : frame,
    );
    const { cloudWorseOn } = simulateFrontier(worse, threshold, []);
    expect(cloudWorseOn.map(({ labelIndex }) => labelIndex)).toEqual([3]);
  });

  test("what the models predict does not decide: under a policy that is plain wrong it stays unbiased", () => {
    const wrong = { ...policy, cloudRight: { ...policy.cloudRight, bias: -9, weights: [0, 0, 0] } };
    let bias = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const [all] = simulateFrontier(logged(6_000, seed), wrong, [1]).points;
      bias += ((all?.accuracy ?? 0) - truthAt(1)) / 40;
    }
    expect(Math.abs(bias)).toBeLessThan(0.03);
  });

  test("without a known outcome there is no point", () => {
    const silent = logged(500, 1).map((frame) => ({ ...frame, edgeRight: null, cloudRight: null }));
    expect(simulateFrontier(silent, policy, SHARES)).toMatchObject({ points: [], own: null, labelled: 0 });
    expect(simulateFrontier([], policy, SHARES)).toMatchObject({ points: [], frames: 0 });
  });
});

describe("arms", () => {
  const hash = (seed: number) => {
    const random = seededRandom(seed);
    return Uint8Array.from({ length: 8 }, () => Math.floor(random() * 256));
  };

  test("arms.ts A1: units spread by weight, and growing a weight moves units into that arm alone", () => {
    const arms = [
      { name: "control", weight: 3 },
      { name: "candidate", weight: 1 },
    ];
    const wider = [
      { name: "control", weight: 1 },
      { name: "candidate", weight: 1 },
    ];
    let candidates = 0;
    for (let seed = 1; seed <= 4_000; seed++) {
      const [before, after] = [armOf(arms, hash(seed)), armOf(wider, hash(seed))];
      if (before === "candidate") {
        candidates++;
        expect(after).toBe("candidate");
      }
    }
    expect(Math.abs(candidates / 4_000 - 0.25)).toBeLessThan(0.025);
    expect(sharesOf(arms)).toEqual([
      { name: "control", share: 0.75 },
      { name: "candidate", share: 0.25 },
    ]);
    expect(armOf([{ name: "only", weight: 2 }], hash(1))).toBe("only");
  });
});
