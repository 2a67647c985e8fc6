import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { ensureTrust } from "./trust.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-trust-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("a root is made once; one whose creation was interrupted is created again", async () => {
  const ensure = () => ensureTrust(join(dir, "registry"), join(dir, "root-keys"));
  const root = await ensure();
  const made = await readFile(root);
  expect(await ensure()).toBe(root);
  expect((await readFile(root)).equals(made)).toBe(true);
  await rm(root);
  expect(await ensure()).toBe(root);
  expect((await readFile(root)).equals(made)).toBe(false);
});
