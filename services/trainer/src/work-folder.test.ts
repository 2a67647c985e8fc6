import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { identify } from "@tributary/kernel/processes";
import { tempDir } from "@tributary/testing";
import { openWorkFolder } from "./work-folder.ts";

const dir = tempDir("work-folder");
afterAll(() => dir.remove());

test("what killed processes left is removed, and what another instance works on stays", async () => {
  const own = await openWorkFolder(dir.path);
  writeFileSync(join(own, "photo.jpg"), "");
  const place = basename(own).split("-")[0];
  const other = spawn("sleep", ["60"]);
  try {
    const { pid, startedAt } = identify(other.pid as number) as { pid: number; startedAt: string };
    const kept = [`${place}-${pid}-${startedAt}`, `0123456789ab-${pid}-1`];
    for (const name of [...kept, `${place}-${pid}-1`, "freeze-3xYz"]) mkdirSync(join(dir.path, name));
    expect(await openWorkFolder(dir.path)).toBe(own);
    expect(readdirSync(dir.path).sort()).toEqual([basename(own), ...kept].sort());
    expect(readdirSync(own)).toEqual([]);
  } finally {
    other.kill();
  }
});
