import { describe, expect, test } from "@jest/globals";
import { nearest, pathText, readSpec } from "./index.ts";

const steps = [{ setWeight: 5 }, { analysis: { duration: "2h" } }, { setWeight: 100 }];
const written = (change: object = {}, canary: object = {}): Record<string, unknown> => ({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: { model: "edge@2", strategy: { canary: { steps, ...canary } }, ...change },
});
const problemsOf = (text: unknown) =>
  readSpec(text)
    .problems.map(({ path, message }) => `${pathText(path)}: ${message}`)
    .join("\n");
const withSteps = (...own: unknown[]) => problemsOf(written({}, { steps: own }));

describe("a specification", () => {
  test("that is right is read", () => {
    expect(readSpec(written())).toMatchObject({ problems: [], spec: { spec: { burnIn: 180_000 } } });
  });

  test.each([
    [problemsOf(written({ modle: "x" })), "spec.modle: unknown field; did you mean model?"],
    [problemsOf(written({ burnin: "3m" })), "spec.burnin: unknown field; did you mean burnIn?"],
    [
      problemsOf(written({ replicas: 3 })),
      /^spec\.replicas: unknown field; known are model, slot, .*maintenanceWindows$/,
    ],
    [problemsOf(written({ selector: { site: ["a"] } })), "spec.selector.site: unknown field; did you mean sites?"],
    [
      problemsOf(written({ metrics: [{ name: "accuracy", aplha: 0.1 }] })),
      "spec.metrics[0].aplha: unknown field; did you mean alpha?",
    ],
    [
      problemsOf(written({ metrics: [{ name: "acuracy" }] })),
      'spec.metrics[0].name: "acuracy" is not known; write accuracy',
    ],
    [problemsOf(written({ when: "night" })), 'spec.when: "night" is not known; write any, idle or parked'],
    [problemsOf(written({ burnIn: "3 minutes" })), /^spec\.burnIn: "3 minutes": expected a duration such as 90s/],
    [problemsOf({ ...written(), kind: "Rollout" }), 'kind: "Rollout" is not known; write ModelRollout'],
    [problemsOf({ ...written(), apiVersion: undefined }), "apiVersion: is missing; write tributary.dev/v1"],
    [problemsOf({ ...written(), metadata: {} }), "metadata.name: is missing; write a text"],
    [problemsOf("steps"), '(the whole file): "steps" is no object; write fields below it'],
    [problemsOf(written({}, { steps: { setWeight: 5 } })), /steps: \{"setWeight":5\} is no array; write a list/],
    [withSteps({ setWieght: 5 }), /steps\[0\]\.setWieght: unknown field; did you mean setWeight\?/],
    [withSteps({ setCanaryScale: {} }), /known are setWeight, pause, analysis/],
    [withSteps({ setWeight: "5%" }), /steps\[0\]\.setWeight: "5%" is no number; write a number without quotes or unit/],
    [withSteps({ setWeight: 120 }), /setWeight: 120 is too much; at most 100/],
    [withSteps({ setWeight: 0 }), /setWeight: 0 is too little; above 0/],
    [withSteps({ pause: null }), /pause: is empty; write pause: \{\} to wait/],
    [withSteps({ pause: { duraton: "5m" } }), /pause\.duraton: unknown field; did you mean duration\?/],
    [withSteps({ analysis: {} }), /analysis\.duration: is missing; write a text/],
    [withSteps({ setWeight: 5, pause: {} }), /steps\[0\]: setWeight and pause are steps of their own/],
    [withSteps("setWeight"), /steps\[0\]: "setWeight" is no step; write one of/],
    [withSteps({ setWeight: 50 }), /ends at weight 50; the last setWeight must be 100/],
  ])("%s", (text, message) => {
    if (typeof message === "string") expect(text).toBe(message);
    else expect(text).toMatch(message);
  });

  test("is refused with all its problems, but no more than a person reads", () => {
    expect(readSpec(written({ modle: "x", when: "night" })).problems).toHaveLength(2);
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`field${i}`, 1]));
    expect(readSpec(written(many)).problems).toHaveLength(50);
  });
});

test("the nearest word", () => {
  expect(nearest("Hardwareclass", ["sites", "hardwareClasses"])).toBe("hardwareClasses");
  expect(nearest("x", ["model", "slot"])).toBeUndefined();
});
