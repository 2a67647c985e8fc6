import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parsePreprocessing } from "@tributary/inference";
import { modelFacts, parseGraph } from "@tributary/onnx";
import { sampleFrames, tempDir } from "@tributary/testing";
import { trainableOf } from "@tributary/training/graph";
import sharp from "sharp";
import {
  frameOf,
  heldOutTasks,
  modelFiles,
  openTask,
  openTasks,
  type Photo,
  type Place,
  type Task,
  taskNames,
  writeFrames,
} from "./index.ts";

const SPLITS = ["base", "validation", "seen"] as const;

const dir = tempDir("task-frames");
afterAll(() => dir.remove());

const digestOf = (pixels: Uint8Array): string => createHash("sha256").update(pixels).digest("base64");

describe.each(taskNames)("%s", (name) => {
  let task: Task;
  beforeAll(async () => {
    task = await openTask(name);
  });

  test("no photo is in two splits, and each has a class and its size", () => {
    const splits = SPLITS.map((split) => new Set(task[split].map(({ photo }) => digestOf(photo.pixels))));
    expect(new Set(splits.flatMap((split) => [...split])).size).toBe(splits.reduce((sum, { size }) => sum + size, 0));
    for (const { photo, label } of SPLITS.flatMap((split) => task[split])) {
      expect(task.labels[label]).toBeDefined();
      expect(photo.pixels.length).toBe(photo.width * photo.height * photo.channels);
    }
  });

  test("each split has photos of every class, and as many as benches need", () => {
    for (const split of SPLITS) expect(new Set(task[split].map(({ label }) => label)).size).toBe(task.labels.length);
    expect(task.validation.length).toBeGreaterThanOrEqual(300);
    expect(task.validation.length).toBeLessThanOrEqual(600);
    expect(Math.min(task.base.length, task.seen.length)).toBeGreaterThanOrEqual(name === "digits" ? 300 : 700);
  });

  test("places have mixes of their own, the first the validation set's", () => {
    expect(task.places.length).toBeGreaterThanOrEqual(6);
    const [first, ...others] = task.places as readonly [Place, ...Place[]];
    for (const { mix } of [first, ...others]) {
      expect(mix).toHaveLength(task.labels.length);
      expect(mix.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1);
      expect(Math.min(...mix)).toBeGreaterThanOrEqual(0);
    }
    const shares = task.labels.map((_, label) => task.validation.filter((one) => one.label === label).length);
    expect(first.mix).toEqual(shares.map((count) => count / task.validation.length));
    expect(new Set(task.places.map(({ mix }) => JSON.stringify(mix))).size).toBe(task.places.length);
  });

  test("a frame is a JPEG of the task's side, grey where photos are", async () => {
    const photo = task.seen[0]?.photo as Photo;
    const { format, width, height, channels } = await sharp(await frameOf(task, photo)).metadata();
    expect({ format, width, height, channels }).toEqual({
      format: "jpeg",
      width: task.frameSide,
      height: task.frameSide,
      channels: photo.channels,
    });
  });

  test("both models answer its classes, and the edge's can be retrained without a framework", async () => {
    for (const role of ["edge", "cloud"] as const) {
      const files = modelFiles(task[role]);
      const labels = await readFile(files.labels, "utf8");
      expect(files.labels.endsWith(".json") ? JSON.parse(labels) : labels.trim().split("\n")).toEqual(task.labels);
      expect(parsePreprocessing(JSON.parse(await readFile(files.preprocess, "utf8"))).resize).not.toBeNull();
    }
    const model = await readFile(modelFiles(task.edge).model);
    const facts = modelFacts(model);
    const logits = facts?.outputs.find(({ name: output }) => output !== "features");
    const tensors = { input: facts?.inputs[0]?.name ?? "", logits: logits?.name ?? "" };
    const trainable = trainableOf(parseGraph(model), tensors);
    expect(trainable.classes).toBe(task.labels.length);
    const numbers = trainable.parameters.reduce((sum, { data }) => sum + data.length, 0);
    expect(numbers).toBeLessThan(80_000);
  });
});

test("the frames of the sample's photos are the sample camera's", async () => {
  const task = await openTask("objects");
  const [, second] = await sampleFrames(2);
  expect(await frameOf(task, task.base[1]?.photo as Photo)).toEqual(second?.jpeg);
});

test("tasks are chosen by name, and a task is decoded once", async () => {
  const [digits, objects] = await openTasks("digits, objects");
  expect([digits?.name, objects?.name]).toEqual(["digits", "objects"]);
  expect(digits).toBe(await openTask("digits"));
  const seen = (await openTasks("seen")).map(({ name }) => name);
  expect([...seen, ...heldOutTasks].toSorted()).toEqual(taskNames.toSorted());
  await expect(openTasks("digits,cats,digits")).rejects.toThrow(
    /no task "cats": all, seen, or of objects, digits, water/,
  );
  await expect(openTask("cats")).rejects.toThrow(/no task "cats"/);
});

test("frames become a folder with their classes", async () => {
  const task = await openTask("digits");
  const some = task.seen.slice(0, 3);
  await writeFrames(task, some, dir.path);
  const named = JSON.parse(await readFile(join(dir.path, "labels.json"), "utf8"));
  expect(Object.values(named)).toEqual(some.map(({ label }) => task.labels[label]));
  expect(await readFile(join(dir.path, "00002.jpg"))).toEqual(await frameOf(task, some[2]?.photo as Photo));
});
