import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { PackageFolders } from "./package-folders.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tributary-packages-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("package-folders.ts S1: a package is moved whole to its place, over an existing one; all others but the kept ones are deleted", async () => {
  const folders = new PackageFolders(dir);
  const [a, b] = ["a".repeat(64), "b".repeat(64)];
  for (const digest of [a, b]) {
    mkdirSync(folders.incomingDir(digest), { recursive: true });
    writeFileSync(join(folders.incomingDir(digest), "manifest.json"), digest);
  }
  mkdirSync(folders.packageDir(a), { recursive: true });
  writeFileSync(join(folders.packageDir(a), "half"), "");
  await folders.place(a);
  expect(readdirSync(folders.packageDir(a))).toEqual(["manifest.json"]);
  expect(await folders.packages()).toEqual([a]);
  await folders.prune([b]);
  expect([await folders.packages(), existsSync(folders.incomingDir(b))]).toEqual([[], true]);
});
