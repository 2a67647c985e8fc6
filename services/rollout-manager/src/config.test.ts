import { expect, test } from "@jest/globals";
import { ConfigError } from "@tributary/config";
import { checkConfig, configSchema, settingsThatDiffer } from "./config.ts";

const problemsOf = (written: object): readonly string[] => {
  try {
    checkConfig(configSchema.parse(written));
    return [];
  } catch (error) {
    return error instanceof ConfigError ? error.problems : [`${error}`];
  }
};
const spec = (steps: readonly object[], more: object = {}) => ({
  ...{ apiVersion: "tributary.dev/v1", kind: "ModelRollout", metadata: { name: "edge" } },
  spec: { strategy: { canary: { steps } }, ...more },
});
const steps = [{ setWeight: 10 }, { analysis: { duration: "2h" } }, { setWeight: 100 }];

test("every wrong key is named, those of default specifications with their place", () => {
  expect(problemsOf({ defaults: { edge: spec(steps) } })).toEqual([]);
  const problems = problemsOf({
    http: { host: "0.0.0.0" },
    judge: { lookEveryMs: 1_000, settleMs: 60_000 },
    defaults: { edge: spec(steps, { burnin: "3m" }), other: spec([{ setWeight: 50 }]) },
  }).join("\n");
  expect(problems).toMatch(/auth\.tokens: at least one token is needed/);
  expect(problems).toMatch(/judge\.settleMs: at most 10 x/);
  expect(problems).toMatch(/defaults\.edge\.spec\.burnin: unknown field; did you mean burnIn\?/);
  expect(problems).toMatch(/defaults\.other\.spec\.strategy\.canary\.steps: ends at weight 50/);
});

test("evidence names the settings of the judge that are not the usual ones", () => {
  expect(settingsThatDiffer(configSchema.parse({}))).toEqual([]);
  expect(settingsThatDiffer(configSchema.parse({ judge: { lookEveryMs: 5_000 } }))).toEqual([
    { name: "judge.lookEveryMs", value: "5000", default: "60000" },
  ]);
});
