import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { cloudPackage, edgePackage } from "./paths.ts";
import { taskOf } from "./task.ts";

const dir = tempDir("task");
afterAll(() => dir.remove());
const at = (name: string) => join(dir.path, name);
const jpeg = Buffer.from("ffd8ffd9", "hex");
const folder = at("photos");
mkdirSync(folder);
for (const name of ["b.jpg", "a.JPEG"]) writeFileSync(join(folder, name), jpeg);
const labels = (name: string, content: unknown) => {
  writeFileSync(at(name), JSON.stringify(content));
  return at(name);
};

const nothing = {
  packages: undefined,
  camera: undefined,
  labels: undefined,
  lightDevices: 0,
  devices: undefined,
  fps: undefined,
};
const task = (change: Partial<Parameters<typeof taskOf>[0]>) => taskOf({ ...nothing, ...change });
const problems = async (change: Parameters<typeof task>[0]) => {
  const resolved = await task(change);
  return resolved.kind === "wrong" ? resolved.problems : [];
};

describe("what the system shall do", () => {
  test("is the sample task by default", async () => {
    expect(await task({})).toMatchObject({
      task: { camera: { kind: "sample" }, devices: 4, edge: { dir: edgePackage }, cloud: { dir: cloudPackage } },
    });
  });

  test("is a folder, in the order of its names, with its labels", async () => {
    const known = labels("labels.json", { "a.JPEG": "cat" });
    expect(await task({ camera: folder, labels: known, lightDevices: 8 })).toMatchObject({
      task: {
        camera: { kind: "folder", photos: ["a.JPEG", "b.jpg"], labels: new Map([["a.JPEG", "cat"]]) },
        devices: 4,
      },
    });
  });

  test("is a program, for one device unless more are wanted", async () => {
    expect(await task({ camera: "sh -c 'cat *.jpg'" })).toMatchObject({
      task: { camera: { kind: "command", command: expect.arrayContaining(["-c", "cat *.jpg"]) }, devices: 1 },
    });
  });

  test("has every problem named at once", async () => {
    const wrong = labels("wrong.json", { "a.JPEG": "kiwi", "b.jpg": "cat", "c.jpg": "cat" });
    const found = await problems({
      packages: { edge: cloudPackage, cloud: at("none") },
      camera: folder,
      labels: wrong,
    });
    expect(found).toEqual([
      expect.stringMatching(/^--cloud-package .*none: .*no model package; npx tributary models pack/),
      expect.stringMatching(/^--edge-package .*no policy\.json.*pack it again with --cloud .*none/),
      expect.stringMatching(/1 of 3 are not names of JPEGs in .*c\.jpg/),
      expect.stringMatching(/1 of 3 name a class that the models do not have \(airplane, .*kiwi/),
    ]);
  });

  test.each([
    ["an empty folder", { camera: dir.path }, /it has no \.jpg or \.jpeg/],
    [
      "a program that is not there",
      { camera: "no-such-program -x" },
      /no folder of that name, and no program no-such-program/,
    ],
    ["a shell's words", { camera: "cat a.jpg | head" }, /runs without a shell/],
    ["light devices of a program", { camera: "cat a.jpg", lightDevices: 8 }, /--light-devices needs --camera FOLDER/],
    ["labels of a program's pictures", { camera: "cat a.jpg", labels: "l" }, /--labels needs --camera FOLDER/],
    ["a program's pace", { camera: "cat a.jpg", fps: 5 }, /sets its own rate/],
    ["labels that are none", { camera: folder, labels: labels("list.json", ["cat"]) }, /file -> class/],
  ])("refuses %s", async (_, change, problem) => {
    expect(await problems(change)).toEqual([expect.stringMatching(problem)]);
  });

  test("refuses JPEGs that are cut short, with their number", async () => {
    const cut = at("cut");
    mkdirSync(cut);
    writeFileSync(join(cut, "a.jpg"), jpeg);
    writeFileSync(join(cut, "b.jpg"), jpeg.subarray(0, 2));
    expect(await problems({ camera: cut })).toEqual([
      expect.stringMatching(/1 of 2 files are not complete JPEGs, e\.g\. b\.jpg/),
    ]);
  });
});
