import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import type { AccountFrame } from "./account.ts";
import { chooseScore, fitScore, type ScoreChoice, type ScoredFrame } from "./fit.ts";
import { accountOf, calibrate, FIXED_SCORES, fixedScoreOf, orderByScore, SCORES, scoreOf } from "./index.ts";
import { LABELS, type WorldFrame, worldFrames } from "./testing/world.ts";

const settings = { scores: SCORES, shapes: [{ features: ["margin" as const], ridge: 10 }], classes: 10 };

const scored = (frames: readonly WorldFrame[]): readonly ScoredFrame[] =>
  frames.map(({ logits, edgeRight, cloudRight }) => ({ calibrated: calibrate(logits, 1), edgeRight, cloudRight }));

/** A cloud that is of no use on half of the classes, however unsure the edge is. */
const lopsided = (count: number, seed: number): readonly ScoredFrame[] =>
  scored(worldFrames(count, seed)).map((frame) => ({
    ...frame,
    cloudRight: frame.calibrated.labelIndex < 5 ? frame.edgeRight : true,
  }));

describe("the score that is taken", () => {
  test("fit.ts F3: with few frames it is confidence, whatever a fit promises, over seeds", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const reversed = { ...settings, scores: [...SCORES].reverse() };
      for (const one of [settings, reversed]) {
        expect(chooseScore(scored(worldFrames(100, seed)), one).score).toBe("confidence");
      }
    }
  });

  test("fit.ts F3: where a class shows what confidence does not, it is learned, with its lead and error", () => {
    for (const seed of [1, 2, 3]) {
      const { score, best, tried, frames } = chooseScore(lopsided(1_500, seed), settings);
      expect({ score, best, frames }).toEqual({ score: "learned", best: "learned", frames: 1_500 });
      const [confidence, learned] = ["confidence", "learned"].map((name) => tried.find((one) => one.score === name));
      const lead = (learned?.worth ?? 0) - (confidence?.worth ?? 0);
      expect(lead).toBeGreaterThan(2 * (confidence?.standardError ?? 1));
      expect(learned?.standardError).toBe(0);
    }
  });

  test("fit.ts F3: what is in use stays unless another is better by more than chance", () => {
    const frames = lopsided(1_500, 4);
    const learned = fitScore(frames, "learned", settings);
    expect(chooseScore(lopsided(1_500, 5), settings, learned).score).toBe("standing");
    expect(chooseScore(lopsided(1_500, 5), settings, fitScore(frames, "confidence", settings)).score).toBe("learned");
  });

  test("weights count as frames would: each frame with a weight of 3 is it three times", () => {
    const frames = lopsided(300, 6);
    const heavy = frames.map((frame, i) => ({ ...frame, weight: i % 2 === 0 ? 3 : 1 }));
    const repeated = frames.flatMap((frame, i) => (i % 2 === 0 ? [frame, frame, frame] : [frame]));
    const [a, b] = [heavy, repeated].map((some) => fitScore(some, "learned", { ...settings, shapes: [SMOOTH] }));
    const [x, y] = [a, b].map((policy) => (policy === undefined ? 0 : policy.edgeRight.weights[0]));
    expect(x).toBeCloseTo(y ?? 0, 1);
  });
});

const SMOOTH = { features: ["margin" as const], ridge: 0.01 };

describe("a fixed score", () => {
  test.each(FIXED_SCORES)("fit.ts F1: %s orders frames by its feature, and its score is a gain", (name) => {
    const frames = scored(worldFrames(800, 7));
    const policy = fitScore(frames, name, settings);
    expect(policy.features).toEqual([name]);
    const scores = frames.map(({ calibrated }) => scoreOf(policy, calibrated).score);
    expect(orderByScore(scores)).toEqual(orderByScore(frames.map(({ calibrated }) => fixedScoreOf(name, calibrated))));
    const gain = frames.reduce((sum, { edgeRight, cloudRight }) => sum + Number(cloudRight) - Number(edgeRight), 0);
    const predicted = scores.reduce((sum, score) => sum + score, 0);
    expect(predicted / frames.length).toBeCloseTo(gain / frames.length, 1);
  });

  test("fit.ts F1: it keeps its order where the frames at hand show the opposite", () => {
    const contrary = scored(worldFrames(200, 8)).map((frame) => ({
      ...frame,
      edgeRight: frame.calibrated.confidence < 0.7,
    }));
    const { edgeRight } = fitScore(contrary, "confidence", settings);
    expect(edgeRight.weights[0]).toBeGreaterThan(0);
  });
});

describe("the account of a policy", () => {
  const choice = (worths: readonly number[], standardError: number): ScoreChoice => ({
    score: "confidence",
    best: "learned",
    tried: SCORES.map((score, i) => ({ score, worth: worths[i] ?? 0, standardError })),
    frames: 200,
  });
  const sure = choice([0.05, 0.05, 0.05, 0.05], 0.01);

  /** Frames of which the edge is right on `edge` of ten and the cloud on `cloud`; the first `sent` of ten are sent. */
  const frames = (count: number, edge: number, cloud: number, sent: number): readonly AccountFrame[] => {
    const random = seededRandom(9);
    return Array.from({ length: count }, (_, i) => {
      const logits = Float32Array.from(LABELS, () => random());
      const [edgeRight, cloudRight] = [i % 10 >= 10 - edge, i % 10 < cloud];
      return {
        calibrated: calibrate(logits, 1),
        label: i % 10,
        edgeRight,
        cloudRight,
        priority: false,
        isSent: i % 10 < sent,
      };
    });
  };

  test("has edge, cloud, policy and fixed scores at the same share, with intervals", () => {
    const account = accountOf(frames(400, 7, 9, 3), LABELS, sure);
    expect(account).toMatchObject({ frames: 400, share: 0.3, edge: { accuracy: 0.7 }, cloud: { accuracy: 0.9 } });
    expect(account.hybrid.accuracy).toBe(1); // exactly what the edge has wrong is sent
    expect(account.cloudGain).toMatchObject({ difference: expect.closeTo(0.2, 10) });
    expect(account.fixed.map(({ score }) => score)).toEqual(FIXED_SCORES);
    for (const { accuracy, lower, upper, lead } of account.fixed) {
      expect(lower).toBeLessThan(accuracy);
      expect(upper).toBeGreaterThan(accuracy);
      expect(lead.lower).toBeGreaterThan(0); // chance alone chose by them
    }
    // The cloud is wrong on the tenth class, where the edge is right.
    expect(account.warnings).toEqual([expect.stringMatching(/^on "class-9" the cloud is worse than the edge/)]);
  });

  test("warns of a cloud that is not better, with how many frames would show it", () => {
    expect(accountOf(frames(60, 8, 9, 2), LABELS, sure).warnings).toContainEqual(
      expect.stringMatching(
        /that the cloud is better than the edge is not shown .*; about \d+ validation frames would/,
      ),
    );
    expect(accountOf(frames(400, 9, 6, 2), LABELS, sure).warnings).toContainEqual(
      expect.stringMatching(/^the cloud is worse than the edge \(-30\.0 points/),
    );
  });

  test("warns of a policy that sends nothing, and of one that a fixed score would beat", () => {
    expect(accountOf(frames(100, 7, 9, 0), LABELS, sure).warnings).toContainEqual(
      expect.stringMatching(/^the policy sends nothing/),
    );
    const ordered = frames(400, 7, 9, 0).map((frame, i) => {
      const logits = LABELS.map((_, label) => (label === 0 ? (frame.edgeRight ? 9 : 1) : 0));
      return { ...frame, calibrated: calibrate(logits, 1), isSent: i % 10 >= 6 && i % 10 < 9 };
    });
    expect(accountOf(ordered, LABELS, sure).warnings).toContainEqual(
      expect.stringMatching(/^sending by confidence would be better at the same share \(-/),
    );
  });

  test("warns when frames are too few to distinguish a better score, with how many would do", () => {
    const { warnings } = accountOf(frames(400, 7, 9, 3), LABELS, choice([0.05, 0.05, 0.05, 0.058], 0.006));
    expect(warnings).toContainEqual(
      "200 frames are too few to distinguish learned from confidence, which is simpler and was taken; about 900 validation frames would do if the difference is what it seems",
    );
  });
});
