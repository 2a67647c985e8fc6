/** `npm run test:all`: parts that hang, lack a program or are stopped, and what is kept of them for `--resume`. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { repositoryRoot, tempDir, waitFor } from "@tributary/testing";
import { affectedBy, resultOf } from "../../../tools/test-all.mjs";

const MAIN = join(repositoryRoot, "tools/test-all.mjs");
const dir = tempDir("test-all");
afterAll(() => dir.remove());
const at = (name: string) => join(dir.path, name);

/** A part that runs JavaScript. */
const part = (name: string, script: string, minutesMax = 1) => ({
  name: `made-up ${name}`,
  command: ["-e", script],
  dir: "lab/e2e",
  minutesMax,
});
const passing = (name: string) =>
  part(name, `require("node:fs").appendFileSync("${at("ran")}", "${name} "); console.log("3 passed, 0 failed")`);

function runAll(parts: readonly object[], ...args: readonly string[]) {
  writeFileSync(at("parts.json"), JSON.stringify(parts));
  const argv = [MAIN, "--parts", at("parts.json"), "--results", at("results"), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { cwd: repositoryRoot, encoding: "utf8" });
  return { status, lines: stdout.trimEnd().split("\n"), stderr };
}
const ran = () => (existsSync(at("ran")) ? readFileSync(at("ran"), "utf8") : "");
/** A process that nobody has waited for yet is in /proc, and has ended. */
const isAlive = (pid: number) =>
  existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

test("every bench, chaos program and demo is a part", () => {
  const { stdout } = spawnSync(process.execPath, [MAIN, "--list"], { encoding: "utf8" });
  for (const program of ["bench", "chaos", "demo"]) {
    const main = join(repositoryRoot, `lab/${program}/dist/main.js`);
    const help = spawnSync(process.execPath, [main, "--help"], { encoding: "utf8" }).stdout;
    const commands = help.slice(help.indexOf("Commands:")).matchAll(/^ {2}([a-z][a-z-]*) /gm);
    const names = [...commands]
      .map(([, name]) => name)
      .filter((name) => !["help", "list", "plan"].includes(name ?? ""));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) expect(stdout).toMatch(new RegExp(`^${program} ${name} `, "m"));
  }
});

describe("given parts of which some fail", () => {
  test("one that hangs is ended at its limit with what it started, one without its program names it, and the others go on", () => {
    const hanging = `const { pid } = require("node:child_process").spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
      require("node:fs").writeFileSync("${at("pid")}", String(pid)); setInterval(() => {}, 1000);`;
    const { status, lines } = runAll([
      part("hangs", hanging, 0.03),
      part("lacks", `console.error("mosquitto is needed: apt-get install mosquitto"); process.exit(1)`),
      passing("goes-on"),
    ]);
    expect(status).toBe(1);
    const rows = lines.map((line) => line.trimEnd().split(/\s{2,}/));
    expect(rows).toEqual([
      ["part", "seconds", "passed", "failed", "what failed"],
      ["made-up hangs", expect.any(String), "0", "1", "ended at its limit of 0.03 min"],
      ["made-up lacks", expect.any(String), "0", "1", "mosquitto is needed: apt-get install mosquitto"],
      ["made-up goes-on", expect.any(String), "3", "0"],
      ["3 passed, 2 failed"],
    ]);
    expect(isAlive(Number(readFileSync(at("pid"), "utf8")))).toBe(false);
  });

  test("--resume runs those again that did not pass, and no result that is cut or of another commit counts", () => {
    const parts = ["one", "two", "three"].map(passing);
    expect(runAll(parts).lines.at(-1)).toBe("9 passed, 0 failed");
    const [commit] = /(?<=^commit )[^:]+/m.exec(runAll([], "--resume").stderr) ?? [];
    const results = at(`results/${commit}`);
    const two = join(results, "made-up-two.json");
    writeFileSync(two, readFileSync(two, "utf8").replace(`"commit": "${commit}"`, '"commit": "another"'));
    writeFileSync(join(results, "made-up-three.json"), '{ "part": "made-up thr');
    const before = ran();
    const { lines, stderr } = runAll(parts, "--resume");
    expect(ran().slice(before.length)).toBe("two three ");
    expect(stderr).toContain("is of made-up two on commit another: it does not count");
    expect(lines.at(-1)).toBe("9 passed, 0 failed");
    // A disk that takes no result: the part counts, and the error announces that it will run again.
    mkdirSync(join(results, "made-up-one.json.new"));
    expect(runAll([parts[0] as object]).stderr).toMatch(
      /made-up-one.json is not kept, and --resume will run the part again/,
    );
  });

  test("a signal ends the current part and prints the table", async () => {
    writeFileSync(
      at("parts.json"),
      JSON.stringify([passing("before"), part("now", "setInterval(() => {}, 1000)"), passing("after")]),
    );
    const args = [MAIN, "--parts", at("parts.json"), "--results", at("results")];
    const child = spawn(process.execPath, args, { cwd: repositoryRoot });
    let [out, err] = ["", ""];
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    await waitFor(() => err.includes("[2/3] made-up now: at most"), { what: "the second part" });
    child.kill("SIGTERM");
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(code).toBe(143);
    expect(out).toMatch(/made-up now .*stopped by SIGTERM/);
    expect(out).toMatch(/^1 parts were not run$/m);
  });

  test("an unknown part is refused", () => {
    const { status, stderr } = runAll([passing("one")], "no-such-part");
    expect([status, stderr]).toEqual([2, expect.stringContaining('no part begins with "no-such-part"')]);
  });
});

test("a program's checks are counted, and those that fail are named", () => {
  const bench = "| gate | measured |  |\n| p50 | 1.1 | passed |\n| p99 | 1.4 | FAILED |\n";
  expect(resultOf(bench, 1, [])).toEqual({
    ...{ ended: "failed", passed: 1, failed: 1 },
    failures: ["| p99 | 1.4 | FAILED |"],
  });
  expect(resultOf("| nothing lost | holds | 0 |\n| lag | holds | 2 s |\n", 0, [])).toMatchObject({
    passed: 2,
    failed: 0,
  });
  expect(resultOf("", "SIGKILL", [])).toMatchObject({ failed: 1, failures: ["exit code SIGKILL:"] });
});

describe("given a graph of packages", () => {
  const graph = {
    nodes: Object.fromEntries(["libs/a", "services/b", "lab/c"].map((root) => [root, { data: { root } }])),
    dependencies: { "services/b": [{ target: "libs/a" }], "lab/c": [{ target: "services/b" }], "libs/a": [] },
  };
  test.each([
    ["a library", ["libs/a/src/x.ts"], ["libs/a", "services/b", "lab/c"]],
    ["a service", ["services/b/src/x.ts"], ["services/b", "lab/c"]],
    ["a document", ["docs/x.md", "README.md"], []],
    ["a tool", ["tools/x.mjs"], ["libs/a", "services/b", "lab/c"]],
  ])("a change of %s concerns those that depend on it", (_, changed, concerned) => {
    expect([...affectedBy(changed, graph)]).toEqual(concerned);
  });
});
