import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { identify, isAlive, startTimeOf } from "@tributary/kernel/processes";
import { tempDir, waitFor } from "@tributary/testing";
import { openJournal, STACK_MARK } from "./journal.ts";
import { marked } from "./proc.ts";

describe("the journal", () => {
  const children: ChildProcess[] = [];
  const dirs: ReturnType<typeof tempDir>[] = [];
  const sleeper = (env: NodeJS.ProcessEnv = {}): number => {
    const child = spawn("sleep", ["60"], { env: { ...process.env, ...env }, stdio: "ignore" });
    children.push(child);
    return child.pid as number;
  };
  const dir = () => {
    const fresh = tempDir("journal");
    dirs.push(fresh);
    return fresh.path;
  };
  /** As if the launcher that wrote the journal were gone: a kill -9 leaves just this. */
  const launcherDies = (path: string) => {
    const file = join(path, "state.json");
    const state = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...state, launcher: { pid: 999_999_999, startedAt: "1" } }));
  };
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    for (const { remove } of dirs.splice(0)) remove();
  });

  test("of a dead launcher has its parts ended, and what they started, found by the stack's mark", async () => {
    const path = dir();
    const { journal } = await openJournal(path);
    const part = identify(sleeper());
    const grandchild = identify(sleeper(journal.env as Record<string, string>));
    if (part === undefined || grandchild === undefined) throw new Error("no sleeper");
    journal.started("bridge", part.pid);
    launcherDies(path);
    const { reclaimed } = await openJournal(path);
    expect(reclaimed).toBe(2);
    expect([isAlive(part), isAlive(grandchild)]).toEqual([false, false]);
  });

  test("a launcher that ends without stopping its stack ends the stack as well", async () => {
    const script = `
      const [{ openJournal }, { spawn }] = await Promise.all([import(process.argv[1]), import("node:child_process")]);
      const { journal } = await openJournal(process.argv[2]);
      const part = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
      journal.started("bridge", part.pid);
      spawn("sleep", ["60"], { detached: true, stdio: "ignore", env: journal.env });
      process.stdout.write(journal.stackId + " " + part.pid, () => process.exit(3));`;
    const journalJs = new URL("../dist/journal.js", import.meta.url).href;
    const launcher = spawn(process.execPath, ["--input-type=module", "-e", script, journalJs, dir()]);
    let output = "";
    launcher.stdout.on("data", (chunk: Buffer) => {
      output += chunk;
    });
    expect(await new Promise((resolve) => launcher.once("close", resolve))).toBe(3);
    const [stackId = "", pid] = output.split(" ");
    const left = () => marked(STACK_MARK, stackId).length + (startTimeOf(Number(pid)) === undefined ? 0 : 1);
    await waitFor(() => left() === 0, { what: "the stack's end" });
  });

  test("leaves a process alone that has an old pid but another start time", async () => {
    const path = dir();
    const stranger = identify(sleeper());
    if (stranger === undefined) throw new Error("no sleeper");
    writeFileSync(
      join(path, "state.json"),
      JSON.stringify({ stackId: "gone", launcher: undefined, parts: { bridge: { ...stranger, startedAt: "1" } } }),
    );
    expect((await openJournal(path)).reclaimed).toBe(0);
    expect(isAlive(stranger)).toBe(true);
  });

  test("of a living launcher is not taken over", async () => {
    const path = dir();
    const other = identify(sleeper());
    writeFileSync(join(path, "state.json"), JSON.stringify({ stackId: "here", launcher: other, parts: {} }));
    await expect(openJournal(path)).rejects.toThrow(/a stack already runs here/);
  });
});
