/** What guides do not show of programs that the oldest Node of README.md starts: they run under Node 24, or print what to install. */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { repositoryRoot, startProgram, tempDir } from "@tributary/testing";
import { node20 } from "../../tools/peers.mjs";

const at = (path: string) => join(repositoryRoot, path);

const start = (args: readonly string[], { env, cwd }: { env?: Record<string, string>; cwd?: string } = {}) =>
  startProgram(node20(), args, {
    env: { HOME: process.env.HOME, JAVA_HOME: process.env.JAVA_HOME, ...env },
    ...(cwd !== undefined && { cwd }),
  });
const run = (...args: Parameters<typeof start>) => start(...args).ended;

describe("given Node 20 and tributary", () => {
  const dir = tempDir("node-20");
  afterAll(() => dir.remove());

  test("its files are relative to where it is called, and its exit code is handed on", async () => {
    const cwd = at("examples/rollouts");
    const lint = (file: string) => run([at("cli/tributary.mjs"), "rollout", "lint", file], { cwd });
    expect(await lint("canary.yaml")).toEqual({
      code: 0,
      out: expect.stringContaining("canary.yaml is fine"),
      err: "",
    });
    expect(await lint("nowhere.yaml")).toMatchObject({ code: 2, err: expect.stringContaining("nowhere.yaml") });
    // As `npm run tributary --` calls it: in the root, knowing where npm was called.
    const env = { npm_lifecycle_event: "tributary", INIT_CWD: cwd };
    const args = ["cli/tributary.mjs", "rollout", "lint", "canary.yaml"];
    expect(await run(args, { env })).toMatchObject({ code: 0 });
  });

  test("its help shows how to put it on the PATH", async () => {
    const { out } = await run([at("cli/tributary.mjs"), "--help"]);
    expect(out).toContain(`On the PATH: ln -sf ${at("cli/tributary.mjs")} ~/.local/bin/tributary`);
  });

  test("in a clone without npm ci it asks for that", async () => {
    mkdirSync(join(dir.path, "cli"));
    copyFileSync(at("cli/tributary.mjs"), join(dir.path, "cli/tributary.mjs"));
    expect(await run([join(dir.path, "cli/tributary.mjs"), "--help"])).toEqual({
      code: 1,
      out: "",
      err: `tributary: nothing is installed yet: run npm ci in ${dir.path}\n`,
    });
  });
});

describe("given Node 20 and a program", () => {
  const dir = tempDir("node-20-program");
  const program = join(dir.path, "program.mjs");
  beforeAll(() => {
    copyFileSync(at("libs/kernel/dist/node-24.js"), join(dir.path, "node-24.mjs"));
    writeFileSync(
      program,
      `import "./node-24.mjs";
       process.on("SIGTERM", () => process.exit(7));
       setInterval(() => {}, 1_000);
       console.log(process.version, ...process.argv.slice(2), process.execArgv.join());`,
    );
  });
  afterAll(() => dir.remove());

  test("where npm brought no other, one line names what to install", async () => {
    expect(await run([program])).toEqual({
      code: 1,
      out: "",
      err: expect.stringMatching(/^Node 24 or newer is needed, this is v20\.10\.0: install it from nodejs\.org .*\n$/),
    });
  });

  test("arguments, signals and the exit code are handed on", async () => {
    const modules = `node-linux-${process.arch}`;
    mkdirSync(join(dir.path, "node_modules"));
    symlinkSync(at(`node_modules/${modules}`), join(dir.path, "node_modules", modules));
    const { child, ended } = start(["--no-concurrent-sparkplug", program, "--a", "b c"]);
    child.stdout.once("data", () => child.kill("SIGTERM"));
    const { code, out } = await ended;
    expect(code).toBe(7);
    expect(out).toMatch(/^v24\.\S+ --a b c --no-concurrent-sparkplug\n$/);
  });
});
