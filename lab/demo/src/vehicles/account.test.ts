import { describe, expect, test } from "@jest/globals";
import { accountOfDrive, type DriveLog, type DrivePhase, framesOf, type Promised, unprovoked } from "./account.ts";
import type { Shown } from "./camera.ts";
import { stealMsOf } from "./reader.ts";
import { timelineOf } from "./timeline.ts";

const promised: Promised = { deadlineMs: 50, firm: { met: 19, of: 20 } };
const PERIOD_MS = 50;
const phase = (name: string, fromMs: number, untilMs: number): DrivePhase => ({
  ...{ name, fromMs, untilMs },
  expects: "kept",
  fps: 20,
  load: null,
});
const phases = [phase("idle", 0, 5_000), phase("stopped", 5_000, 10_000)];
const shown = (i: number): Shown => ({ capturedMs: PERIOD_MS * i, stampUs: 7_000_000 + i, sent: "road" });

/** 200 frames, each answered by FULL after 8 ms, but for those that are given; null: none. */
function drive(
  given: Readonly<Record<number, { readonly ms?: number; readonly level?: string } | null>>,
  rest: Partial<DriveLog> = {},
): DriveLog {
  const frames = Array.from({ length: 200 }, (_, i) => shown(i));
  const answers = frames.flatMap(({ capturedMs, stampUs }, i) => {
    const own = given[i];
    if (own === null) return [];
    return [{ atMs: capturedMs + (own?.ms ?? 8), stampUs, level: own?.level ?? "FULL" }];
  });
  const inOrder = answers.toSorted((a, b) => a.atMs - b.atMs);
  return { frames, answers: inOrder, changes: [], stolen: [], lates: [], phases, ...rest };
}

const none = (from: number, to: number) =>
  Object.fromEntries(Array.from({ length: to - from }, (_, i) => [from + i, null]));

describe("the account of a drive", () => {
  test("counts what answered, what was late by the camera's time, and nothing else", () => {
    const lite = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [100 + i, { level: "LITE", ms: 28 }]));
    const [idle, stopped] = accountOfDrive(drive({ ...lite, 40: { ms: 61 } }), promised);
    expect(idle).toMatchObject({ frames: 100, answers: 100, full: 100, misses: 1, breaks: 0, silences: 0, max: 58 });
    expect(stopped).toMatchObject({ full: 80, lite: 20, stale: 0, misses: 0, p50: 8 });
  });

  test("a frame without an answer is answered by that to a newer one, if that is in time", () => {
    const [, , missed, replaced] = framesOf(drive({ 2: null, 3: null }), promised);
    expect([missed?.latencyMs, missed?.isMissed]).toEqual([108, true]);
    expect([replaced?.latencyMs, replaced?.isMissed, replaced?.level]).toEqual([58, true, null]);
    const fast = drive({});
    const frames = fast.frames.map((frame, i) => ({ ...frame, capturedMs: (i * 1_000) / 60 }));
    const answers = fast.answers
      .filter((_, i) => i % 2 === 1)
      .map((one, i) => ({ ...one, atMs: ((2 * i + 1) * 1_000) / 60 + 8 }));
    expect(framesOf({ ...fast, frames, answers }, promised).filter(({ isMissed }) => isMissed)).toEqual([]);
  });

  test("a second miss within twenty frames breaks (19,20); a repeated label is a miss", () => {
    const stale = { level: "STALE", ms: 45 };
    const [idle] = accountOfDrive(drive({ 10: stale, 25: stale, 60: stale }), promised);
    expect(idle).toMatchObject({ stale: 3, misses: 3, breaks: 1, violations: 1, safeSignalled: 0 });
  });

  test("SAFE at the deadline of the frame that breaks it is in time, and later is not", () => {
    const given = none(20, 40);
    const changes = (atMs: number) => [
      { atMs, from: "FULL", to: "SAFE", reason: "agent-late" },
      { atMs: 4_000, from: "SAFE", to: "FULL", reason: "recovered" },
    ];
    const stale = Object.fromEntries(Object.keys(given).map((i) => [i, { level: "STALE" }]));
    const of = (atMs: number) => accountOfDrive(drive(stale, { changes: changes(atMs) }), promised)[0];
    // Frame 20 is missed, 21 breaks it; its deadline is at 1,100.
    expect(of(1_100)).toMatchObject({
      breaks: 19,
      safeSignalled: 19,
      violations: 0,
      safeMsMax: 50,
      safeAfterMs: 1_100,
    });
    expect(of(1_101)).toMatchObject({ breaks: 19, safeSignalled: 18, violations: 1, safeMsMax: 51 });
  });

  test("silence is SAFE by the watchdog after a period and the deadline, and is where it began, also when it never ends", () => {
    const [idle] = accountOfDrive(drive(none(20, 30)), promised);
    expect(idle).toMatchObject({ silences: 1, breaks: 9, safeByWatchdog: 9, violations: 0, safeAfterMs: null });
    const [before, stopped] = accountOfDrive(drive(none(110, 200)), promised);
    expect(before?.silences).toBe(0);
    expect(stopped).toMatchObject({ answers: 10, silences: 1, longestGapMs: 10_000 - 5_458 });
  });
});

describe("on a machine whose hypervisor runs other guests", () => {
  const late = (ms: number) => ({ 40: { ms: 8 + ms }, 41: { ms: 8 + ms }, 42: { ms: 8 + ms } });
  const stolen = (ms: number) => [{ fromMs: 2_020, untilMs: 2_140, ms }];

  test("a frame or a silence that stolen time explains is counted apart, and one that it does not explain is not", () => {
    const of = (ms: number, fromMs = 2_020) =>
      accountOfDrive(drive(late(110), { stolen: [{ fromMs, untilMs: fromMs + 120, ms }] }), promised)[0];
    expect(of(110)).toMatchObject({ misses: 0, missesStolen: 3, silences: 0, silencesStolen: 1, stolenMs: 110 });
    expect(of(20)).toMatchObject({ misses: 2, missesStolen: 1, stolenMs: 20 });
    expect(of(110, 3_000)).toMatchObject({ misses: 3, silences: 1, stolenMs: 110 });
  });

  test("a change to a worse level that follows such a frame is provoked; the next one is not", () => {
    const changes = [
      { atMs: 2_130, from: "FULL", to: "LITE", reason: "frame-late" },
      { atMs: 3_000, from: "LITE", to: "FULL", reason: "recovered" },
      { atMs: 4_000, from: "FULL", to: "LITE", reason: "frame-late" },
    ];
    const of = (ms: number) => {
      const log = drive(late(110), { changes, stolen: stolen(ms) });
      return unprovoked(log, framesOf(log, promised), () => true).map(({ atMs }) => atMs);
    };
    expect(of(110)).toEqual([4_000]);
    expect(of(0)).toEqual([2_130, 4_000]);
  });

  test("the kernel's count is read, where there is one", () => {
    expect(stealMsOf("cpu  8419026 1343762 1072461 2095496 38522 0 92163 30396 0 0\ncpu0 1 2")).toBe(303_960);
    expect(stealMsOf("cpu 1 2 3\n")).toBeNull();
  });
});

test("the picture names faults and levels, and escapes what could be markup", () => {
  const changes = [{ atMs: 5_100, from: "FULL", to: "LITE", reason: "full-hangs" }];
  const svg = timelineOf(drive({}, { changes }), promised, "a <drive>");
  expect(svg).toContain("<title>a &#60;drive&#62;</title>");
  expect(svg).toContain("LITE: full-hangs, from 5.1 s");
  expect(svg).toContain(">stopped</text>");
});
