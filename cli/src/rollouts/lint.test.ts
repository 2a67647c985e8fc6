import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { lineOf, lint } from "./lint.ts";

const example = readFileSync(new URL("../../../examples/rollouts/canary.yaml", import.meta.url), "utf8");
const told = (text: string) => lint(text).problems.map((problem) => lineOf("r.yaml", problem));
/** The line that begins with this, as the example has it, changed. */
const changed = (from: string, to: string) => {
  expect(example).toContain(from);
  return example.replace(from, to);
};

describe("lint", () => {
  test("accepts the example with a metric of Prometheus', and names what is wrong in a query by its line", () => {
    const prometheus = readFileSync(new URL("../../../examples/rollouts/prometheus.yaml", import.meta.url), "utf8");
    expect(told(prometheus)).toEqual([]);
    const withoutLabel = prometheus.replace("total: sum by (device) (answers_total)", "total: sum(answers_total)");
    expect(told(withoutLabel)).toEqual([
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
    [changed("  pacing:", "  pacign:"), [/^r\.yaml:31:3: spec\.pacign: unknown field; did you mean pacing\?$/]],
    [
      changed("- setWeight: 5\n", "- setWieght: 5\n"),
      [/^r\.yaml:15:11: spec\.strategy\.canary\.steps\[0\]\.setWieght: unknown field; did you mean setWeight\?$/],
    ],
    [
      changed("pause: { duration: 5m }", "pause: { duration: five minutes }"),
      [/^r\.yaml:16:30: .*\.pause\.duration: "five minutes": expected a duration such as 90s, 5m, 6h or 1d$/],
    ],
    [
      changed("        - analysis: { duration: 6h }\n        - setWeight: 100", "        - setWeight: 100"),
      [/^r\.yaml:19:\d+: .*steps\[4\]: widens without an analysis since the last setWeight \(G5\)/],
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
    [changed("when: idle", "when: [idle"), [/^r\.yaml:\d+:\d+: is no YAML: /]],
    [changed("when: idle", "when: idle\n  when: parked"), [/^r\.yaml:37:3: is no YAML: Map keys must be unique/]],
    [`${example}---\nkind: ModelRollout\n`, [/^r\.yaml:41:1: a second document begins here/]],
    ["", [/^r\.yaml:1:1: is empty/]],
    ["# nothing\n", [/^r\.yaml:1:1: is empty/]],
    ["just words", [/^r\.yaml:1:1: \(the whole file\): "just words" is no object/]],
    [`a: &a [1]\n${"b: [*a]\n".repeat(1)}x: ${"1".repeat(1024 * 1024)}`, [/is longer than 1048576 bytes/]],
  ])("%#: names file, line, column, and what to write", (text, expected) => {
    const lines = told(text);
    expect(lines).toHaveLength(expected.length);
    expected.forEach((pattern, i) => {
      expect(lines[i]).toMatch(pattern);
    });
  });

  test("places what a server found", () => {
    const { locate } = lint(example);
    const path = ["spec", "strategy", "canary", "steps", 3, "setWeight"];
    expect(locate({ path, message: "too few devices" })).toMatchObject({ line: 18, column: 22 });
    expect(locate({ path: ["spec", "burnIn"], message: "not there" })).toMatchObject({ line: 7, column: 1 });
    expect(locate({ path: ["nowhere", 3], message: "x" })).toMatchObject({ line: 3 });
  });

  test("is not lured into endless work", () => {
    const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"]
      .concat(
        ["b", "c", "d", "e", "f", "g", "h"].map((name, i) => `${name}: &${name} [${`*${"abcdefg"[i]},`.repeat(9)}]`),
      )
      .join("\n");
    expect(told(bomb)[0]).toMatch(/aliases beyond measure/);
  });
});
