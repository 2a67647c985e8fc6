import { expect, test } from "@jest/globals";
import type { Control } from "./controls.ts";
import { checksOf, type Found } from "./findings.ts";
import type { ClassShares, Figures } from "./judge.ts";
import type { Bars } from "./story.ts";

const shares = (before: number, after: number) => ({ frames: 5_000, before, after, classes: {} });
const figures = (change: Partial<Figures> = {}): Figures => ({
  site: shares(0.71, 0.785),
  elsewhere: shares(0.85, 0.848),
  regained: 0.55,
  costBound: 0.006,
  ...change,
});
const gate = { passed: true, failed: [], unsure: [] } as unknown as NonNullable<
  NonNullable<Found["candidate"]>["gate"]
>;
const found = (change: Partial<Found> = {}): Found =>
  ({
    verdict: { cause: "WORLD", scopeKey: "site", scopeValue: "north", loss: { state: "LOST" } },
    run: { phase: "SUCCEEDED", message: "", candidateVersion: "1.1.0-a" },
    queue: { labels: 300, unknown: 0, seconds: 60 },
    candidate: { gate },
    champion: "1.1.0-a",
    devicesOnChampion: 40,
    resumedBy: null,
    figures: figures(),
    gains: figures({ regained: 0.4 }),
    left: null,
    readings: [],
    ...change,
  }) as unknown as Found;

const stopped = { ...gate, passed: false, failed: ["not better at site=north"] };
const controlsWith = (own: typeof gate): readonly Control[] => [
  { name: "random photos", figures: figures({ regained: 0.05 }), gate: null },
  { name: "traded", figures: figures({ regained: 0.9 }), gate: own },
];
const bars: Bars = {
  regainedMin: 0.5,
  unseenMin: 1_000,
  cost: { max: 0.005, boundMax: 0.01 },
  mayBeHeld: false,
  runMs: 3_000_000,
};
const failing = (one: Found, own = stopped, change: Partial<Bars> = {}) => {
  const story = { site: "north", bars: { ...bars, ...change } };
  return checksOf(one, controlsWith(own), { seconds: 900, devices: 40, story }).filter(({ holds }) => !holds);
};

test("a loop that closed, and a gate that stopped a trade, hold", () => {
  expect(failing(found())).toEqual([]);
});

test.each([
  ["a person had to let it pass", { resumedBy: "demo" }],
  ["one device is on another model", { devicesOnChampion: 39 }],
  ["too little came back", { figures: figures({ regained: 0.45 }) }],
  ["it costs too much elsewhere", { figures: figures({ elsewhere: shares(0.85, 0.84) }) }],
  ["it may cost too much elsewhere", { figures: figures({ costBound: 0.011 }) }],
  ["one gain per channel does as well", { gains: figures({ regained: 0.55 }) }],
] as const)("what must not be is named: %s", (_, change) => {
  expect(failing(found(change))).toHaveLength(1);
});

test("a gate that passes a trade fails the demo; one that holds it for a person does not", () => {
  expect(failing(found(), gate)).toMatchObject([{ found: "passed" }]);
  expect(failing(found(), { ...gate, unsure: ["too few frames"] })).toEqual([]);
});

test("where photos are few, a class that is proven to have lost fails; at the site one whose F1 rises does not", () => {
  const water = (change: Partial<ClassShares>): ClassShares => {
    return { before: 0.9, after: 0.7, f1Before: 0.6, f1After: 0.5, frames: 40, won: 0, lost: 8, ...change };
  };
  const at = (place: "site" | "elsewhere", one: ClassShares) =>
    found({ figures: figures({ [place]: { ...shares(0.85, 0.86), classes: { water: one } } }) });
  const few = { cost: null };
  expect(failing(at("elsewhere", water({})), stopped, few)).toMatchObject([
    { found: "water elsewhere: 8 lost, 0 won" },
  ]);
  expect(failing(at("site", water({})), stopped, few)).toHaveLength(1);
  expect(failing(at("site", water({ f1After: 0.8 })), stopped, few)).toEqual([]);
  expect(failing(at("elsewhere", water({ f1After: 0.8 })), stopped, few)).toHaveLength(1);
  expect(failing(at("elsewhere", water({ lost: 1 })), stopped, few)).toEqual([]);
});
