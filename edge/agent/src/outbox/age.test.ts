import { describe, expect, test } from "@jest/globals";
import { ageOf, expiresAtMs, reportedAgeMs } from "./age.ts";

const captured = { machineBoot: "a", monotonicMs: 5_000, wallMs: 100_000 };

describe("age of a stored frame", () => {
  test("age.ts A1: within a machine boot by the monotonic clock, whatever the wall clock did", () => {
    const now = { machineBoot: "a", monotonicMs: 6_500, wallMs: 7 };
    expect(ageOf(captured, now)).toEqual({ ageMs: 1_500, known: true });
    expect(expiresAtMs(ageOf(captured, now), 2_000, now)).toBe(7_000);
  });

  test("age.ts A2: across a reboot by the wall clock, if it was right both times", () => {
    const now = { machineBoot: "b", monotonicMs: 300, wallMs: 101_000 };
    expect(ageOf(captured, now)).toEqual({ ageMs: 1_000, known: true });
    expect(expiresAtMs(ageOf(captured, now), 2_000, now)).toBe(1_300);
  });

  test.each([
    { wallMs: null, nowWallMs: 101_000 },
    { wallMs: 100_000, nowWallMs: null },
  ])("A3: otherwise unknown, hence expired ($wallMs, $nowWallMs)", ({ wallMs, nowWallMs }) => {
    const now = { machineBoot: "b", monotonicMs: 300, wallMs: nowWallMs };
    const age = ageOf({ ...captured, wallMs }, now);
    expect(age.known).toBe(false);
    expect(expiresAtMs(age, 2_000, now)).toBeLessThan(now.monotonicMs);
    expect(reportedAgeMs(age, 2_000)).toBeGreaterThan(2_000);
  });
});
