import { expect, test } from "@jest/globals";
import { checksOf, type Found } from "./findings.ts";
import type { Figures } from "./judge.ts";

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
    ...change,
  }) as unknown as Found;

const stopped = {
  version: "1.1.0-cloud-labels",
  gate: { ...gate, passed: false, failed: ["not better at site=north"] },
};
const controls = [{ name: "random photos" as const, figures: figures({ regained: 0.05 }) }];
const failing = (one: Found, cloud = stopped) =>
  checksOf(one, controls, cloud, { seconds: 900, devices: 40 }).filter(({ holds }) => !holds);

test("a loop that closed, and a gate that stopped the cloud's labels, hold", () => {
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

test("a gate that passes the cloud's labels fails the demo", () => {
  expect(failing(found(), { ...stopped, gate })).toMatchObject([{ found: "passed" }]);
});
