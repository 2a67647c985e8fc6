import { describe, expect, test } from "@jest/globals";
import { comparePolicies, type PolicyArm, winnerOf } from "./index.ts";
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
        return lead === null || (lead.lower <= truth && truth <= lead.upper);
      });
      if (isCovered) covered += 1;
      const winner = winnerOf(found, 1);
      if (winner.name === best || !winner.isShown) named += 1;
    }
    expect(covered).toBeGreaterThanOrEqual(52); // 57 expected
    expect(named).toBeGreaterThanOrEqual(57);
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
