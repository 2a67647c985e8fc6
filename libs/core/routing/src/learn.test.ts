import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { clopperPearsonUpper } from "@tributary/statistics";
import {
  calibrate,
  gainShare,
  learningDefaults,
  learnPolicy,
  learnThenTest,
  orderByScore,
  outcomeOf,
  parsePolicy,
  scoreOf,
  type ThresholdCandidate,
  thresholdGrid,
} from "./index.ts";
import { chooseThreshold } from "./learn.ts";
import { canonicalJson } from "./policy.ts";
import { complete, LABELS, learnWorld, worldFrames } from "./testing/world.ts";

const candidates = (count: number, seed: number): readonly ThresholdCandidate[] => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const score = random() * 0.8 - 0.2;
    return { score, priority: random() < 0.03, lossIfKept: random() < Math.max(0.004, score * 0.5) };
  });
};

describe("the score", () => {
  test("on frames it was not learned from, P(edge right) is honest and beats the raw margin", () => {
    const policy = learnWorld(1);
    const fresh = worldFrames(6_000, 99);
    const calibrated = fresh.map(({ logits }) => calibrate(logits, 1));
    const scores = calibrated.map((item) => scoreOf(policy, item));
    for (const [low, high] of [
      [0, 0.6],
      [0.6, 0.9],
      [0.9, 1],
    ] as const) {
      const inside = scores.flatMap(({ edgeRight }, i) => (edgeRight >= low && edgeRight < high ? [i] : []));
      const mean = inside.reduce((sum, i) => sum + (scores[i]?.edgeRight ?? 0), 0) / inside.length;
      const right = inside.filter((i) => fresh[i]?.edgeRight).length / inside.length;
      expect(Math.abs(mean - right)).toBeLessThan(0.07);
    }
    const ours = gainShare(fresh, orderByScore(scores.map(({ score }) => score)), 0.3);
    const margin = gainShare(fresh, orderByScore(calibrated.map((item) => -item.margin)), 0.3);
    expect(ours).toBeGreaterThan(margin - 0.03);
    expect(ours).toBeGreaterThan(0.45); // a third of the frames hold far more than a third of the gain
  });

  test("learning twice from the same frames gives the same policy", () => {
    expect(canonicalJson(learnWorld(4))).toBe(canonicalJson(learnWorld(4)));
  });
});

describe("the threshold", () => {
  test("learn.ts T2: over 400 seeds the promise is broken no more often than delta allows", () => {
    const population = candidates(200_000, 12345);
    const grid = thresholdGrid(candidates(1_000, 54321).map(({ score }) => score));
    const [epsilon, delta, runs] = [0.02, 0.05, 400];
    let broken = 0;
    for (let seed = 1; seed <= runs; seed++) {
      const random = seededRandom(seed);
      const drawn = Array.from(
        { length: 1_000 },
        () => population[Math.floor(random() * population.length)] as ThresholdCandidate,
      );
      const learned = learnThenTest(drawn, grid, epsilon, delta);
      expect(learned).not.toBeNull();
      if (outcomeOf(population, learned ?? -1).losses / population.length > epsilon) broken++;
    }
    expect(broken).toBeLessThanOrEqual(31); // 20 expected at most, and 2.5 standard errors
    expect(broken).toBeGreaterThan(0); // and it is not merely timid
  });

  test("learn.ts T3: over budget, the budget's threshold and its Clopper-Pearson bound; within it, the promise asked for", () => {
    const [choosing, drawn] = [candidates(4_000, 6), candidates(4_000, 5)];
    const tight = chooseThreshold(choosing, drawn, {
      epsilon: 0.005,
      delta: 0.05,
      escalationShareMax: 0.2,
      headroom: 0.05,
    });
    expect(tight.guarantee.method).toBe("BUDGET_BOUND");
    expect(tight.guarantee.escalationShare).toBeLessThanOrEqual(0.21);
    expect(tight.guarantee.epsilon).toBe(clopperPearsonUpper(tight.guarantee.losses, 4_000, 0.05));
    expect(tight.guarantee.epsilon).toBeGreaterThan(0.005);
    const loose = chooseThreshold(choosing, drawn, {
      epsilon: 0.05,
      delta: 0.05,
      escalationShareMax: 0.9,
      headroom: 0.05,
    });
    expect(loose.guarantee).toMatchObject({ method: "LEARN_THEN_TEST", epsilon: 0.05 });
    expect(loose.guarantee.losses / 4_000).toBeLessThan(0.05);
  });

  test("learn.ts T1: which threshold of the budget is bounded, the frames that bound it do not influence", () => {
    const frames = worldFrames(4_000, 17);
    // The testing half of another season: none of the frames on which the edge is sure.
    const unsure = frames.filter(({ half, logits }) => half === "score" || calibrate(logits, 1).margin < 0.8);
    const settings = {
      ...learningDefaults,
      cloudTarget: "default",
      labels: LABELS,
      temperature: 1,
      priorityLabels: [],
      epsilon: 0.001,
      escalationShareMax: 0.2,
      scores: ["margin" as const],
    };
    const [whole, part] = [frames, unsure].map((some) => learnPolicy(some, settings).policy);
    expect(whole?.guarantee.method).toBe("BUDGET_BOUND");
    expect(part?.scoreMin).toBe(whole?.scoreMin);
    expect(part?.guarantee.epsilon).toBeGreaterThan(whole?.guarantee.epsilon ?? 1);
  });

  test("learn.ts T3: over 400 seeds, whichever of the two promises is published is broken no more often than delta allows", () => {
    const population = candidates(100_000, 4321);
    const [delta, runs] = [0.05, 400];
    const losses = new Map<number, number>();
    const lossOf = (scoreMin: number) => {
      const known = losses.get(scoreMin) ?? outcomeOf(population, scoreMin).losses / population.length;
      losses.set(scoreMin, known);
      return known;
    };
    // Where the budget's threshold loses about epsilon, either kind is published.
    const settings = { epsilon: 0.045, delta, escalationShareMax: 0.35, headroom: 0.05 };
    const broken = { LEARN_THEN_TEST: 0, BUDGET_BOUND: 0, UNKNOWN: 0 };
    const published = { ...broken };
    for (let seed = 1; seed <= runs; seed++) {
      const random = seededRandom(seed);
      const draw = (count: number) =>
        Array.from({ length: count }, () => population[Math.floor(random() * population.length)] as ThresholdCandidate);
      const { scoreMin, guarantee } = chooseThreshold(draw(600), draw(600), settings);
      published[guarantee.method] += 1;
      if (lossOf(scoreMin) > guarantee.epsilon) broken[guarantee.method] += 1;
    }
    expect(broken.LEARN_THEN_TEST + broken.BUDGET_BOUND).toBeLessThanOrEqual(31); // 20, and 2.5 standard errors
    expect(Math.min(published.LEARN_THEN_TEST, published.BUDGET_BOUND)).toBeGreaterThan(20);
  });

  test("nothing passes when even sending everything leaves too few frames to decide", () => {
    const few = candidates(50, 1);
    expect(learnThenTest(few, thresholdGrid(few.map(({ score }) => score)), 0.02, 0.05)).toBeNull();
  });
});

describe("the policy document", () => {
  const content = learnWorld(2);
  const json = () => JSON.parse(JSON.stringify(content));

  test("survives JSON, and equal content has one version", () => {
    expect(parsePolicy(json())).toEqual(content);
    const shuffled = Object.fromEntries(Object.entries(json()).reverse());
    expect(complete(parsePolicy(shuffled)).policyVersion).toBe(complete(content).policyVersion);
    expect(complete({ ...content, deadlineMs: 2_001 }).policyVersion).not.toBe(complete(content).policyVersion);
  });

  test("every wrong field is named at once", () => {
    const broken = {
      ...json(),
      temperature: 0,
      features: ["margin", "mood"],
      deadlineMs: 1.5,
      priorityLabels: [{ label: "unicorn", confidenceMin: 2, weight: 1 }],
      guarantee: { ...content.guarantee, method: "HOPE" },
    };
    expect(() => parsePolicy(broken)).toThrow(/mood.*weights.*temperature|temperature.*mood|mood/s);
    for (const name of ["temperature", "mood", "deadlineMs", "unicorn", "confidenceMin", "guarantee.method"]) {
      expect(() => parsePolicy(broken)).toThrow(name);
    }
    for (const nothing of [null, [], "policy", 7, {}]) expect(() => parsePolicy(nothing)).toThrow("routing policy");
  });
});
