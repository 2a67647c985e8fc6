import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { archiveCapsDefaults } from "@tributary/training";
import { capsOf, checkConfig, configSchema, ttlMsOf } from "./config.ts";

describe("the configuration", () => {
  test("is complete with a folder alone, with the core's bounds, and keeps nothing longer than its topic", () => {
    const config = configSchema.parse({ dataDir: "/data" });
    checkConfig(config);
    expect(capsOf(config)).toEqual(archiveCapsDefaults);
    expect(ttlMsOf(config)).toBeLessThanOrEqual(topics.archivedFrames.retentionMs);
    expect(configSchema.safeParse({ dataDir: "/data", keep: { ttlDays: 366 } }).success).toBe(false);
  });

  test.each([
    [{ http: { host: "0.0.0.0" } }, "auth.tokens"],
    [{ keep: { framesPerDeviceDay: 10, framesPerClassDay: 20 } }, "keep.framesPerClassDay"],
    [{ keep: { bytesTotalMax: 1_000 } }, "keep.bytesPerDeviceDay"],
  ])("%j is refused, naming %s", (written, named) => {
    expect(() => checkConfig(configSchema.parse({ dataDir: "/data", ...written }))).toThrow(named);
  });
});
