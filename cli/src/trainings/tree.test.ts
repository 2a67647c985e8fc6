import { expect, test } from "@jest/globals";
import type { TrainingDetail } from "@tributary/api";
import { someTraining } from "./some-training.test-kit.ts";
import { trainingTree } from "./tree.ts";

const now = Date.parse("2026-01-01T01:00:00Z");
const treeOf = (change: Partial<TrainingDetail>, at: number | null = now) =>
  trainingTree(someTraining(change), at, (_style, text) => text);

test("a training that waits for labels shows how many, and the command that asks for them", () => {
  expect(treeOf({}).split("\n")).toEqual([
    "Training:  3f2a9c0d11e4",
    "Model:     edge, site=north",
    "Status:    ◌ LABELLING 40m ago",
    "Message:   212 of 600 labels",
    "Asked for: 50m ago by trainer: Frames of site=north are lost since 00:00",
    "",
    "├─ ✔ cause      VERDICT 0123456789ab                   tributary drift explain 0123456789ab",
    "├─ ◌ labels     212 of 600                             tributary labels next --training 3f2a9c0d11e4 --save FOLDER",
    "├─ · dataset",
    "├─ · training",
    "├─ · candidate",
    "├─ · gate",
    "└─ · rollout",
  ]);
  expect(treeOf({}, null)).toContain("Status:    ◌ LABELLING at 2026-01-01T00:20:00.000Z");
});

const frozen = { datasetVersion: "abc", jobId: "job-1", backend: "local", parentVersion: "1", progress: 1 } as const;

test("one that ended shows the stage at which it did", () => {
  const endedAt = new Date(now - 60_000).toISOString();
  const failed = treeOf({ ...frozen, phase: "FAILED", message: "the job ran out of memory", attempt: 3, endedAt });
  expect(failed).toContain("├─ ✔ training   job-1 by local, attempt 3, 100 %");
  expect(failed).toContain("├─ ✖ candidate  failed");
  const refused = treeOf({ phase: "REFUSED", labelsHave: 20, labelsWanted: 200, endedAt });
  expect(refused).toContain("├─ ✖ dataset    refused");
  const won = treeOf({ ...frozen, phase: "SUCCEEDED", candidateVersion: "2", rolloutUid: "r-1", endedAt });
  expect(won).not.toMatch(/[·✖◌]/);
  expect(won).toContain("tributary rollout status r-1");
});

test("one that gives nothing succeeded without a candidate", () => {
  const endedAt = new Date(now - 60_000).toISOString();
  const tree = treeOf({
    ...frozen,
    phase: "SUCCEEDED",
    message: "this training gives nothing: every blend does harm",
    endedAt,
  });
  expect(tree).toContain("├─ ✔ candidate  none: it gives nothing");
  expect(tree).toMatch(/├─ · gate\n└─ · rollout$/);
});

test("one that a person decides on names both commands", () => {
  const held = treeOf({ ...frozen, candidateVersion: "2", phase: "HELD", message: "gate unsure" });
  expect(held).toContain("├─ ॥ gate       held");
  expect(held).toContain("tributary train resume 3f2a9c0d11e4, or train cancel");
});
