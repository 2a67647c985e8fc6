import { expect, test } from "@jest/globals";
import type { TrainingEvent } from "@tributary/contracts";
import { someTrainingRun } from "@tributary/testing";
import { detailOf, matchesTraining } from "./training.ts";
import { TrainingTable } from "./training-table.ts";

const eventOf = (runId: string, version: bigint): TrainingEvent => ({
  runId,
  version,
  at: 0,
  by: "trainer",
  model: "edge",
  kind: "LABELS_COUNTED",
  details: '{"phase":"LABELLING"}',
});
const all = { state: "all" } as const;

test("of a training the newest version holds; of many, ended ones are forgotten first", () => {
  const published: string[] = [];
  const limits = { rememberedMax: 2, historyBytesMax: 10_000 };
  const table = new TrainingTable(limits, { publish: ({ runId, version }) => published.push(`${runId} ${version}`) });
  table.stands(someTrainingRun({ runId: "a", version: 2n }));
  table.stands(someTrainingRun({ runId: "a", version: 1n, phase: "QUEUED" }));
  expect([table.get("a").phase, table.open, published]).toEqual(["LABELLING", 1, ["a 2"]]);
  table.stands(someTrainingRun({ runId: "b", phase: "FAILED", endedAt: 1e12, requestedAt: 2e12 }));
  expect(table.list(all, 9).map(({ runId }) => runId)).toEqual(["b", "a"]);
  expect(table.list({ state: "ended" }, 9).map(({ runId }) => runId)).toEqual(["b"]);
  table.stands(someTrainingRun({ runId: "c" }));
  expect(table.list(all, 9).map(({ runId }) => runId)).toEqual(["a", "c"]);
  expect(() => table.get("b")).toThrow(/No training b is known/);
});

test("events are in order and counted once; those beyond the bound are named as missing", () => {
  const table = new TrainingTable({ rememberedMax: 10, historyBytesMax: 1_000 }, { publish: () => {} });
  for (const runId of ["a", "b"]) table.stands(someTrainingRun({ runId }));
  for (const version of [1n, 2n, 2n, 1n]) table.happened(eventOf("a", version));
  expect(table.history("a").map(({ version }) => version)).toEqual([1n, 2n]);
  for (const version of [1n, 2n, 3n]) table.happened(eventOf("b", version));
  expect(() => table.history("a")).toThrow(/historyBytesMax/);
  expect(table.history("b")).toHaveLength(3);
});

test("evidence that is no JSON costs nothing else", () => {
  expect(detailOf(someTrainingRun({ evidence: "[" }))).toMatchObject({ evidence: {}, devices: ["cam-1", "cam-2"] });
  expect(matchesTraining(someTrainingRun(), { state: "open", phase: "LABELLING", model: "edge" })).toBe(true);
});
