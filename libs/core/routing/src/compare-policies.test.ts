import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { comparePolicies, type LoggedFrame, type PolicyArm, type PolicyEstimate, winnerOf } from "./index.ts";
import { complete, learnWorld, loggedFrom, scoredPopulation } from "./testing/world.ts";

const policy = complete(learnWorld(1, { priorityLabels: [] }));
const population = scoredPopulation(policy);
const byScore = population.map(({ score }) => score).sort((a, b) => b - a);
const weights = { correct: 1, escalated: 0.1, late: 0.5 };
const LATE = 0.1;

/** Sends this share of the population. */
const arm = (name: string, share: number, seen = { sent: 2_000, late: 200 }): PolicyArm => ({
  name,
  policy: {
    ...policy,
    scoreMin: share === 0 ? 1 : (byScore[Math.floor(share * byScore.length)] as number),
    escalationShareMax: 1,
  },
  seen,
});
const arms = [arm("hybrid", 0.2), arm("edge", 0), arm("cloud-heavy", 0.6)];

function truthOf(share: number): number {
  const sent = [...population].sort((a, b) => b.score - a.score).slice(0, Math.round(share * population.length));
  const gained =
    sent.reduce((sum, one) => sum + (one.cloudRight ? 1 : 0) - (one.edgeRight ? 1 : 0), 0) / population.length;
  const edge = population.filter(({ edgeRight }) => edgeRight).length / population.length;
  return weights.correct * (edge + (1 - LATE) * gained) - share * (weights.escalated + weights.late * LATE);
}

const logged = (count: number, seed: number, missing = 0) => loggedFrom(population, count, seed, missing);

/** 20 devices, of which each sees 15 scenes of the population; the busiest have six times the frames of others. */
function loggedByDevices(own: typeof population, seed: number): readonly LoggedFrame[] {
  return Array.from({ length: 20 }, (_, i) => {
    const random = seededRandom(1_000 * seed + i);
    const scenes = Array.from({ length: 15 }, () => own[Math.floor(random() * own.length)] as (typeof own)[number]);
    const frames = loggedFrom(scenes, i < 5 ? 300 : 50, 1_000 * seed + i, 0);
    return frames.map((frame) => ({ ...frame, deviceId: `device-${i}` }));
  }).flat();
}

describe("policies compared on logged frames", () => {
  test("the intervals hold the true leads of all arms at once, also with a third of the labels missing", () => {
    const runs = 60;
    const truths = [0.2, 0, 0.6].map(truthOf) as [number, number, number];
    let covered = 0;
    let named = 0;
    const best = arms[truths.indexOf(Math.max(...truths))]?.name;
    for (let seed = 1; seed <= runs; seed++) {
      const found = comparePolicies(logged(4_000, seed, seed % 2 ? 0 : 1 / 3), arms, weights) ?? [];
      const isCovered = found.every(({ lead }, i) => {
        const truth = (truths[i] as number) - truths[0];
        return lead === null || ((lead.lower ?? 1) <= truth && truth <= (lead.upper ?? -1));
      });
      if (isCovered) covered += 1;
      const winner = winnerOf(found, 1);
      if (winner.name === best || !winner.isShown) named += 1;
    }
    expect(covered).toBeGreaterThanOrEqual(52); // 57 expected
    expect(named).toBeGreaterThanOrEqual(57);
  });

  test("the interval holds the true lead, too, where each device sees its own scenes again and again", () => {
    const wide = complete(learnWorld(1, { priorityLabels: [], sampleBudget: 0.5 }));
    const often = scoredPopulation(wide);
    const byOften = often.map(({ score }) => score).sort((a, b) => b - a);
    const sending = (name: string, share: number): PolicyArm => ({
      name,
      policy: { ...wide, scoreMin: share === 0 ? 1 : (byOften[share * often.length] as number), escalationShareMax: 1 },
      seen: { sent: 0, late: 0 },
    });
    const free = { correct: 1, escalated: 0, late: 0 };
    const best = [...often].sort((a, b) => b.score - a.score).slice(0, 0.4 * often.length);
    const gained = best.reduce((sum, one) => sum + (one.cloudRight ? 1 : 0) - (one.edgeRight ? 1 : 0), 0);
    let covered = 0;
    let asFrames = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const frames = loggedByDevices(often, seed);
      const truth = gained / often.length;
      const isCovered = (logged: readonly LoggedFrame[]) => {
        const lead = comparePolicies(logged, [sending("edge", 0), sending("hybrid", 0.4)], free)?.[1]?.lead;
        return (lead?.lower ?? 1) <= truth && truth <= (lead?.upper ?? -1);
      };
      if (isCovered(frames)) covered += 1;
      if (isCovered(frames.map(({ deviceId: _, ...frame }) => frame))) asFrames += 1;
    }
    expect(asFrames).toBeLessThan(170); // As if they were independent.
    expect(covered).toBeGreaterThanOrEqual(182); // 190 expected, and chance over the seeds.
  });

  test("fewer than eight devices have no interval, and nothing is shown", () => {
    const [control, lead] =
      comparePolicies(
        logged(4_000, 2).map((frame, i) => ({ ...frame, deviceId: `device-${i % 7}` })),
        [arm("edge", 0), arm("cloud", 0.5)],
        { correct: 1, escalated: 0, late: 0 },
      ) ?? [];
    expect(control?.lead).toBeNull();
    expect(lead?.lead).toMatchObject({ lower: null, upper: null });
    expect(winnerOf([control, lead] as PolicyEstimate[], 1)).toMatchObject({ name: "cloud", isShown: false });
  });

  test("a policy that does the same has a lead of exactly nothing", () => {
    const [, same] = comparePolicies(logged(2_000, 1), [arm("a", 0.2), arm("b", 0.2)], weights) ?? [];
    expect(same?.lead).toEqual({ difference: 0, lower: 0, upper: 0 });
  });

  test("a target that is always late is worth less than none", () => {
    const late = { sent: 500, late: 500 };
    const found = comparePolicies(logged(4_000, 2), [arm("edge", 0), arm("late", 0.3, late)], weights) ?? [];
    expect(found[1]?.late).toBeCloseTo(0.3, 1);
    expect(found[1]?.accuracy).toBeCloseTo(found[0]?.accuracy as number, 2);
    expect(winnerOf(found, 1)).toEqual({ name: "edge", isShown: true, tooLate: [] });
  });

  test("a policy that is worth more and late too often does not win, and is named", () => {
    const found =
      comparePolicies(logged(4_000, 2), [arm("edge", 0), arm("cloud", 0.5)], { correct: 1, escalated: 0, late: 0 }) ??
      [];
    expect(winnerOf(found, 1)).toMatchObject({ name: "cloud", isShown: true });
    expect(winnerOf(found, 0.005)).toEqual({ name: "edge", isShown: true, tooLate: ["cloud"] });
  });

  test("a policy sends no more than its budget", () => {
    const capped = arm("capped", 0.6);
    const [, one] =
      comparePolicies(
        logged(2_000, 1),
        [arm("edge", 0), { ...capped, policy: { ...capped.policy, escalationShareMax: 0.25 } }],
        weights,
      ) ?? [];
    expect(one?.escalated).toBeCloseTo(0.25, 3);
  });

  test("without a known outcome there is nothing to compare", () => {
    expect(comparePolicies(logged(500, 1, 1), arms, weights)).toBeNull();
    expect(comparePolicies([], arms, weights)).toBeNull();
  });
});
