import { describe, expect, test } from "@jest/globals";
import { runDefaults } from "@tributary/training";
import { checkConfig, configSchema, runSettingsOf, scheduleOf } from "./config.ts";

const needed = { dataDir: "data", modelRegistry: { url: "http://127.0.0.1:8082" } };
const sagemaker = {
  kind: "sagemaker",
  region: "eu-central-1",
  image: "1.dkr.ecr/train:1",
  role: "arn:aws:iam::123456789012:role/train",
  instanceType: "ml.m5.large",
  output: "s3://models/out",
};

describe("the configuration", () => {
  test("needs a folder and the registry, and has the core's defaults", () => {
    const config = configSchema.parse(needed);
    checkConfig(config);
    expect(runSettingsOf(config)).toEqual(runDefaults);
    expect(configSchema.safeParse({}).success).toBe(false);
  });

  test.each([
    [{ labels: { wanted: 219 } }, "labels.wanted: at least 220, 100 to train on, 20 to choose with, 100 to judge by"],
    [{ triggers: { schedule: "every day at 3" } }, "triggers.schedule"],
    [{ results: { s3: { bucket: "models" } } }, "results.s3: a local training"],
    [{ backend: sagemaker, results: { s3: { bucket: "models" } } }, "datasets.s3: needed"],
    [{ http: { host: "0.0.0.0" } }, "auth.tokens"],
    [{ datasets: { framesMax: 1_500 } }, "datasets.framesMax: at least labels.wanted and triggers.labelsNew, 2000"],
  ])("%j is refused, naming %s", (written, named) => {
    expect(() => checkConfig(configSchema.parse({ ...needed, ...written }))).toThrow(named);
  });

  test("its schedule is quarterly, in UTC", () => {
    const { schedule } = configSchema.parse(needed).triggers;
    const next = scheduleOf(schedule ?? "")?.nextRun(new Date("2026-11-28T12:00:00Z"));
    expect(next?.toISOString()).toBe("2027-01-01T03:00:00.000Z");
  });
});
