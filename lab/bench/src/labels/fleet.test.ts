import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { type ArmDraw, drawFleet, type Scenario, scenarios, unseen } from "./fleet.ts";

const all = [...scenarios, ...unseen];
/** Of all cells the draws of some: they are made of the same parts. */
const some = all.filter((_, i) => i % 4 === 0);
const dayMs = 86_400_000;
const arriving = (arm: ArmDraw) => arm.frames.filter(({ at }) => at >= 0);

/** The cell with the given number of devices in each arm, all else alike: chance gives few devices few of the rare kinds. */
const withDevices = (devices: number, scenario: Scenario): Scenario => ({
  ...scenario,
  arms: scenario.arms.map((arm) => ({ ...arm, devices })),
});

/** The cell with many devices and labels. */
const large = ({ labels, ...scenario }: Scenario): Scenario =>
  withDevices(800, { ...scenario, labels: { ...labels, aDay: 72 / scenario.days } });

/** The mean over devices of the accuracy weighted by inverse propensity, and its standard error. */
function estimate(arm: ArmDraw) {
  const [right, weight] = [new Float64Array(arm.devices), new Float64Array(arm.devices)];
  for (const { device, pi, isRight } of arriving(arm)) {
    weight[device] = (weight[device] ?? 0) + 1 / pi;
    right[device] = (right[device] ?? 0) + Number(isRight) / pi;
  }
  const labelled = [...weight.keys()].filter((device) => (weight[device] ?? 0) > 0);
  return meanOf(labelled.map((device) => (right[device] ?? 0) / (weight[device] ?? 1)));
}

function meanOf(values: number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, error: Math.sqrt(variance / values.length) };
}

describe("a fleet's labelled frames", () => {
  test("the cells differ in name, and there are at least 24 of each list", () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(Math.min(scenarios.length, unseen.length)).toBeGreaterThanOrEqual(24);
  });

  test.each(some.map((scenario) => [scenario.name, scenario] as const))(
    "%s: labels agree with the truth",
    (_, scenario) => {
      const { arms, truth } = drawFleet(large(scenario), seededRandom(11));
      for (const [i, arm] of arms.entries()) {
        const { mean, error } = estimate(arm);
        const isMissing = (scenario.arms[i]?.hardLabelChance ?? 1) < 1;
        const distance = (mean - (truth.accuracy[i] ?? 0)) / error;
        if (isMissing) expect(distance).toBeGreaterThan(6);
        else expect(Math.abs(distance)).toBeLessThan(4);
        for (const lane of ["escalated", "late"] as const) {
          const share = meanOf([...arm.totals[lane]].map((count, device) => count / (arm.totals.frames[device] ?? 1)));
          expect(Math.abs(share.mean - (truth[lane][i] ?? 0))).toBeLessThanOrEqual(4 * share.error);
        }
      }
    },
  );

  test.each(some.map((scenario) => [scenario.name, scenario] as const))(
    "%s: effects and counts are those wanted",
    (_, scenario) => {
      const { arms, truth } = drawFleet(withDevices(400, scenario), seededRandom(12));
      const [control = 0] = truth.accuracy;
      for (const [i, arm] of arms.entries()) {
        const { effects = [], threshold } = scenario.arms[i] ?? {};
        const points = effects.map((effect) =>
          "points" in effect ? (effect.points * (scenario.days - (effect.fromDay ?? 0))) / scenario.days : 0,
        );
        const wanted = points.reduce((sum, value) => sum + value, 0);
        const difference = (truth.accuracy[i] ?? 0) - control;
        if (threshold === scenario.arms[0]?.threshold) {
          if (wanted === 0) expect(Math.abs(difference)).toBeLessThan(1e-9);
          else expect(Math.abs(difference / wanted - 1)).toBeLessThan(0.35);
        }
        const counts = new Float64Array(arm.devices);
        for (const { device } of arriving(arm)) counts[device] = (counts[device] ?? 0) + 1 / scenario.days;
        const aDay = meanOf([...counts]);
        expect(Math.abs(aDay.mean - scenario.labels.aDay)).toBeLessThan(4 * aDay.error + 0.03 * scenario.labels.aDay);
      }
    },
  );

  test("a seed gives one draw, sorted by arrival, and every propensity is in its range", () => {
    for (const scenario of [scenarios[6], unseen[13]] as Scenario[]) {
      const [first, again] = [drawFleet(scenario, seededRandom(5)), drawFleet(scenario, seededRandom(5))];
      expect(again.arms.map(({ frames }) => frames)).toEqual(first.arms.map(({ frames }) => frames));
      for (const { frames } of first.arms)
        for (const [i, { at, labelledAt, pi, q }] of frames.entries()) {
          expect(labelledAt >= at && labelledAt >= (frames[i - 1]?.labelledAt ?? labelledAt)).toBe(true);
          expect(pi >= scenario.sampling.piMin && pi <= 0.2 && q > 0 && q < 1).toBe(true);
          expect(at >= -scenario.daysBefore * dayMs && at < scenario.days * dayMs).toBe(true);
        }
    }
  });

  test("confidence is calibrated, unless the cell makes it over-confident", () => {
    const gap = (scenario: Scenario) => {
      const bins = Array.from({ length: 10 }, () => ({ weight: 0, surplus: 0 }));
      for (const { pi, q, isRight } of drawFleet(large(scenario), seededRandom(7)).arms[0]?.frames ?? []) {
        const bin = bins[Math.min(9, Math.floor(q * 10))];
        if (bin) [bin.weight, bin.surplus] = [bin.weight + 1 / pi, bin.surplus + (q - Number(isRight)) / pi];
      }
      return bins.map(({ weight, surplus }) => surplus / Math.max(1, weight));
    };
    const named = (name: string) => scenarios.find((scenario) => scenario.name === name) as Scenario;
    for (const surplus of gap(named("null")).slice(2)) expect(Math.abs(surplus)).toBeLessThan(0.05);
    expect(gap(named("null, over-confident"))[9]).toBeGreaterThan(0.02);
  });

  test("labels cluster, devices persist, and counts up to a moment grow to the totals", () => {
    const clustered = scenarios.find(({ name }) => name === "null, labels in clusters") as Scenario;
    const arm = drawFleet(clustered, seededRandom(9)).arms[0] as ArmDraw;
    const windows = new Map<string, number>();
    for (const { device, at } of arm.frames) {
      const key = `${device} ${Math.floor(at / 300_000)}`;
      windows.set(key, (windows.get(key) ?? 0) + 1);
    }
    expect(arm.frames.length / windows.size).toBeGreaterThan(3);
    expect(arm.lanesAt(6 * dayMs)).toEqual(arm.totals);
    expect(arm.lanesAt(-1).frames.every((count) => count === 0)).toBe(true);
    const [half = 0, whole = 1] = [arm.lanesAt(3 * dayMs).frames[0], arm.totals.frames[0]];
    expect(Math.abs(half / whole - 0.5)).toBeLessThan(0.01);
  });
});
