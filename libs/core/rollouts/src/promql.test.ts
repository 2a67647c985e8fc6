import { describe, expect, test } from "@jest/globals";
import { pathText, readSpec } from "./index.ts";
import { problemOfQuery } from "./promql.ts";

describe("a query", () => {
  test.each([
    "answers_total",
    'answers_total{outcome="kept",site=~"north.*"}',
    "sum by (device) (answers_total)",
    "sum(answers_total) by (site, device)",
    "sum without (instance, job) (answers_total)",
    "(sum by (device) (answers_total))",
    "sum by (device) (a_total) + sum by (device) (b_total)",
    "sum by (device) (a_total) - on (device) b_total",
    "sum by (device) (a_total * on (instance) group_left (device) device_info)",
    "sum by (device) (a_total) or sum by (device) (b_total)",
    'label_replace(a_total, "device", "$1", "instance", "(.*):.*")',
    'sum by (device) (label_replace(sum by (instance) (a_total), "device", "$1", "instance", "(.*):.*"))',
    "60 * a_total",
    "topk(1000, a_total)",
    "round(a_total)",
  ])("may be %s", (query) => {
    expect(problemOfQuery(query, "device")).toBeNull();
  });

  test.each([
    ["sum by (device (x)", /is no PromQL from character 16 on: x\)|is no PromQL from character 1\d on/],
    ["sum by (device) (x", /ends too early; is a bracket or a quote missing\?/],
    ["x{}}", /is no PromQL from character 4 on: \}/],
    ["suum by (device) (x)", /is no PromQL/],
    ["", /asks for nothing|ends too early/],
    ["# only a comment", /asks for nothing|ends too early/],
    ["x_total[5m]", /a range of values/],
    ["sum by (device) (rate(x_total[5m]))", /rate\(…\) is no cumulative counter; .* sum by \(device\) \(x_total\)/],
    ["sum by (device) (sum_over_time(x[1h:1m]))", /sum_over_time\(…\) is no cumulative counter/],
    ["count by (device) (x)", /count\(…\) is no cumulative counter; write a sum/],
    ["x offset 5m", /offset gives another time/],
    ["x @ 1609746000", /@ fixes the moment/],
    ["42", /is one value, not one for each device/],
    ["-(42)", /is one value/],
    ["sum(x_total)", /the label device is lost; write sum by \(device\) \(x_total\), or name another/],
    ["sum by (site) (x_total)", /the label device is lost/],
    ["sum without (device) (x_total)", /the label device is lost/],
    ["sum by (device) (sum(x_total))", /the label device is lost/],
    ["a + on (site) b", /the label device is lost/],
    ["a + ignoring (device) b", /the label device is lost/],
    ["sum(a) + b", /the label device is lost/],
  ])("cannot be %s", (query, problem) => {
    expect(problemOfQuery(query, "device")).toMatch(problem);
  });

  test("may have another label for devices", () => {
    expect(problemOfQuery("sum by (camera) (x)", "camera")).toBeNull();
    expect(problemOfQuery("sum by (device) (x)", "camera")).toMatch(/write sum by \(camera\) \(x_total\)/);
  });

  test("of any bytes is read in time", () => {
    for (const query of ["(".repeat(4_096), "sum(".repeat(1_000), "a+".repeat(2_000), '{"'.repeat(2_000)]) {
      expect(problemOfQuery(query, "device")).toMatch(/is no PromQL/);
    }
  });
});

describe("a metric of a specification", () => {
  const problemsOf = (...metrics: readonly object[]) =>
    readSpec({
      apiVersion: "tributary.dev/v1",
      kind: "ModelRollout",
      metadata: { name: "r" },
      spec: {
        model: "edge@2",
        strategy: { canary: { steps: [{ setWeight: 5 }, { analysis: { duration: "2h" } }, { setWeight: 100 }] } },
        metrics,
      },
    })
      .problems.map(({ path, message }) => `${pathText(path)}: ${message}`)
      .join("\n");
  const kept = { good: 'sum by (device) (answers_total{outcome="kept"})', total: "sum by (device) (answers_total)" };
  const provided = (prometheus: object, name = "answers-kept") => problemsOf({ name, provider: { prometheus } });

  test("may come from Prometheus", () => {
    expect(problemsOf({ name: "accuracy" }, { name: "answers-kept", provider: { prometheus: kept } })).toBe("");
  });

  test.each([
    [
      problemsOf({ name: "f1" }),
      /^spec\.metrics\[0\]\.name: "f1" is not known; write accuracy, .*, or give it provider:/,
    ],
    [
      provided(kept, "accuracy"),
      'spec.metrics[0].name: "accuracy" is measured by Tributary; give this one another name, or leave provider out',
    ],
    [provided(kept, "crashes"), 'spec.metrics[0].name: "crashes" is taken; write another name'],
    [provided(kept, "Answers kept"), /name: "Answers kept" is no DNS label; write lower-case letters/],
    [
      problemsOf(...[1, 2].map(() => ({ name: "answers-kept", provider: { prometheus: kept } }))),
      'spec.metrics[1].name: "answers-kept" is listed twice',
    ],
    [provided({ good: kept.good }), /provider\.prometheus\.total: is missing; write a text/],
    [
      provided({ ...kept, query: "x" }),
      /provider\.prometheus\.query: unknown field; known are good, total, deviceLabel/,
    ],
    [provided({ ...kept, deviceLable: "x" }), /deviceLable: unknown field; did you mean deviceLabel\?/],
    [provided({ ...kept, deviceLabel: "no-label" }), /deviceLabel: "no-label": expected the name of a label/],
    [provided({ ...kept, total: kept.good }), /provider\.prometheus\.total: is the same as good/],
    [provided({ ...kept, good: "rate(x[5m])" }), /provider\.prometheus\.good: rate\(…\) is no cumulative counter/],
    [
      problemsOf({ name: "answers-kept", provider: { web: {} } }),
      /provider\.web: unknown field|provider\.prometheus: is missing/,
    ],
  ])("%s", (text, message) => {
    if (typeof message === "string") expect(text).toBe(message);
    else expect(text).toMatch(message);
  });
});
