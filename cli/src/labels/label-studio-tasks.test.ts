import { expect, test } from "@jest/globals";
import type { NextLabel } from "@tributary/api";
import { entryOfElement } from "./label-studio.ts";
import { labellingConfigOf, tasksOf } from "./label-studio-tasks.ts";

const item = {
  frameId: "cam-1:5:front:7",
  why: "TRAINING",
  training: "3f2a",
  classes: ["cat"],
  answer: { edgeLabel: "cat" },
} as unknown as NextLabel;

test("a saved frame as a task of Label Studio is imported again once it is annotated", () => {
  const [task] = JSON.parse(tasksOf([item], "to label"));
  expect(task.data.image).toBe("/data/local-files/?d=to%20label/cam-1.5.front.7.jpg");
  const annotations = [{ result: [{ from_name: "label", value: { choices: ["frog"] } }], completed_by: 1 }];
  const entryOf = (data: object) => entryOfElement(1, JSON.stringify({ data, annotations, project: 1 }), {});
  const label = { frameId: item.frameId, label: "frog" };
  expect(entryOf(task.data)).toMatchObject({ kind: "label", label });
  expect(entryOf({ image: task.data.image })).toMatchObject({ kind: "label", label });
});

test("the labelling interface has the classes, escaped", () => {
  expect(labellingConfigOf(["cat", '"<x>'])).toContain('<Choice value="&#34;&#60;x&#62;"/>');
});
