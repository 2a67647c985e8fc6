import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { coresOf, raiseThisThread } from "./cores.ts";

describe("cores", () => {
  test.each([
    ["0-3", { frames: "0,1,2", background: "3" }],
    ["0-1", { frames: "0", background: "1" }],
    ["0,2-3\n", { frames: "0,2", background: "3" }],
    ["4-5,7", { frames: "4,5", background: "7" }],
  ])("of %j the last is the background's", (allowed, cores) => {
    expect(coresOf(allowed)).toEqual(cores);
  });

  test.each(["0", "3", ""])("%j leaves nothing to set apart", (allowed) => {
    expect(coresOf(allowed)).toBeNull();
  });
});

test("a thread gets a real-time class if permitted, and threads that it starts do not (cores.ts Q2)", () => {
  // The policy is the 41st field: 0 other, 2 round robin.
  const policyOf = (task: string) => Number(readFileSync(`/proc/${task}/stat`, "utf8").split(") ")[1]?.split(" ")[38]);
  const may = spawnSync("chrt", ["--rr", "2", "true"]).status === 0;
  const before = policyOf("thread-self");
  const child = () => spawnSync("cat", ["/proc/self/stat"], { encoding: "utf8" }).stdout;
  try {
    expect(raiseThisThread(2)).toBe(may);
    expect(policyOf("thread-self")).toBe(may ? 2 : before);
    expect(child().split(") ")[1]?.split(" ")[38]).toBe("0");
  } finally {
    const thread = readlinkSync("/proc/thread-self").split("/").at(-1) ?? "";
    spawnSync("chrt", ["--other", "--pid", "0", thread]);
  }
  expect(policyOf("thread-self")).toBe(before);
});

test("a process that goes ahead of its host is ended when it computes without a rest, and not when it rests (cores.ts Q3)", () => {
  const may = spawnSync("chrt", ["--rr", "2", "true"]).status === 0;
  const runs = (work: string) => {
    const cores = new URL("../dist/cores.js", import.meta.url);
    const raised = `import { raiseThisProcess } from ${JSON.stringify(cores.href)}; raiseThisProcess({ priority: 2, computesMsMax: 100 });`;
    const args = ["--input-type=module", "--eval", `${raised} ${work}`];
    return spawnSync(process.execPath, args, { timeout: 10_000, killSignal: "SIGKILL" });
  };
  const compute = (ms: number) => `for (const end = Date.now() + ${ms}; Date.now() < end; );`;
  expect(runs(compute(2_000)).signal).toBe(may ? "SIGXCPU" : null);
  expect(
    runs(`for (let i = 0; i < 10; i++) { ${compute(30)} await new Promise((next) => setTimeout(next, 5)); }`).status,
  ).toBe(0);
});

test("a limit that cannot be set is named, and nothing is raised without it (cores.ts Q3)", () => {
  const cores = new URL("../dist/cores.js", import.meta.url);
  const raised = `import { raiseThisProcess } from ${JSON.stringify(cores.href)}; console.log(raiseThisProcess({ priority: 2, computesMsMax: 100 }));`;
  const args = ["--input-type=module", "--eval", raised];
  const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8", env: { PATH: "/nowhere" } });
  expect(stdout).toMatch(/^util-linux's prlimit cannot limit how long it computes: .*ENOENT/);
});
