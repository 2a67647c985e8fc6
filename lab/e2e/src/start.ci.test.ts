/** `npm start` as a person uses it. tools/run.mjs installs and builds; here it is built already. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { exitFlags } from "@tributary/kernel";
import { identify } from "@tributary/kernel/processes";
import { repositoryRoot, type SpawnedService, spawnProcess, tempDir, waitFor } from "@tributary/testing";

const MINUTE = 60_000;
/** A bound for machines with much else to do. */
const START_MS_MAX = 4 * MINUTE;
const FRAMES = 120;
/** Slow enough that the light devices, which start beside the cameras, answer some of them. */
const FPS = 5;
/** Time for the cloud's answer, also of a machine with much else to do. */
const DEADLINE_MS = 20_000;

describe("npm start", () => {
  const dir = tempDir("start");
  const at = (name: string) => join(dir.path, name);
  const stack = at("stack");
  let running: Omit<SpawnedService, "ports"> | undefined;
  let packing: Promise<void>;
  const start = (...args: string[]) => {
    running = spawnProcess({
      name: "start",
      main: "lab/stack/dist/main.js",
      args,
      env: { TRIBUTARY_RUN_DIR: stack },
    });
    return running;
  };
  const isPrinted = (line: string) => running?.lines().some((one) => one.includes(line));
  beforeAll(() => {
    packing = packDigits(dir.path);
    packing.catch(() => undefined);
  });
  afterAll(async () => {
    if (running?.alive()) await running.stop(30_000);
    dir.remove();
  }, MINUTE);

  test(
    "refuses what it does not know, and what is not there, all at once, with exit code 2",
    async () => {
      const refused = async (...args: string[]) => {
        const wrong = start(...args);
        expect(await wrong.exited).toEqual({ code: 2, signal: null });
        return wrong.lines().join("\n");
      };
      const options = await refused("--frame", "10", "--devices", "0", "--exit");
      for (const part of ["--frame is not an option", "--devices 0", "--exit needs --frames"])
        expect(options).toContain(part);
      const task = await refused("--edge-package", at("e"), "--cloud-package", at("c"), "--camera", "no-such-program");
      for (const part of [`--edge-package ${at("e")}`, `--cloud-package ${at("c")}`, "--camera no-such-program"])
        expect(task).toContain(part);
    },
    MINUTE,
  );

  // The digits share nothing with the samples but the contract: grey, 300x300, two classes, other layouts and ranges, tensors
  // of other names.
  test(
    "after a kill -9 of the launcher, the next start reclaims what it left, runs models and photos of one's own to the end, and leaves nothing",
    async () => {
      const killed = start("--devices", "1");
      const left = await waitFor(() => (pidsIn(stack).length >= 6 ? pidsIn(stack) : undefined), {
        what: "Kafka and the services",
        timeoutMs: START_MS_MAX,
      });
      await killed.kill();
      expect(left.filter(isAlive)).toEqual(left);

      await packing;
      const own = start(
        "--edge-package",
        at("edge"),
        "--cloud-package",
        at("cloud"),
        "--camera",
        at("frames"),
        "--labels",
        at("frames/labels.json"),
        "--light-devices",
        "2",
        "--devices",
        "2",
        "--frames",
        String(FRAMES),
        "--fps",
        String(FPS),
        "--exit",
        "--report",
        at("report.json"),
      );
      await waitFor(() => isPrinted("ready in"), { what: "the stack", timeoutMs: START_MS_MAX });
      expect(left.filter(isAlive)).toEqual([]);
      expect(isPrinted("processes that an earlier run had left")).toBe(true);
      expect(isPrinted("the last run here had other classes: what it left is in")).toBe(true);
      const pids = pidsIn(stack);
      expect(pids.length).toBeGreaterThanOrEqual(8);
      const { code } = await own.exited;
      expect({ code, end: code === 0 ? [] : own.lines().slice(-15) }).toEqual({ code: 0, end: [] });
      expect(pids.filter(isAlive)).toEqual([]);
      expect(own.lines().join("\n")).toMatch(/first final answer after [\d.]+ s: frame \d+ of .* is "(odd|even)"/);
      const report = JSON.parse(readFileSync(at("report.json"), "utf8"));
      expect(report).toMatchObject({
        frames: FRAMES,
        devices: 2,
        lost: 0,
        duplicates: 0,
        models: { edge: "edge 1.0.0", cloud: "cloud 1.0.0" },
        accuracy: { edge: { photos: FRAMES }, hybrid: { frames: FRAMES } },
      });
      expect(report.accuracy.hybrid.share).toBeGreaterThan(0.85);
      expect(report.cloudAnswers).toBeGreaterThan(0);
      expect(report.light.answers).toBeGreaterThan(0);
    },
    4 * MINUTE + 2 * START_MS_MAX,
  );
});

async function packDigits(dir: string): Promise<void> {
  const digits = join(repositoryRoot, "samples/digits");
  const run = (...args: readonly string[]) =>
    promisify(execFile)(process.execPath, [...exitFlags, ...args], { cwd: repositoryRoot });
  const pack = (name: string, ...more: readonly string[]) =>
    run(
      "cli/dist/main.js",
      "models",
      "pack",
      join(dir, name),
      "--model",
      join(digits, name, "model.onnx"),
      "--labels",
      join(digits, name, "labels.txt"),
      "--preprocess",
      join(digits, name, "preprocess.json"),
      "--validation",
      join(dir, "validation"),
      ...more,
    );
  await run("samples/digits/frames.mjs", "validation", join(dir, "validation"), String(FRAMES));
  await run("samples/digits/frames.mjs", "test", join(dir, "frames"), String(FRAMES));
  await pack("cloud");
  writeFileSync(join(dir, "policy.json"), JSON.stringify({ deadlineMs: DEADLINE_MS }));
  await pack("edge", "--cloud", join(dir, "cloud"), "--policy", join(dir, "policy.json"));
}

function pidsIn(dir: string): number[] {
  const file = join(dir, "state.json");
  if (!existsSync(file)) return [];
  const { parts } = JSON.parse(readFileSync(file, "utf8")) as { parts: Record<string, { pid: number }> };
  return Object.values(parts).map(({ pid }) => pid);
}

const isAlive = (pid: number): boolean => identify(pid) !== undefined;
