import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { rolloutSpec } from "@tributary/rollouts";
import { readExperiment } from "@tributary/rollouts/experiment";
import { z } from "zod";
import { lineOf, lint, lintAs } from "./lint.ts";

const exampleOf = (path: string) => readFileSync(new URL(`../../../examples/${path}`, import.meta.url), "utf8");
const textOf = (name: string) => exampleOf(`rollouts/${name}`);
const example = textOf("canary.yaml");
/** Names of all properties of a JSON schema. */
function keysOf(schema: unknown, keys: Set<string> = new Set()): ReadonlySet<string> {
  if (typeof schema !== "object" || schema === null) return keys;
  for (const [name, value] of Object.entries(schema)) {
    if (name === "properties") for (const key of Object.keys(value as object)) keys.add(key);
    keysOf(value, keys);
  }
  return keys;
}
const problemsOf = (text: string) => lint(text).problems.map((problem) => lineOf("r.yaml", problem));
/** `r.yaml:LINE` of the example where this stands. */
const at = (fragment: string): string => `r\\.yaml:${example.slice(0, example.indexOf(fragment)).split("\n").length}`;
/** The line that begins with this, as the example has it, changed. */
const changed = (from: string, to: string) => {
  expect(example).toContain(from);
  return example.replace(from, to);
};

describe("lint", () => {
  test("accepts the example with a metric of Prometheus', and reports the errors of a query by line", () => {
    const prometheus = textOf("prometheus.yaml");
    expect(problemsOf(prometheus)).toEqual([]);
    const withoutLabel = prometheus.replace("total: sum by (device) (answers_total)", "total: sum(answers_total)");
    expect(problemsOf(withoutLabel)).toEqual([
      expect.stringMatching(
        /^r\.yaml:21:18: spec\.metrics\[1\]\.provider\.prometheus\.total: .*the label device is lost; write sum by \(device\)/,
      ),
    ]);
  });

  test("accepts the example", () => {
    const { problems, spec, written } = lint(example);
    expect(problems).toEqual([]);
    expect(spec?.spec.strategy.canary.steps).toHaveLength(6);
    expect(written).toMatchObject({
      spec: { strategy: { canary: { steps: [{ setWeight: 5 }, {}, {}, {}, {}, {}] } } },
    });
  });

  test.each([
    [
      changed("  pacing:", "  pacign:"),
      [new RegExp(`^${at("  pacing:")}:3: spec\\.pacign: unknown field; did you mean pacing\\?$`)],
    ],
    [
      changed("- setWeight: 5 #", "- setWieght: 5 #"),
      [
        new RegExp(
          `^${at("setWeight: 5 #")}:11: .*steps\\[0\\]\\.setWieght: unknown field; did you mean setWeight\\?$`,
        ),
      ],
    ],
    [
      changed("pause: { duration: 5m }", "pause: { duration: five minutes }"),
      [new RegExp(`^${at("pause: {")}:30: .*\\.pause\\.duration: "five minutes": expected a duration such as 90s`)],
    ],
    [
      changed("        - analysis: { duration: 6h }\n        - setWeight: 100", "        - setWeight: 100"),
      [/steps\[4\]: widens without an analysis since the last setWeight \(G5\)/],
    ],
    [
      changed("model: edge@challenger", "modle: edge@challenger"),
      [/:7:1: spec\.model: is missing/, /:8:3: spec\.modle: .*mean model/],
    ],
    [changed("metadata:\n  name: edge-canary\n", ""), [/^r\.yaml:3:1: metadata: is missing; write fields below it$/]],
    [
      changed("kind: ModelRollout", "kind: Rollout"),
      [/^r\.yaml:4:7: kind: "Rollout" is not known; write ModelRollout$/],
    ],
    [changed("when: idle", "when: [idle"), [/^r\.yaml:\d+:\d+: is not YAML: /]],
    [changed("when: idle", "when: idle\n  when: parked"), [/^r\.yaml:\d+:3: is not YAML: Map keys must be unique/]],
    [
      `${example}---\nkind: ModelRollout\n`,
      [new RegExp(`^r\\.yaml:${example.split("\n").length}:1: a second document starts here`)],
    ],
    ["", [/^r\.yaml:1:1: is empty/]],
    ["# nothing\n", [/^r\.yaml:1:1: is empty/]],
    ["just words", [/^r\.yaml:1:1: \(the whole file\): "just words" is no object/]],
    [`a: &a [1]\n${"b: [*a]\n".repeat(1)}x: ${"1".repeat(1024 * 1024)}`, [/is longer than 1048576 bytes/]],
  ])("%#: names file, line, column, and what to write", (text, expected) => {
    const lines = problemsOf(text);
    expect(lines).toHaveLength(expected.length);
    expected.forEach((pattern, i) => {
      expect(lines[i]).toMatch(pattern);
    });
  });

  test("every key that a specification may have stands in the examples", () => {
    const examples = ["canary", "prometheus"].map((name) => textOf(`${name}.yaml`)).join("\n");
    const keys = keysOf(z.toJSONSchema(rolloutSpec, { io: "input", unrepresentable: "any" }));
    expect(keys.size).toBeGreaterThan(40);
    expect([...keys].filter((key) => !new RegExp(`\\b${key}:`).test(examples))).toEqual([]);
  });

  test("accepts the guide's", () => {
    expect(problemsOf(textOf("quick.yaml"))).toEqual([]);
  });

  test("accepts the example of an experiment", () => {
    const { problems, spec } = lintAs(readExperiment, exampleOf("experiments/is-the-cloud-worth-it.yaml"), "");
    expect(problems).toEqual([]);
    expect(spec?.spec.arms.map(({ name }) => name)).toEqual(["hybrid", "edge-heavy"]);
  });

  test("locates a server's problems in the file", () => {
    const { locate } = lint(example);
    const path = ["spec", "strategy", "canary", "steps", 3, "setWeight"];
    expect(locate({ path, message: "too few devices" })).toMatchObject({
      line: Number(at("setWeight: 25").split(":")[1]),
      column: 22,
    });
    expect(locate({ path: ["spec", "unheard"], message: "not there" })).toMatchObject({ line: 7, column: 1 });
    expect(locate({ path: ["nowhere", 3], message: "x" })).toMatchObject({ line: 3 });
  });

  test("is not lured into endless work", () => {
    const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"]
      .concat(
        ["b", "c", "d", "e", "f", "g", "h"].map((name, i) => `${name}: &${name} [${`*${"abcdefg"[i]},`.repeat(9)}]`),
      )
      .join("\n");
    expect(problemsOf(bomb)[0]).toMatch(/too much by aliases/);
    for (const levels of [65, 500, 5_000]) {
      for (const deep of [`spec: ${"[".repeat(levels)}${"]".repeat(levels)}`, `${"- ".repeat(levels)}x`]) {
        expect(problemsOf(deep)).toEqual([expect.stringMatching(/deeper than 64 levels/)]);
      }
    }
  });
});
