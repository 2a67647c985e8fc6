/** `npm start` as a person uses it. Building and installing stand before it (tools/start.mjs); here it is built. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { type SpawnedService, spawnProcess, tempDir, waitFor } from "@tributary/testing";

const MINUTE = 60_000;

describe("npm start", () => {
  const dir = tempDir("start");
  let running: Omit<SpawnedService, "ports"> | undefined;
  const start = (...args: string[]) =>
    spawnProcess({ name: "start", main: "local-stack/dist/main.js", args, env: { TRIBUTARY_RUN_DIR: dir.path } });
  afterAll(async () => {
    if (running?.alive()) await running.stop(30_000);
    dir.remove();
  });

  test("refuses what it does not know, all at once, with exit code 2", async () => {
    const wrong = start("--frame", "10", "--devices", "0", "--exit");
    expect(await wrong.exited).toEqual({ code: 2, signal: null });
    const said = wrong.lines().join("\n");
    for (const part of ["--frame is not an option", "--devices 0", "--exit needs --frames"])
      expect(said).toContain(part);
  });

  test(
    "after a kill -9 of the launcher, the next start reclaims what it left, runs to the end and leaves no process",
    async () => {
      running = start("--devices", "1");
      const killed = running;
      await waitFor(() => killed.lines().some((line) => line.includes("ready in")), {
        what: "the stack",
        timeoutMs: MINUTE,
      });
      const left = pidsIn(dir.path);
      expect(left.length).toBeGreaterThanOrEqual(6);
      await killed.kill();
      expect(left.filter(isAlive)).toEqual(left);

      const report = join(dir.path, "report.json");
      running = start("--devices", "2", "--frames", "60", "--exit", "--report", report);
      const { code } = await running.exited;
      expect({ code, end: code === 0 ? [] : running.lines().slice(-15) }).toEqual({ code: 0, end: [] });
      expect(left.filter(isAlive)).toEqual([]);
      expect(running.lines().join("\n")).toMatch(/ended \d+ processes that an earlier run had left/);
      expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({
        frames: 60,
        devices: 2,
        lost: 0,
        duplicates: 0,
      });
    },
    4 * MINUTE,
  );

  test(
    "stops everything on SIGTERM",
    async () => {
      running = start("--devices", "1");
      const stopped = running;
      await waitFor(() => stopped.lines().some((line) => line.includes("ready in")), {
        what: "the stack",
        timeoutMs: MINUTE,
      });
      const pids = pidsIn(dir.path);
      expect((await stopped.stop(MINUTE)).code).toBe(0);
      expect(pids.filter(isAlive)).toEqual([]);
    },
    3 * MINUTE,
  );
});

const pidsIn = (dir: string): number[] => {
  const { parts } = JSON.parse(readFileSync(join(dir, "state.json"), "utf8")) as {
    parts: Record<string, { pid: number }>;
  };
  return Object.values(parts).map(({ pid }) => pid);
};

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
