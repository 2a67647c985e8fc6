import { describe, expect, test } from "@jest/globals";
import type { RoutingPolicy } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import { fitScore } from "./fit.ts";
import {
  calibrate,
  type Evidence,
  halfOf,
  outcomeOf,
  priorityOf,
  relearn,
  relearnDefaults,
  samplePropensity,
  scoreOf,
  type ThresholdCandidate,
} from "./index.ts";
import { complete, learnWorld, type WorldFrame, worldFrames } from "./testing/world.ts";

// The floor of the propensities stands in the ratio to their mean that the default policy has.
const standing = complete(
  learnWorld(1, { epsilon: 0.06, escalationShareMax: 0.6, sampleBudget: 0.08, samplePropensityMin: 0.02 }),
);
const settings = { ...relearnDefaults, epsilon: 0.06 };

/** A world whose cloud is wrong where it was right with this probability. */
const shifted = (frames: readonly WorldFrame[], worse: number, seed: number): readonly WorldFrame[] => {
  const random = seededRandom(seed);
  return frames.map((frame) => ({ ...frame, cloudRight: frame.cloudRight && random() >= worse }));
};

/** Every frame as it would be in the labelled random sample, with the policy's propensity. */
const weighed = (policy: RoutingPolicy, frames: readonly WorldFrame[]): readonly Evidence[] =>
  frames.map(({ logits, edgeRight, cloudRight }, i) => {
    const calibrated = calibrate(logits, policy.temperature);
    const propensity = samplePropensity(policy, scoreOf(policy, calibrated).edgeRight);
    const half = halfOf(`d${i % 7}:1:cam:${i}`);
    return { calibrated, propensity, edgeRight, cloudRight, triggered: false, half };
  });

const fixedScore = (frames: readonly WorldFrame[]) =>
  fitScore(
    frames.map((frame) => ({ ...frame, calibrated: calibrate(frame.logits, 1) })),
    "confidence",
    { scores: ["confidence"], shapes: [], classes: 10 },
  );

function drawnOf(frames: readonly Evidence[], seed: number): readonly Evidence[] {
  const random = seededRandom(seed);
  return frames.filter(({ propensity }) => random() < propensity);
}

const sampleOf = (policy: RoutingPolicy, frames: readonly WorldFrame[], seed: number): readonly Evidence[] =>
  drawnOf(weighed(policy, frames), seed);

function candidatesOf(policy: RoutingPolicy, frames: readonly WorldFrame[]): readonly ThresholdCandidate[] {
  return frames.map(({ logits, edgeRight, cloudRight }) => {
    const calibrated = calibrate(logits, policy.temperature);
    const priority = priorityOf(policy, calibrated) !== null;
    return { score: scoreOf(policy, calibrated).score, priority, lossIfKept: cloudRight && !edgeRight };
  });
}

describe("relearning", () => {
  test("L1-L4: a world that lost more by keeping is found, and the promise holds in it, over seeds", () => {
    // Every edge answer was right as often as its confidence; now the cloud is right nearly always, so keeping loses more.
    const population = worldFrames(20_000, 900).map((frame, i) => ({
      ...frame,
      cloudRight: i % 50 !== 0,
      edgeRight: frame.edgeRight && i % 11 !== 0,
    }));
    const candidates = candidatesOf(standing, population);
    const truth = outcomeOf(candidates, standing.scoreMin).losses / population.length;
    expect(truth).toBeGreaterThan(0.1); // the promise was 6 %
    for (const seed of [1, 2, 3]) {
      const verdict = relearn(standing, sampleOf(standing, population, seed), settings);
      if (verdict.kind !== "relearned") throw new Error(`seed ${seed}: ${verdict.kind}`);
      expect(verdict.why).toBe("promise-refuted");
      expect(verdict.content.scoreMin).toBeLessThan(standing.scoreMin);
      const after = outcomeOf(candidates, verdict.content.scoreMin);
      expect(after.losses / population.length).toBeLessThanOrEqual(verdict.content.guarantee.epsilon);
      expect(after.share).toBeLessThanOrEqual(standing.escalationShareMax + 0.03);
      expect(verdict.content).toMatchObject({ edgeRight: standing.edgeRight, labels: standing.labels }); // relearn.ts L2
    }
  });

  test("relearn.ts L4: a cloud that became worse is asked less, and the promise still holds", () => {
    const population = shifted(worldFrames(30_000, 901), 0.5, 5);
    const candidates = candidatesOf(standing, population);
    const before = outcomeOf(candidates, standing.scoreMin).share;
    const verdict = relearn(standing, sampleOf(standing, population, 6), settings);
    if (verdict.kind !== "relearned") throw new Error(verdict.kind);
    expect(verdict.content.guarantee.method).toBe("LEARN_THEN_TEST");
    const after = outcomeOf(candidates, verdict.content.scoreMin);
    expect(after.share).toBeLessThan(before - 0.03);
    expect(after.losses / population.length).toBeLessThanOrEqual(0.06);
  });

  test("relearn.ts L3: over 20 samples of an unchanged world the promise is broken no more often than delta allows", () => {
    const population = worldFrames(8_000, 902);
    const candidates = candidatesOf(standing, population);
    const frames = weighed(standing, population);
    let [broken, moved] = [0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const verdict = relearn(standing, drawnOf(frames, seed), { ...settings, shareStepMin: 0 });
      if (verdict.kind !== "relearned") continue;
      moved++;
      const { scoreMin, guarantee } = verdict.content;
      if (outcomeOf(candidates, scoreMin).losses / population.length > guarantee.epsilon) broken++;
    }
    expect(moved).toBeGreaterThan(3);
    expect(broken).toBeLessThanOrEqual(4); // 1, and 3.1 standard errors
  });

  test("relearn.ts L3: what is tested does not influence which threshold of the budget is tested", () => {
    const evidence = sampleOf(standing, worldFrames(30_000, 905), 10);
    const halves = [evidence, evidence.filter(({ half, calibrated }) => half === "choose" || calibrated.margin < 0.6)];
    const tight = complete({ ...standing, escalationShareMax: 0.2 });
    const found = halves.map((half) =>
      relearn(tight, half, {
        ...settings,
        epsilon: 0.01,
        boundStepMin: Number.NEGATIVE_INFINITY,
      }),
    );
    const contents = found.map((verdict) => (verdict.kind === "relearned" ? verdict.content : null));
    expect(contents.map((content) => content?.guarantee.method)).toEqual(["BUDGET_BOUND", "BUDGET_BOUND"]);
    expect(contents[1]?.scoreMin).toBe(contents[0]?.scoreMin);
    expect(contents[0]?.guarantee.n).toBe(evidence.filter(({ half }) => half === "bound").length);
  });

  test("relearn.ts L2: a score that labels prove better is taken, fitted on the half that tests nothing, and then stands", () => {
    // The cloud is of no use where the edge answers one of the first five classes, which the standing score cannot see.
    const blind = complete({ ...standing, ...fixedScore(worldFrames(1_000, 906)) });
    const population = worldFrames(20_000, 907).map((frame) => ({
      ...frame,
      cloudRight: calibrate(frame.logits, 1).labelIndex < 5 ? frame.edgeRight : true,
    }));
    const evidence = sampleOf(blind, population, 11);
    const verdict = relearn(blind, evidence, { ...settings, epsilon: undefined });
    if (verdict.kind !== "relearned") throw new Error(verdict.kind);
    expect(verdict.content.features).toEqual(["margin"]);
    expect(verdict.content.edgeRight).not.toEqual(blind.edgeRight);
    const others = evidence.map((draw) => (draw.half === "bound" ? { ...draw, edgeRight: !draw.edgeRight } : draw));
    const again = relearn(blind, others, { ...settings, epsilon: undefined });
    if (again.kind !== "relearned") throw new Error(again.kind);
    expect(again.content.edgeRight).toEqual(verdict.content.edgeRight);
    const lossOf = (policy: RoutingPolicy, scoreMin: number) =>
      outcomeOf(candidatesOf(policy, population), scoreMin).losses / population.length;
    const published = complete(verdict.content);
    expect(lossOf(published, published.scoreMin)).toBeLessThanOrEqual(published.guarantee.epsilon);
    expect(relearn(published, evidence, { ...settings, epsilon: undefined })).toMatchObject({ kind: "stands" });
  });

  test("relearn.ts L5: the same evidence in any order gives the same verdict, and none once it is published", () => {
    const evidence = sampleOf(standing, shifted(worldFrames(30_000, 903), 0.5, 7), 8);
    const random = seededRandom(4);
    const shuffled = evidence
      .map((one) => ({ one, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
    const verdict = relearn(standing, evidence, settings);
    expect(relearn(standing, shuffled, settings)).toEqual(verdict);
    if (verdict.kind !== "relearned") throw new Error(verdict.kind);
    expect(relearn(complete(verdict.content), shuffled, settings)).toMatchObject({ kind: "stands", why: "no-news" });
  });

  test("too few labels are no data, and an unchanged world is no news", () => {
    const evidence = sampleOf(standing, worldFrames(20_000, 904), 9);
    expect(relearn(standing, evidence.slice(0, 299), settings)).toMatchObject({ kind: "no-data", labels: 299 });
    expect(relearn(standing, [], settings)).toMatchObject({ kind: "no-data", labels: 0 });
    const strict = { ...settings, shareStepMin: 0.25 };
    expect(relearn(standing, evidence, strict)).toMatchObject({ kind: "stands" });
  });
});
