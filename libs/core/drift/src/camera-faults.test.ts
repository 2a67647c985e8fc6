import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { FaultNames } from "./index.ts";

const FEATURES = ["confidence", "margin", "entropy", "luminance", "channel_mean_r", "channel_mean_b", "bits_per_pixel"];
const fault = (name: string, ...values: readonly number[]) => ({
  name,
  place: "both" as const,
  shifts: { ...Object.fromEntries(FEATURES.map((feature, i) => [feature, values[i] ?? 0])), "label:cat": 0.3 },
});
const faults = [
  fault("dark", -0.15, -0.15, 0.15, -0.4, -0.38, -0.4, -0.1),
  fault("glare", -0.1, -0.1, 0.1, 0.4, 0.38, 0.4, -0.1),
  fault("channels-swapped", -0.2, -0.2, 0.2, 0, 0.15, -0.15, 0),
  fault("hard-compression", -0.1, -0.1, 0.1, 0, 0, 0, -0.45),
  fault("upside-down", -0.25, -0.25, 0.25, 0, 0, 0, 0),
];
const names = new FaultNames({ examples: faults, spread: {} });
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
        expect(names.nearest(shiftOf(shifts, severity, frames), frames)?.name).toBe(name);
      }
    }
  });

  test("another direction is none of them", () => {
    const other = fault("", 0.2, 0.2, -0.2, 0, 0, 0, 0.4).shifts;
    expect(names.nearest(shiftOf(other, 1, 300), 300)).toBeNull();
  });
});

test("the runner-up is the second nearest; a feature that only one side has is not compared", () => {
  const { luminance: _, ...rest }: Readonly<Record<string, number>> = faults[3]?.shifts ?? {};
  const named = names.nearest({ ...rest, unknown: 1 }, 300);
  expect(named).toMatchObject({ name: "hard-compression", distance: 0, runnerUp: "dark" });
  expect(new FaultNames({ examples: [], spread: {} }).nearest(rest, 300)).toBeNull();
  expect(names.nearest({}, 300)).toBeNull();
});

test("a fault of cameras is none of a whole site, nor is weather one of a camera among others", () => {
  const [dark, glare] = faults as [(typeof faults)[number], (typeof faults)[number]];
  const examples = [
    { ...dark, place: "camera" as const },
    { ...glare, place: "site" as const },
  ];
  const placed = new FaultNames({ examples, spread: {} });
  const nameAt = (of: typeof dark, where: "camera" | "site" | "anywhere") =>
    placed.nearest(of.shifts, 300, where)?.name;
  expect((["camera", "site", "anywhere"] as const).map((where) => nameAt(dark, where))).toEqual([
    "dark",
    undefined,
    "dark",
  ]);
  expect((["camera", "site", "anywhere"] as const).map((where) => nameAt(glare, where))).toEqual([
    undefined,
    "glare",
    "glare",
  ]);
});

test("a name is given only where few of the faults left out would get one (camera-faults.ts N1)", () => {
  const random = seededRandom(5);
  // 30 faults, three severities each; faults 0 and 1 are nearly the same.
  const directions = Array.from({ length: 30 }, () => FEATURES.map(() => random() - 0.5));
  directions[1] = (directions[0] as number[]).map((value) => value + 0.02 * (random() - 0.5));
  const examples = directions.flatMap((direction, f) =>
    [0.4, 0.7, 1].map((severity) => ({
      ...fault(`fault-${f}`, ...direction.map((value) => severity * value * (1 + 0.1 * random()))),
    })),
  );
  const book = new FaultNames({ examples, spread: {} });
  expect(Math.max(...book.distances.values())).toBeLessThan(0.6);
  const nameOf = (direction: readonly number[]) => book.nearest(fault("", ...direction).shifts, 1_000)?.name ?? null;
  // Either of two that look alike is named neither.
  expect([nameOf(directions[0] as number[]), nameOf(directions[1])]).toEqual([null, null]);
  const named = directions.slice(2).map(nameOf);
  expect(named.filter((name, i) => name === `fault-${i + 2}`).length).toBeGreaterThan(20);
  const strangers = Array.from({ length: 200 }, () => nameOf(FEATURES.map(() => random() - 0.5)));
  expect(strangers.filter((name) => name !== null).length).toBeLessThanOrEqual(30);
});
