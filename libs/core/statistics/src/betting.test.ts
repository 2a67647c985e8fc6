import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { clopperPearsonUpper, LossBet, lossRateExceeds, lossRateUpper, type WeighedDraw } from "./index.ts";

/** Frames of two kinds: easy ones are seldom lost and seldom drawn. Loss rate: .9 x easy + .1 x hard. */
const KINDS = [
  { share: 0.9, propensity: 0.005 },
  { share: 0.1, propensity: 0.05 },
] as const;

function draw(count: number, losses: readonly [easy: number, hard: number], seed: number): readonly WeighedDraw[] {
  const random = seededRandom(seed);
  const [easy, hard] = KINDS.map(({ share, propensity }) => share * propensity);
  const isEasy = (easy ?? 0) / ((easy ?? 0) + (hard ?? 0));
  return Array.from({ length: count }, () => {
    const kind = random() < isEasy ? 0 : 1;
    return { weight: 0.005 / (KINDS[kind]?.propensity ?? 1), loss: random() < (losses[kind] ?? 0) };
  });
}

describe("betting on a loss rate", () => {
  test("betting.ts B1: a look after every draw refutes a true null in no more than delta of the runs", () => {
    // Loss rate just at epsilon: .9 x .002 + .1 x .182 = .02.
    const [runs, delta] = [400, 0.05];
    let [fooledBelow, fooledAbove] = [0, 0];
    for (let seed = 1; seed <= runs; seed++) {
      const draws = draw(1_200, [0.002, 0.182], seed);
      const checks = [100, 200, 400, 800, 1_200].map((count) => draws.slice(0, count));
      const below = checks.some((some) => {
        const bet = new LossBet(
          some.map(({ weight }) => weight),
          0.02,
        );
        for (const { weight, loss } of some) if (loss) bet.lose(weight);
        return bet.refutes(delta);
      });
      if (below) fooledBelow++;
      if (checks.some((some) => lossRateExceeds(some, 0.02, delta))) fooledAbove++;
    }
    expect(fooledBelow).toBeLessThanOrEqual(30); // 20, and 2.3 standard errors
    expect(fooledAbove).toBeLessThanOrEqual(30);
  });

  test("it sees a rate that is half, and one that is twice epsilon", () => {
    const [low, high] = [draw(2_000, [0.001, 0.091], 3), draw(2_000, [0.004, 0.364], 4)];
    expect(lossRateUpper(low, 0.05)).toBeLessThan(0.02);
    expect(lossRateUpper(low, 0.05)).toBeGreaterThan(0.01);
    expect(lossRateExceeds(high, 0.02, 0.05)).toBe(true);
    expect(lossRateExceeds(low, 0.02, 0.05)).toBe(false);
  });

  test("of equal weights it is not much wider than the exact binomial, and never below it by much", () => {
    for (const [losses, n] of [
      [0, 300],
      [5, 500],
      [40, 2_000],
    ] as const) {
      const draws = Array.from({ length: n }, (_, i) => ({ weight: 1, loss: i < losses }));
      const ratio = lossRateUpper(draws, 0.05) / clopperPearsonUpper(losses, n, 0.05);
      expect(ratio).toBeGreaterThan(0.99);
      expect(ratio).toBeLessThan(1.7);
    }
  });

  test("no draw proves nothing, and a weight out of range is a bug", () => {
    expect(lossRateUpper([], 0.05)).toBe(1);
    expect(lossRateExceeds([], 0.02, 0.05)).toBe(false);
    expect(() => new LossBet([1.5], 0.02)).toThrow("weight");
  });
});
