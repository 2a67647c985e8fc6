/** The commands of a fresh clone: if something is missing they name it, and stop; nx runs the tests that a change affects. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { repositoryRoot, tempDir } from "@tributary/testing";

describe("given a machine on which something is missing", () => {
  const dir = tempDir("tools");
  afterAll(() => dir.remove());
  const program = (name: string, text: string) => {
    const file = join(dir.path, name);
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
  };
  const run = (...args: string[]) => {
    const { JAVA_HOME: _, ...env } = process.env;
    return spawnSync(process.execPath, args, {
      cwd: repositoryRoot,
      encoding: "utf8",
      env: { ...env, PATH: dir.path },
    });
  };
  symlinkSync(process.execPath, join(dir.path, "node"));
  program("npm", "echo 10");

  test("when there is no Java, then npm start asks for Java 17 or newer", () => {
    const { status, stderr } = run("tools/run.mjs", "start", "--frames", "1", "--exit");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^Java 17 or newer is needed: "java" was not found; install /m);
    expect(stderr).not.toMatch(/ at .*:\d+/); // Advice, not a stack trace.
  });

  test("when Java is too old, then npm test names its version, and counts itself failed", () => {
    program("java", `echo 'openjdk version "11.0.2" 2019-01-15' >&2`);
    const { status, stderr, stdout } = run("tools/test.mjs");
    expect(status).toBe(1);
    expect(stderr).toMatch(/Java 17 or newer is needed: "java" is version "11.0/);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe("0 passed, 1 failed");
    expect(existsSync(join(repositoryRoot, "node_modules"))).toBe(true);
  });
});

describe("given a change in one package", () => {
  const testsOf = (file: string): string[] => {
    const args = ["node_modules/nx/dist/bin/nx.js", "affected", "-t", "test", `--files=${file}`, "--graph=stdout"];
    const options = { cwd: repositoryRoot, encoding: "utf8", maxBuffer: 2 ** 26 } as const; // It prints the graph of all packages.
    const { stdout, stderr } = spawnSync(process.execPath, args, options);
    if (!stdout.startsWith("{")) throw new Error(stdout + stderr);
    const { tasks } = JSON.parse(stdout) as { tasks: { tasks: Record<string, object> } };
    return Object.keys(tasks.tasks).filter((task) => task.endsWith(":test"));
  };

  test("when nobody depends on it, then its tests run alone", () => {
    expect(testsOf("lab/bench/src/bench.ts")).toEqual(["@tributary/bench:test"]);
  });

  test("when the stack starts it as a process, then the tests of whole systems run too, and no sibling's", () => {
    const tests = testsOf("services/router/src/start.ts");
    expect(tests).toEqual(expect.arrayContaining(["@tributary/router:test", "@tributary/e2e:test"]));
    expect(tests).not.toContain("@tributary/gateway:test");
  });
});
