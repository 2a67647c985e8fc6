import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { BURST, FallbackBudget } from "./fallback-budget.ts";

/** Of the fleet: one frame a millisecond, so that `share` tokens are earned in each. */
const BURST_MS = 20_000;

type Asker = { readonly deviceId: string; readonly perMs: number; bucket: number; asked: number; granted: number };

/** Random degraded devices at most a third of which ask for more than an equal part; the others keep to less, with pauses and bursts. */
function story(seed: number) {
  const random = seededRandom(seed);
  const share = 0.005 + 0.1 * random();
  const budget = new FallbackBudget({ share, burstMs: BURST_MS, devicesMax: 1_000 });
  budget.resize(1);
  const devices = 3 + Math.floor(40 * random());
  const equal = share / devices;
  const askers: (Asker & { readonly isModest: boolean })[] = Array.from({ length: devices }, (_, i) => {
    const isModest = i % 3 !== 0;
    const perMs = equal * (isModest ? 0.1 + 0.85 * random() : 1.2 + 20 * random());
    return { deviceId: `d-${i}`, isModest, perMs, bucket: 1, asked: 0, granted: 0 };
  });
  const first = budget.tokens;
  let spent = 0;
  const ms = 20_000;
  for (let t = 1; t <= ms; t++) {
    budget.earn();
    for (const asker of askers) {
      asker.bucket = Math.min(BURST - 1, asker.bucket + asker.perMs);
      // A device that pauses asks at once for what a lost connection held back.
      if (asker.bucket < 1 || (asker.isModest && random() < 0.999 && asker.bucket < BURST - 1)) continue;
      for (; asker.bucket >= 1; asker.bucket -= 1) {
        asker.asked += 1;
        if (budget.tokensOf(asker.deviceId, t) < 1) continue;
        budget.take(asker.deviceId);
        asker.granted += 1;
        spent += 1;
      }
    }
  }
  return { askers, spent, earned: share * ms, first, budget, devices };
}

describe("the budget of FALLBACK frames is shared by max-min fairness", () => {
  test.each(Array.from({ length: 8 }, (_, i) => i + 1))("seed %i", (seed) => {
    const { askers, spent, earned, first, budget, devices } = story(seed);
    const refused = askers.filter(({ isModest, asked, granted }) => isModest && granted < asked);
    expect({ seed, refused }).toEqual({ seed, refused: [] });
    expect(spent).toBeLessThanOrEqual(first + earned + 1e-6); // S1
    expect(budget.tokens).toBeLessThanOrEqual(Math.max(first, BURST * devices) + 1e-6);
    // What the modest ones leave is given away: the others want more than there is.
    expect(spent).toBeGreaterThan(earned - BURST * devices);
    const greedy = askers.filter(({ isModest }) => !isModest);
    const modest = askers.filter(({ isModest }) => isModest).reduce((sum, { granted }) => sum + granted, 0);
    const level = (earned + first - modest) / greedy.length;
    for (const { asked, granted } of greedy) expect(granted).toBeLessThanOrEqual(Math.min(asked, 2 * level + BURST));
  });

  test("greedy devices get equal parts, whatever each asks for, and one alone gets all", () => {
    const budget = new FallbackBudget({ share: 0.02, burstMs: 2_000, devicesMax: 1_000 });
    budget.resize(1);
    const granted = new Map<string, number>();
    const ask = (deviceId: string, t: number) => {
      if (budget.tokensOf(deviceId, t) < 1) return;
      budget.take(deviceId);
      granted.set(deviceId, (granted.get(deviceId) ?? 0) + 1);
    };
    for (let t = 0; t < 100_000; t++) {
      budget.earn();
      for (const [deviceId, everyMs] of [
        ["a", 1],
        ["b", 20],
        ["c", 100],
      ] as const)
        if (t % everyMs === 0) ask(deviceId, t);
    }
    const part = (0.02 * 100_000) / 3;
    for (const deviceId of ["a", "b", "c"])
      expect(Math.abs((granted.get(deviceId) ?? 0) / part - 1)).toBeLessThan(0.06);
    granted.clear();
    for (let t = 100_000; t < 300_000; t++) {
      budget.earn();
      ask("a", t);
    }
    expect(granted.get("a")).toBeGreaterThan(0.99 * 0.02 * 200_000);
  });

  test("devices without end are forgotten, and take no token with them", () => {
    const budget = new FallbackBudget({ share: 0.1, burstMs: 2_000, devicesMax: 50 });
    budget.resize(1);
    let [devicesMost, tokensLeast] = [0, 0];
    for (let i = 0; i < 20_000; i++) {
      budget.earn();
      if (budget.tokensOf(`d-${i}`, i) >= 1) budget.take(`d-${i}`);
      devicesMost = Math.max(devicesMost, budget.devices);
      tokensLeast = Math.min(tokensLeast, budget.tokens);
    }
    expect(devicesMost).toBe(50);
    expect(tokensLeast).toBeGreaterThan(-1e-6);
    expect(budget.tokensOf("d-0", 100_000)).toBeGreaterThanOrEqual(1);
    expect(budget.devices).toBe(1); // the others were idle for a minute
  });
});
