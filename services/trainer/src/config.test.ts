import { describe, expect, test } from "@jest/globals";
import { runDefaults } from "@tributary/training";
import { checkConfig, configSchema, runSettingsOf, scheduleOf } from "./config.ts";

const needed = { dataDir: "data", modelRegistry: { url: "http://127.0.0.1:8082" } };

describe("the configuration", () => {
  test("needs a folder and the registry, and has the core's defaults", () => {
    const config = configSchema.parse(needed);
    checkConfig(config);
    expect(runSettingsOf(config)).toEqual(runDefaults);
    expect(configSchema.safeParse({}).success).toBe(false);
  });

  test.each([
    [{ labels: { wanted: 150 } }, "labels.wanted"],
    [{ triggers: { schedule: "every day at 3" } }, "triggers.schedule"],
    [{ http: { host: "0.0.0.0" } }, "auth.tokens"],
  ])("%j is refused, naming %s", (written, named) => {
    expect(() => checkConfig(configSchema.parse({ ...needed, ...written }))).toThrow(named);
  });

  test("its schedule is quarterly, in UTC", () => {
    const { schedule } = configSchema.parse(needed).triggers;
    const next = scheduleOf(schedule ?? "")?.nextRun(new Date("2026-11-28T12:00:00Z"));
    expect(next?.toISOString()).toBe("2027-01-01T03:00:00.000Z");
  });
});
