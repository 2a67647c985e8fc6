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
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "edge" },
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

test("Prometheus' settings are checked, and no default specification needs one that is not configured", () => {
  const prometheus = { url: "http://prometheus:9090/prometheus" };
  const metrics = [{ name: "answers-kept", provider: { prometheus: { good: "a_total", total: "b_total" } } }];
  const defaults = { edge: spec(steps, { metrics }) };
  expect(problemsOf({ prometheus, defaults })).toEqual([]);
  expect(problemsOf({ defaults }).join()).toMatch(
    /defaults\.edge\.spec\.metrics\[0\]\.provider\.prometheus: the rollout-manager has no Prometheus to ask; write prometheus: \{ url/,
  );
  const problems = problemsOf({
    prometheus: {
      url: "http://me:secret@prometheus:9090",
      token: "t",
      basic: { user: "me", password: "secret" },
      everyMs: 400_000,
    },
  }).join("\n");
  expect(problems).toMatch(/prometheus\.url: credentials do not belong into it/);
  expect(problems).toMatch(/prometheus: token or basic, not both/);
  expect(problems).toMatch(/prometheus\.everyMs: 2 x it and delayMs are at most judge\.silenceMs/);
  expect(problems).not.toMatch(/secret/);
  expect(problemsOf({ prometheus: { url: "http://prometheus:9090/?a=b" } }).join()).toMatch(/without \? and #/);
});
