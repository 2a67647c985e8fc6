/** Label Studio's own code on the other side: it takes our tasks and interface, and we take every form of its export. */
import { execFile } from "node:child_process";
import { createReadStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { NextLabel } from "@tributary/api";
import { tempDir } from "@tributary/testing";
import { python } from "../../../tools/peers.mjs";
import type { Entry } from "./entries.ts";
import { labellingConfigOf, tasksOf } from "./label-studio-tasks.ts";
import { readLabels } from "./read-labels.ts";

const dir = tempDir("label-studio");
afterAll(() => dir.remove());

const CLASSES = ["cat", 'a "quoted" & <odd> name', "Straßenbahn"];
const frames = [1, 2, 3].map((seq) => `cam-1:1700000000000:front:${seq}`);
const items = frames.map(
  (frameId) =>
    ({
      frameId,
      why: "TRAINING",
      training: "3f2a",
      classes: CLASSES,
      answer: { edgeLabel: "cat" },
    }) as unknown as NextLabel,
);

let exported: { readonly classes: readonly string[]; readonly files: readonly string[] };
beforeAll(async () => {
  const folder = join(dir.path, "to label");
  mkdirSync(folder);
  writeFileSync(join(folder, "tasks.json"), tasksOf(items, "to label"));
  writeFileSync(join(folder, "config.xml"), labellingConfigOf(CLASSES));
  const script = join(import.meta.dirname, "peers/label_studio.py");
  const args = [script, folder, join(dir.path, "out"), JSON.stringify(CLASSES)];
  exported = JSON.parse((await promisify(execFile)(python("label-studio"), args)).stdout);
});

test("its interface has our classes", () => expect(exported.classes).toEqual(CLASSES));

test("its export as JSON, JSON-MIN and CSV gives each frame its label", async () => {
  expect(exported.files).toHaveLength(3);
  for (const file of exported.files) {
    const entries: Entry[] = [];
    for await (const entry of readLabels(createReadStream(file, "utf8"), undefined)) entries.push(entry);
    expect(entries).toMatchObject(
      frames.map((frameId, i) => ({ kind: "label", label: { frameId, label: CLASSES[i] } })),
    );
  }
});
