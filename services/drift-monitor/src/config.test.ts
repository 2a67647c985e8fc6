import { describe, expect, test } from "@jest/globals";
import { detectorDefaults, verdictDefaults } from "@tributary/drift";
import { checkConfig, configSchema, detectorSettingsOf, verdictSettingsOf } from "./config.ts";

describe("the configuration", () => {
  test("is complete without a key, with the core's defaults", () => {
    const config = configSchema.parse({});
    checkConfig(config);
    expect(detectorSettingsOf(config)).toEqual(detectorDefaults);
    expect(verdictSettingsOf(config)).toEqual(verdictDefaults);
  });

  test.each([
    [{ detector: { baselineWindows: 100, baselineWindowsMax: 50 } }, "detector.baselineWindowsMax"],
    [{ verdicts: { lookEveryMs: 60_000, silentMs: 1_000 } }, "verdicts.silentMs"],
    [{ verdicts: { silentMs: 2 * 86_400_000 }, limits: { deviceIdleDaysMax: 1 } }, "limits.deviceIdleDaysMax"],
  ])("%j is refused, naming %s", (written, named) => {
    expect(() => checkConfig(configSchema.parse(written))).toThrow(named);
  });

  test("credentials in an address are refused", () => {
    expect(configSchema.safeParse({ modelRegistry: { url: "http://a:b@host" } }).success).toBe(false);
  });
});
