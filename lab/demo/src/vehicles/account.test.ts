import { describe, expect, test } from "@jest/globals";
import { accountOfDrive, type DriveAnswer, type Promised } from "./account.ts";
import { timelineOf } from "./timeline.ts";

const promised: Promised = { deadlineMs: 50, periodMs: 50, firm: { met: 19, of: 20 } };
const answer = (i: number, change: Partial<DriveAnswer> = {}): DriveAnswer => ({
  atMs: 50 * i + 8,
  latencyMs: 8,
  level: "FULL",
  ...change,
});
const phases = [
  { name: "idle", fromMs: 0, untilMs: 5_000 },
  { name: "stopped", fromMs: 5_000, untilMs: 10_000 },
];

describe("the account of a drive", () => {
  test("counts what answered, what was late, and nothing else", () => {
    const answers = Array.from({ length: 200 }, (_, i) =>
      answer(i, i >= 100 && i < 120 ? { level: "LITE", latencyMs: 28 } : {}),
    );
    answers[40] = answer(40, { latencyMs: 61 });
    const [idle, stopped] = accountOfDrive({ answers, changes: [], phases }, promised);
    expect(idle).toMatchObject({
      answers: 100,
      full: 100,
      misses: 1,
      missesInARow: 1,
      violations: 0,
      silences: 0,
      max: 61,
    });
    expect(stopped).toMatchObject({ answers: 100, full: 80, lite: 20, stale: 0, misses: 0, violations: 0, p50: 8 });
  });

  test("a second miss within twenty frames breaks (19,20); a repeated label is a miss", () => {
    const answers = Array.from({ length: 100 }, (_, i) =>
      answer(i, [10, 25, 60].includes(i) ? { level: "STALE" } : {}),
    );
    const [idle] = accountOfDrive({ answers, changes: [], phases }, promised);
    expect(idle).toMatchObject({ stale: 3, misses: 3, missesInARow: 1, violations: 1 });
  });

  test("silence is where it began, also when it never ends", () => {
    const answers = Array.from({ length: 110 }, (_, i) => answer(i));
    const [idle, stopped] = accountOfDrive({ answers, changes: [], phases }, promised);
    expect(idle?.silences).toBe(0);
    expect(stopped).toMatchObject({ answers: 10, silences: 1, longestGapMs: 10_000 - (answers.at(-1)?.atMs ?? 0) });
  });
});

test("the picture names faults and levels, and escapes what could be markup", () => {
  const answers = Array.from({ length: 200 }, (_, i) => answer(i));
  const changes = [{ atMs: 5_100, from: "FULL", to: "LITE", reason: "full-hangs" }];
  const svg = timelineOf({ answers, changes, phases }, promised, "a <drive>");
  expect(svg).toContain("<title>a &#60;drive&#62;</title>");
  expect(svg).toContain("LITE: full-hangs, from 5.1 s");
  expect(svg).toContain(">stopped</text>");
});
