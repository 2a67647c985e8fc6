import { expect, test } from "@jest/globals";
import { someDataset, someModel, someTrainingRun } from "@tributary/testing";
import { type Kill, killChecks, type Left, PROMOTION } from "./kill-findings.ts";

const PHASES = [
  "QUEUED",
  "LABELLING",
  "FREEZING",
  "TRAINING",
  "PACKING",
  "PUSHING",
  "GATE",
  "HELD",
  "ROLLOUT",
] as const;
const KINDS = [
  ...["REQUESTED", "RELEASED", "LABELS_COUNTED", "LABELS_COMPLETE", "FROZEN", "JOB_STARTED", "JOB_SUCCEEDED"],
  ...["PACKED", "PUSHED", "HELD", "RESUMED", "ROLLOUT_STARTED", "SUCCEEDED"],
];
const kills: readonly Kill[] = [...PHASES, PROMOTION].map((phase) => ({ phase, readySeconds: 1, wentOnSeconds: 2 }));
const left = (change: Partial<Left> = {}, kinds = KINDS): Left => ({
  runs: [...PHASES, "SUCCEEDED" as const].map((phase) =>
    someTrainingRun({ runId: "a", phase, endedAt: phase === "SUCCEEDED" ? 1 : null }),
  ),
  events: kinds.map((kind, i) => ({ kind, version: BigInt(i + 1) })) as unknown as Left["events"],
  datasets: [someDataset({ kind: "BASE", version: "b" }), someDataset({ kind: "RETRAINING", version: "d" })],
  models: [someModel({ lineage: {} }), someModel({ version: "2", lineage: { trainingRun: "a" } })],
  aliases: [{ aliases: { challenger: "2" } }, { aliases: { champion: "2" } }] as unknown as Left["aliases"],
  results: ["1"],
  ...change,
});
const failing = (killed: readonly Kill[], one: Left) =>
  killChecks(killed, one).flatMap(({ name, holds, found }) => (holds ? [] : [`${name}: ${found}`]));

test("a training that was killed in every phase, and left what one without kills leaves, holds", () => {
  expect(failing(kills, left())).toEqual([]);
});

test("a phase without a kill, a process that did not come back, and what is there twice are named", () => {
  expect(failing(kills.slice(1), left())[0]).toMatch(/not in QUEUED/);
  const [first, ...others] = kills as readonly [Kill, ...Kill[]];
  expect(failing([{ ...first, wentOnSeconds: null }, ...others], left())).toHaveLength(1);
  expect(failing(kills, left({}, [...KINDS, "PACKED"]))[0]).toMatch(/PACKED 2 times/);
  expect(
    failing(
      kills,
      left(
        {},
        KINDS.filter((kind) => kind !== "FROZEN"),
      ),
    )[0],
  ).toMatch(/FROZEN 0 times/);
  expect(failing(kills, left({ results: ["1", "2"] }))).toEqual(["one attempt's results: 1, 2"]);
  const two = [...left().models, someModel({ version: "3", lineage: { trainingRun: "a" } })];
  expect(failing(kills, left({ models: two }))).toEqual(["one candidate: 2, 3"]);
});
