import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { nearestCameraFault } from "./index.ts";

const FEATURES = ["confidence", "margin", "entropy", "luminance", "channel_mean_r", "channel_mean_b", "bits_per_pixel"];
const fault = (name: string, ...values: readonly number[]) => ({
  name,
  shifts: { ...Object.fromEntries(FEATURES.map((feature, i) => [feature, values[i] ?? 0])), "label:cat": 0.3 },
});
const faults = [
  fault("dark", -0.15, -0.15, 0.15, -0.4, -0.38, -0.4, -0.1),
  fault("glare", -0.1, -0.1, 0.1, 0.4, 0.38, 0.4, -0.1),
  fault("channels-swapped", -0.2, -0.2, 0.2, 0, 0.15, -0.15, 0),
  fault("hard-compression", -0.1, -0.1, 0.1, 0, 0, 0, -0.45),
  fault("upside-down", -0.25, -0.25, 0.25, 0, 0, 0, 0),
];
/** Mean over frames of values that are uniform over the bins. */
const noise = (random: Random, frames: number) => {
  let sum = 0;
  for (let i = 0; i < 12; i++) sum += random() - 0.5;
  return sum / Math.sqrt(12 * frames);
};

describe.each([1, 2, 3])("camera faults, seed %i", (seed) => {
  const random = seededRandom(seed);
  const shiftOf = (shifts: Readonly<Record<string, number>>, severity: number, frames: number) =>
    Object.fromEntries(Object.entries(shifts).map(([key, shift]) => [key, severity * shift + noise(random, frames)]));

  test("each is named at a third, once and 1.5 times the severity", () => {
    for (const { name, shifts } of faults) {
      for (const [severity, frames] of [
        [1, 60],
        [0.35, 1_000],
        [1.5, 60],
      ] as const) {
        expect(nearestCameraFault(faults, shiftOf(shifts, severity, frames), frames)?.name).toBe(name);
      }
    }
  });

  test("another direction is none of them", () => {
    const other = fault("", 0.2, 0.2, -0.2, 0, 0, 0, 0.4).shifts;
    expect(nearestCameraFault(faults, shiftOf(other, 1, 300), 300)).toBeNull();
  });
});

test("the runner-up is the second nearest; a feature that only one side has is not compared", () => {
  const { luminance: _, ...rest }: Readonly<Record<string, number>> = faults[3]?.shifts ?? {};
  const named = nearestCameraFault(faults, { ...rest, unknown: 1 }, 300);
  expect(named).toMatchObject({ name: "hard-compression", distance: 0, runnerUp: "upside-down" });
  expect(nearestCameraFault([], rest, 300)).toBeNull();
  expect(nearestCameraFault(faults, {}, 300)).toBeNull();
});
