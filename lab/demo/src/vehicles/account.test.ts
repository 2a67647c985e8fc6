import { describe, expect, test } from "@jest/globals";
import { accountOfDrive, type DriveAnswer, missedFrames, type Promised, unprovoked } from "./account.ts";
import { stealMsOf } from "./reader.ts";
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
    const [idle, stopped] = accountOfDrive({ answers, changes: [], stolen: [], phases }, promised);
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
    const [idle] = accountOfDrive({ answers, changes: [], stolen: [], phases }, promised);
    expect(idle).toMatchObject({ stale: 3, misses: 3, missesInARow: 1, violations: 1 });
  });

  test("silence is where it began, also when it never ends", () => {
    const answers = Array.from({ length: 110 }, (_, i) => answer(i));
    const [idle, stopped] = accountOfDrive({ answers, changes: [], stolen: [], phases }, promised);
    expect(idle?.silences).toBe(0);
    expect(stopped).toMatchObject({ answers: 10, silences: 1, longestGapMs: 10_000 - (answers.at(-1)?.atMs ?? 0) });
  });
});

describe("on a machine whose hypervisor runs other guests", () => {
  const late = (ms: number) => {
    const answers = Array.from({ length: 200 }, (_, i) => answer(i));
    // The two frames after it were not taken.
    answers.splice(40, 3, answer(40, { atMs: 2_008 + ms, latencyMs: 8 + ms }));
    return answers;
  };
  const stolen = (ms: number) => [{ fromMs: 2_020, untilMs: 2_140, ms }];

  test("a frame or a silence that stolen time explains is counted apart, and one that it does not explain is not", () => {
    const log = { answers: late(110), changes: [], phases };
    const [explained] = accountOfDrive({ ...log, stolen: stolen(110) }, promised);
    expect(explained).toMatchObject({ misses: 0, missesStolen: 1, silences: 0, silencesStolen: 1, stolenMs: 110 });
    const [unexplained] = accountOfDrive({ ...log, stolen: stolen(20) }, promised);
    expect(unexplained).toMatchObject({ misses: 1, missesStolen: 0, silences: 1, silencesStolen: 0, stolenMs: 20 });
    const [elsewhere] = accountOfDrive({ ...log, stolen: [{ fromMs: 3_000, untilMs: 3_020, ms: 110 }] }, promised);
    expect(elsewhere).toMatchObject({ misses: 1, silences: 1, stolenMs: 110 });
    expect(missedFrames({ ...log, stolen: stolen(110) }, promised)).toMatchObject([{ latencyMs: 118, stolenMs: 110 }]);
  });

  test("a change to a worse level that follows such a frame is provoked; the next one is not", () => {
    const changes = [
      { atMs: 2_130, from: "FULL", to: "LITE", reason: "frame-late" },
      { atMs: 3_000, from: "LITE", to: "FULL", reason: "recovered" },
      { atMs: 4_000, from: "FULL", to: "LITE", reason: "frame-late" },
    ];
    const of = (ms: number) =>
      unprovoked({ answers: late(110), changes, stolen: stolen(ms), phases }, () => true).map(({ atMs }) => atMs);
    expect(of(110)).toEqual([4_000]);
    expect(of(0)).toEqual([2_130, 4_000]);
  });

  test("the kernel's count is read, where there is one", () => {
    expect(stealMsOf("cpu  8419026 1343762 1072461 2095496 38522 0 92163 30396 0 0\ncpu0 1 2")).toBe(303_960);
    expect(stealMsOf("cpu 1 2 3\n")).toBeNull();
  });
});

test("the picture names faults and levels, and escapes what could be markup", () => {
  const answers = Array.from({ length: 200 }, (_, i) => answer(i));
  const changes = [{ atMs: 5_100, from: "FULL", to: "LITE", reason: "full-hangs" }];
  const svg = timelineOf({ answers, changes, stolen: [], phases }, promised, "a <drive>");
  expect(svg).toContain("<title>a &#60;drive&#62;</title>");
  expect(svg).toContain("LITE: full-hangs, from 5.1 s");
  expect(svg).toContain(">stopped</text>");
});
