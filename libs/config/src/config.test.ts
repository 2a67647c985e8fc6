// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${} is what the files under test contain
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";
import { ConfigError, parseConfig, sharedBlocks } from "./index.ts";
import { invocationOf } from "./invocation.ts";
import { loadConfig } from "./load.ts";

const schema = z.strictObject({
  ...sharedBlocks,
  name: z.string(),
  limits: z.strictObject({ frameBytesMax: z.number().int().positive().max(100) }).prefault({ frameBytesMax: 10 }),
  cameras: z
    .array(
      z.discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("folder"), dir: z.string() }),
        z.strictObject({ kind: z.literal("command"), command: z.array(z.string()) }),
      ]),
    )
    .default([]),
  targets: z.record(z.string(), z.strictObject({ threads: z.number() })).default({}),
});

const problemsOf = (text: string, env = {}): readonly string[] => {
  try {
    parseConfig({ schema, file: "f.yaml", text, env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe("a wrong file", () => {
  test("has every unknown, wrong and missing key named at once (load.ts F1)", () => {
    const text = `
kafka: { broker: [], brokers: [not-an-address] }
schemaRegistry: { url: "https://me:secret@registry:8081" }
http: { port: 70000 }
limits: { frameBytesMax: lots, frameByteMax: 5 }
cameras: [{ kind: folder, dir: 7, fps: 1 }, { kind: laser }]
targets: { default: { thread: 1 } }
color: blue
`;
    const problems = problemsOf(text);
    for (const key of [
      "kafka.broker: unknown key (known: brokers, prefix, clockOffsetMsMax)",
      "kafka.brokers[0]: expected host:port",
      "http.port: ",
      "schemaRegistry.url: credentials do not belong in a URL",
      "limits.frameBytesMax: ",
      "limits.frameByteMax: unknown key (known: frameBytesMax)",
      "cameras[0].dir: ",
      "cameras[0].fps: unknown key",
      "cameras[1].kind: ",
      "targets.default.threads: missing; expected number",
      "targets.default.thread: unknown key (known: threads)",
      "name: missing; expected string",
      "color: unknown key (known: kafka, http, log, schemaRegistry, name, limits, cameras, targets)",
    ]) {
      expect(problems).toContainEqual(expect.stringContaining(key));
    }
    expect(problems).toHaveLength(13);
  });

  test("that is no YAML, or has a key twice, is refused with its line", () => {
    expect(problemsOf("name: [x")).toEqual([expect.stringContaining("line 1")]);
    expect(problemsOf("name: x\nname: y")).toEqual([expect.stringContaining("line 2")]);
    expect(problemsOf("- a\n- b")).toEqual([expect.stringContaining("(the whole file)")]);
    expect(problemsOf("")).toEqual(["name: missing; expected string"]);
  });

  test("that is not there is a problem like any other", () => {
    expect(() => loadConfig({ schema, file: "/nowhere/at/all.yaml" })).toThrow(ConfigError);
  });
});

describe("the environment (load.ts F2)", () => {
  test("a plain variable is typed like YAML, a quoted one stays text, and a value never becomes structure", () => {
    const text = "name: '${NAME}'\nhttp:\n  port: ${PORT:-81}\n  host: a-${HOST}-$${HOST}\n";
    const config = parseConfig({ schema, file: "f", text, env: { NAME: "12", PORT: "8080", HOST: "b: [c" } });
    expect([config.name, config.http]).toMatchObject(["12", { port: 8080, host: "a-b: [c-${HOST}" }]);
    expect(parseConfig({ schema, file: "f", text, env: { NAME: "", HOST: "" } }).http.port).toBe(81);
    const plain = parseConfig({ schema, file: "f", text: "name: ${NAME}", env: { NAME: "{ x: 1 }" } });
    expect(plain.name).toBe("{ x: 1 }");
  });

  test("every unset variable is named by its key, once, beside the other problems", () => {
    expect(problemsOf("name: ${A}\nhttp:\n  port: ${B}\nwrong: 1")).toEqual([
      "name: the environment has no A",
      "http.port: the environment has no B",
      expect.stringContaining("wrong: unknown key"),
    ]);
  });
});

describe("the command line", () => {
  const dir = mkdtempSync(join(tmpdir(), "tributary-config-"));
  afterAll(() => rmSync(dir, { recursive: true }));
  const good = join(dir, "good.yaml");
  const bad = join(dir, "bad.yaml");
  writeFileSync(good, "name: x\n");
  writeFileSync(bad, "nmae: x\n");
  const invoke = (...argv: string[]) =>
    invocationOf({ name: "tributary-x", summary: "Does x.", schema, argv, env: {} });

  test("--config runs with a frozen configuration and its defaults", () => {
    const invocation = invoke("--config", good);
    if (invocation.kind !== "run") throw new Error(invocation.text);
    expect(invocation.config).toMatchObject({
      name: "x",
      http: { host: "127.0.0.1", port: 0 },
      log: { level: "info" },
    });
    expect(invocation.config.kafka).toEqual({
      brokers: ["127.0.0.1:9092"],
      prefix: "tributary.",
      clockOffsetMsMax: 5_000,
    });
    expect(() => Object.assign(invocation.config.http, { port: 1 })).toThrow(TypeError);
  });

  test.each([
    [["--help"], 0, "Usage: tributary-x --config FILE"],
    [["--config", good, "--check"], 0, "is valid"],
    [["--config", bad, "--check"], 2, "nmae: unknown key"],
    [["--config", bad], 2, "name: missing"],
    [[], 2, "--config FILE is missing"],
    [["--confg", good], 2, "--confg"],
    [["stray"], 2, "stray"],
  ])("%j exits %i", (argv, code, text) => {
    expect(invoke(...argv)).toEqual({ kind: "exit", code, text: expect.stringContaining(text) });
  });

  test("checks across keys are problems too", () => {
    const check = () => {
      throw new ConfigError("good.yaml", ["limits: a is larger than b"]);
    };
    const invocation = invocationOf({ name: "x", summary: "s", schema, argv: ["--config", good], check });
    expect(invocation).toMatchObject({ kind: "exit", code: 2, text: expect.stringContaining("a is larger than b") });
  });
});
