import { describe, expect, test } from "@jest/globals";
import {
  accountOfDrive,
  type DriveLog,
  type DrivePhase,
  framesOf,
  type Promised,
  statedStalls,
  worsenings,
} from "./account.ts";
import type { Shown } from "./camera.ts";
import { pauseBetween } from "./pauses.ts";
import { idleChecks, reportOfDrive } from "./report.ts";
import type { Drive } from "./run.ts";
import { timelineOf } from "./timeline.ts";

const promised: Promised = { deadlineMs: 50, firm: { met: 19, of: 20 } };
const PERIOD_MS = 50;
const phase = (name: string, fromMs: number, untilMs: number): DrivePhase => ({
  ...{ name, fromMs, untilMs },
  expects: "kept",
  fps: 20,
  happened: null,
  recovered: null,
});
const phases = [phase("idle", 0, 5_000), phase("stopped", 5_000, 10_000)];
const shown = (i: number): Shown => ({ capturedMs: PERIOD_MS * i, stampUs: 7_000_000 + i, sent: "road" });

/** 200 frames, each answered by FULL after 8 ms, but for those that are given; null: none. */
function drive(
  given: Readonly<Record<number, { readonly ms?: number; readonly level?: string; readonly statedMs?: number } | null>>,
  rest: Partial<DriveLog> = {},
): DriveLog {
  const frames = Array.from({ length: 200 }, (_, i) => shown(i));
  const answers = frames.flatMap(({ capturedMs, stampUs }, i) => {
    const own = given[i];
    if (own === null) return [];
    const ms = own?.ms ?? 8;
    return [{ atMs: capturedMs + ms, stampUs, level: own?.level ?? "FULL", statedMs: own?.statedMs ?? ms }];
  });
  const inOrder = answers.toSorted((a, b) => a.atMs - b.atMs);
  return { frames, answers: inOrder, changes: [], pauses: [], lates: [], loads: [], phases, ...rest };
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
    const changes = (atMs: number) => [
      { atMs, from: "FULL", to: "SAFE", reason: "agent-late" },
      { atMs: 7_000, from: "SAFE", to: "FULL", reason: "recovered" },
    ];
    const stale = { 20: { level: "STALE" }, 22: { level: "STALE" }, 120: { level: "STALE" }, 122: { level: "STALE" } };
    const of = (atMs: number) => accountOfDrive(drive(stale, { changes: changes(atMs) }), promised);
    // Frame 20 is missed, 22 breaks it; its deadline is at 1,150.
    expect(of(1_150)[0]).toMatchObject({
      breaks: 1,
      safeSignalled: 1,
      violations: 0,
      safeMsMax: 50,
      safeAfterMs: 1_150,
    });
    expect(of(1_151)[0]).toMatchObject({ breaks: 1, safeSignalled: 0, violations: 1, safeMsMax: 51 });
    // SAFE from before is in time, and no answer to what happens later.
    expect(of(1_150)[1]).toMatchObject({ breaks: 1, safeSignalled: 1, safeAfterMs: null });
  });

  test("silence is SAFE by the watchdog, and is where it began, also when it never ends", () => {
    const [idle] = accountOfDrive(drive(none(20, 30)), promised);
    expect(idle).toMatchObject({ silences: 1, breaks: 9, safeByWatchdog: 9, violations: 0, safeAfterMs: null });
    const [before, stopped] = accountOfDrive(drive(none(110, 200)), promised);
    expect(before?.silences).toBe(0);
    expect(stopped).toMatchObject({ answers: 10, silences: 1, longestGapMs: 10_000 - 5_458 });
  });

  test("neither repeated labels nor late answers keep the watchdog from SAFE; an answer that says it is in time does, and is not", () => {
    const same = (from: number, to: number, what: object) =>
      Object.fromEntries(Array.from({ length: to - from }, (_, i) => [from + i, what]));
    for (const what of [{ level: "STALE" }, { ms: 60 }]) {
      expect(accountOfDrive(drive(same(20, 30, what)), promised)[0]).toMatchObject({ breaks: 9, safeByWatchdog: 9 });
    }
    const trusting = accountOfDrive(drive(same(20, 30, { ms: 60, statedMs: 8 })), promised)[0];
    expect(trusting).toMatchObject({ breaks: 9, violations: 9 });
  });

  test("SAFE that nothing provoked is false; frames that are late at .8 of the deadline provoke it", () => {
    const changes = [
      { atMs: 1_140, from: "FULL", to: "SAFE", reason: "frame-late" },
      { atMs: 3_000, from: "SAFE", to: "FULL", reason: "recovered" },
    ];
    const of = (given: Parameters<typeof drive>[0]) => accountOfDrive(drive(given, { changes }), promised)[0];
    expect(of({})).toMatchObject({ falseSafes: 1, breaks: 0 });
    expect(of({ 20: { ms: 45 }, 22: { ms: 45 } })).toMatchObject({ falseSafes: 0, breaks: 0, misses: 0 });
  });

  test("an answer that a late reader reads late is in time", () => {
    const lates = [{ atMs: 2_060, ms: 15 }];
    const of = (rest: Partial<DriveLog>) => accountOfDrive(drive({ 40: { ms: 58 } }, rest), promised)[0]?.misses;
    expect([of({}), of({ lates })]).toEqual([1, 0]);
  });

  test("the device's word about its load counts in the phase that it is about, once a moment", () => {
    const load = (atMs: number, stalledAtMs: number | null) => ({ atMs, longestMs: 3, stalledAtMs });
    const loads = [load(1_000, null), load(6_000, 5_100), load(7_000, 5_101), load(8_000, 7_500)];
    const log = drive({}, { loads });
    const [idle, stopped] = accountOfDrive(log, promised);
    expect([idle?.saysBeyond, stopped?.saysBeyond, stopped?.cameraShare]).toEqual([false, true, 1]);
    const moments = (isExcused: boolean) => [
      { atMs: 5_100, isExcused },
      { atMs: 7_500, isExcused: false },
    ];
    expect(statedStalls(log)).toEqual(moments(false));
    expect(statedStalls({ ...log, pauses: [{ fromMs: 5_050, untilMs: 5_090 }] })).toEqual(moments(true));
  });
});

describe("on a machine that pauses", () => {
  const late = (ms: number) => ({ 40: { ms: 8 + ms }, 41: { ms: 8 + ms }, 42: { ms: 8 + ms } });
  const paused = (ms: number, fromMs = 2_005) => [{ fromMs, untilMs: fromMs + ms }];

  test("a frame or a silence that a pause explains is counted apart, and one that it does not explain is not", () => {
    const of = (ms: number, fromMs?: number) =>
      accountOfDrive(drive(late(110), { pauses: paused(ms, fromMs) }), promised)[0];
    expect(of(110)).toMatchObject({ misses: 0, missesExcused: 3, silences: 0, silencesExcused: 1, pausedMs: 110 });
    expect(of(20)).toMatchObject({ misses: 3, missesExcused: 0, pausedMs: 20 });
    expect(of(20, 2_105)).toMatchObject({ misses: 2, missesExcused: 1, pausedMs: 20 });
    expect(of(110, 3_000)).toMatchObject({ misses: 3, silences: 1, pausedMs: 110 });
  });

  test("pauses of several processors at the same time count once", () => {
    const both = [...paused(60), ...paused(60, 2_025)];
    for (const pauses of [both, both.toReversed()]) {
      const [idle] = accountOfDrive(drive({}, { pauses }), promised);
      expect(idle).toMatchObject({ pausedMs: 80, pauseMsMax: 80, isMeasured: false });
    }
  });

  test("a phase is measured where no pause is longer than the deadline, however many there are, and whichever phase it began in", () => {
    const of = (pauses: DriveLog["pauses"]) =>
      accountOfDrive(drive({}, { pauses }), promised).map(({ isMeasured }) => isMeasured);
    expect(of([...paused(50), ...paused(50, 2_060), ...paused(50, 2_120)])).toEqual([true, true]);
    expect(of(paused(51))).toEqual([false, true]);
    expect(of(paused(51, 4_960))).toEqual([false, false]);
  });

  test("a pause is what a sleeper neither asked for, nor computed, nor waited behind others", () => {
    const before = { atMs: 100, ownMs: 7 };
    expect(pauseBetween(before, { atMs: 101.5, ownMs: 7.1 })).toBeNull();
    expect(pauseBetween(before, { atMs: 105, ownMs: 10.5 })).toBeNull();
    expect(pauseBetween(before, { atMs: 112, ownMs: 10 })).toEqual({ fromMs: 104, untilMs: 112 });
  });

  test("a change to a worse level that follows such a frame is provoked; the next one is not", () => {
    const changes = [
      { atMs: 2_130, from: "FULL", to: "LITE", reason: "frame-late" },
      { atMs: 3_000, from: "LITE", to: "FULL", reason: "recovered" },
      { atMs: 4_000, from: "FULL", to: "LITE", reason: "frame-late" },
    ];
    const of = (ms: number) => {
      const log = drive(late(110), { changes, pauses: paused(ms) });
      return worsenings(log, framesOf(log, promised)).map(({ isExcused }) => isExcused);
    };
    expect(of(110)).toEqual([true, false]);
    expect(of(0)).toEqual([false, false]);
  });
});

describe("the report of a drive", () => {
  const ran = (log: DriveLog): Drive => ({
    ...log,
    ...{ isShort: false, realtime: false, skipped: ["a fault: it needs --realtime"], areInstrumentsAhead: true },
  });
  const checkIn = ({ checks }: Pick<ReturnType<typeof reportOfDrive>, "checks">, name: string) =>
    checks.find((one) => one.name.includes(name));
  const broken = (from: number) => ({ [from]: { ms: 70 }, [from + 2]: { ms: 70 } });

  test("what breaks a promise fails; the machine's standstill is beside it", () => {
    const report = reportOfDrive(ran(drive(broken(20), { pauses: [{ fromMs: 3_000, untilMs: 3_012 }] })), "drive");
    const kept = checkIn(report, "kept by models' answers");
    expect(kept?.holds).toBe(false);
    expect(kept?.found).toMatch(
      /^idle: 1 of 100 frames break it; in 2 of 2 phases .*stood still for 12\.0 ms at most$/,
    );
    expect(report.notes).toContain("Left out: a fault: it needs --realtime.");
  });

  test("a phase in which the machine stood still for longer than the deadline neither passes nor fails", () => {
    const pauses = [{ fromMs: 3_000, untilMs: 3_060 }];
    const report = reportOfDrive(ran(drive(broken(20), { pauses })), "drive");
    expect(checkIn(report, "kept by models' answers")).toMatchObject({ holds: true });
    expect(checkIn(report, "kept by models' answers")?.found).toMatch(/^in 1 of 2 phases .*stood still for 60\.0 ms/);
    expect(report.tables[0]?.rows.map((row) => row[1])).toEqual(["not measured", "kept"]);
    expect(report.notes.join()).toContain(
      "drive: not measured, as the machine stood still for over 50 ms on end: idle (60.0 ms)",
    );
    const other = reportOfDrive(ran(drive(broken(120), { pauses })), "drive");
    expect(checkIn(other, "kept by models' answers")).toMatchObject({ holds: false });
  });

  test("a promise that no phase measured is no check, but a note", () => {
    const pauses = [3_000, 6_000].map((fromMs) => ({ fromMs, untilMs: fromMs + 60 }));
    const { checks, notes } = reportOfDrive(ran(drive({}, { pauses })), "drive");
    expect(checks).toEqual([]);
    expect(notes.filter((note) => note.startsWith("Not measured: drive: "))).toHaveLength(7);
  });

  test("while idle the agent may once say that it was too late, where the machine did not stand still; both are counted", () => {
    const load = (atMs: number, stalledAtMs: number) => ({ atMs, longestMs: 20, stalledAtMs });
    const loads = [load(1_000, 500), load(2_000, 1_500), load(3_000, 2_500), load(7_000, 6_500)];
    const late = (pauses: DriveLog["pauses"]) => idleChecks([ran(drive({}, { loads, pauses }))]);
    const pauseAt = (ms: number, of = 12) => ({ fromMs: ms - of, untilMs: ms });
    const found = (pauses: DriveLog["pauses"]) => checkIn(late(pauses), "says that it is too late");
    expect(found([pauseAt(500)])).toMatchObject({ holds: false });
    expect(found([pauseAt(500)])?.found).toMatch(/^2 in 0\.1 minutes, 1 more by the machine's pauses alone.* 12\.0 ms/);
    expect(found([pauseAt(500), pauseAt(2_500)])).toMatchObject({ holds: true });
    expect(late([pauseAt(4_000, 51)])).toMatchObject({
      checks: [],
      notes: [/^Not measured: /, /^Not measured: /].map((text) => expect.stringMatching(text)),
    });
  });
});

test("the picture names faults and levels, and escapes what could be markup", () => {
  const changes = [{ atMs: 5_100, from: "FULL", to: "LITE", reason: "full-hangs" }];
  const svg = timelineOf(drive({}, { changes }), promised, "a <drive>");
  expect(svg).toContain("<title>a &#60;drive&#62;</title>");
  expect(svg).toContain("LITE: full-hangs, from 5.1 s");
  expect(svg).toContain(">stopped</text>");
});
