/**
 * What a drive's promises came to, by its camera's report and its reader's: which frame was captured when, which answer arrived when, and when
 * SAFE was known. What the device says of its own times is used by the reader's watchdog, which has nothing else, and where it says that its load is too high. Pure, and without the device's code.
 *
 * D1. A frame is answered in time when a model's answer to it, or to a newer one, arrived within the deadline of its capture. A repeated label is
 *     no such answer.
 * D2. The reader is in SAFE while the device signals it, and by its watchdog (docs/safety-case.md): one and a half periods and a deadline after the capture of the
 *     newest frame that a model answered in time, both by the answer's own latency, until there is a newer one.
 * D3. A frame that breaks (m,k) is a violation unless the reader is in SAFE when its deadline passes.
 * D4. SAFE is false where no frame near it breaks (m,k) at .8 of the deadline: then the device has to decide, to be in time.
 * D5. Where the machine stood still (pauses.ts), that time is taken off: a frame, a silence or a statement that it alone explains is excused, and counted apart.
 *     A phase in which it stood still for longer than the deadline is not measured.
 */
import { quantilesOf } from "@tributary/testing";
import type { Shown } from "./camera.ts";
import type { Pause } from "./pauses.ts";

/** When it was received, in ms since the start of the drive; `stampUs`: the frame that it is of; `statedMs`: since its capture, as the device says. */
export type DriveAnswer = {
  readonly atMs: number;
  readonly stampUs: number | null;
  readonly level: string;
  readonly statedMs: number;
};

export type DriveChange = {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
};

/**
 * What a phase has to show. `kept`: a model answers, (m,k) is kept. `firm`: it is kept, or SAFE in time. `safe`: SAFE is signalled, soon. `overload`: as `firm`, or the device
 * says that it was later in that phase than its promise allows.
 */
export type Expected = "kept" | "firm" | "safe" | "overload";

/** What the device says of its load at a moment: how late it was lately, and when it was last later than its promise allows; null: never. */
export type StatedLoad = { readonly atMs: number; readonly longestMs: number; readonly stalledAtMs: number | null };

export type DrivePhase = {
  readonly name: string;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly expects: Expected;
  readonly fps: number;
  /** What was to happen did; null: nothing was. */
  readonly happened: boolean | null;
  /** The device was at FULL again at its end; null: it was not waited for. */
  readonly recovered: boolean | null;
};

export type DriveLog = {
  /** The camera's frames, in order of capture. */
  readonly frames: readonly Shown[];
  readonly answers: readonly DriveAnswer[];
  readonly changes: readonly DriveChange[];
  /** The pauses of all processors, in any order. */
  readonly pauses: readonly Pause[];
  /** Asked once a second. */
  readonly loads: readonly StatedLoad[];
  /** The moments at which the reader itself ran late, and by how much. */
  readonly lates: readonly { readonly atMs: number; readonly ms: number }[];
  readonly phases: readonly DrivePhase[];
};

/** `met` of any `of` successive frames are answered within the deadline. */
export type Promised = { readonly deadlineMs: number; readonly firm: { readonly met: number; readonly of: number } };

export type Frame = Shown & {
  /** From capture to the first answer, of any level, to it or to a newer one; infinite: there was none. */
  readonly latencyMs: number;
  /** Its own answer's level; null: it has no answer of its own. */
  readonly level: string | null;
  readonly isMissed: boolean;
  /** Without the machine's pauses it would have been answered in time, so that it is not missed. */
  readonly isExcused: boolean;
  readonly pausedMs: number;
  /** Its miss breaks (m,k). */
  readonly isBreaking: boolean;
};

export type PhaseAccount = Pick<DrivePhase, "name" | "fromMs" | "untilMs" | "expects" | "happened" | "recovered"> & {
  readonly frames: number;
  /** Frames that have an answer of their own. */
  readonly answers: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly full: number;
  readonly lite: number;
  /** The last label again, or the cloud's. */
  readonly stale: number;
  readonly misses: number;
  /** Most of them one after the other. */
  readonly missesInARow: number;
  /** Frames that break (m,k), and how many of them while SAFE was signalled, and while only the watchdog knew. The others are violations (D3). */
  readonly breaks: number;
  readonly safeSignalled: number;
  readonly safeByWatchdog: number;
  readonly violations: number;
  /** From the capture of a frame that breaks it to SAFE, at most; 0: none did. */
  readonly safeMsMax: number;
  /** From the phase's start to the first signal of SAFE in it; null: there was none, also where it was signalled before. */
  readonly safeAfterMs: number | null;
  /** Times without an answer for longer than a period and a deadline, without the machine's pauses in them, and the longest, in ms. */
  readonly silences: number;
  readonly longestGapMs: number;
  /** D5. False: what this phase shows is neither well nor bad. */
  readonly isMeasured: boolean;
  /** The machine's pauses, in ms, and the longest; missed frames and silences that would have been none without them. */
  readonly pausedMs: number;
  readonly pauseMsMax: number;
  readonly missesExcused: number;
  readonly silencesExcused: number;
  /** The reader itself was so late at most. */
  readonly readerLateMs: number;
  /** The camera's frames, of those that its rate makes. */
  readonly cameraShare: number;
  /** How late the device says it was at most; null: it says nothing. */
  readonly statedLateMs: number | null;
  /** The device was later than its promise allows in this phase, as it says; and violations of which it did not say that when it was asked next. */
  readonly saysBeyond: boolean;
  readonly unstated: number;
  /** Times that SAFE was signalled without a frame that breaks (m,k), nor a pause, and the share of the time since the first signal in which it was signalled. */
  readonly falseSafes: number;
  readonly safeShare: number;
};

type Span = { readonly fromMs: number; readonly untilMs: number };

/** A device is a few milliseconds late by itself. With pauses of so many more its level may change, and it may say that it is too late. */
const PAUSED_MS_MIN = 5;
/** So long before a device says that it was late it may have been. */
const STATED_WITHIN_MS = 100;
/** The reader looks whether it is late this often. */
const READER_TICK_MS = 10;
const MODELS = ["FULL", "LITE"];
/** The share of the deadline at which the device has to decide (D4). */
const DECIDED_AT = 0.8;
/** The watchdog (D2) waits for so many periods and a deadline: between the deadline of the next frame and that of the one after it. */
const WATCHDOG_PERIODS = 1.5;

/** Ms in between that the spans cover, which do not overlap. */
function msIn(spans: readonly Span[], fromMs: number, untilMs: number): number {
  const own = spans.map((span) => Math.min(span.untilMs, untilMs) - Math.max(span.fromMs, fromMs));
  return own.reduce((ms, one) => ms + Math.max(0, one), 0);
}

/** The times at which some processor stood still, of those that reach into this one; several that overlap are one. */
function standstillsIn(pauses: readonly Pause[], { fromMs, untilMs }: Span): readonly Span[] {
  const own = pauses.filter((one) => one.untilMs > fromMs && one.fromMs < untilMs);
  const united: Span[] = [];
  for (const one of own.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = united.at(-1);
    if (last === undefined || one.fromMs > last.untilMs) united.push(one);
    else united[united.length - 1] = { fromMs: last.fromMs, untilMs: Math.max(last.untilMs, one.untilMs) };
  }
  return united;
}

/** Ms in between in which a processor stood still. */
const pausedIn = (pauses: readonly Pause[], fromMs: number, untilMs: number): number =>
  msIn(standstillsIn(pauses, { fromMs, untilMs }), fromMs, untilMs);

/** The longest time on end in which a processor stood still, of those that reach into this one. */
const pauseMsMaxIn = (pauses: readonly Pause[], span: Span): number =>
  Math.max(0, ...standstillsIn(pauses, span).map(({ fromMs, untilMs }) => untilMs - fromMs));

/** Every frame that the camera captured, with what became of it. */
export function framesOf(
  { frames, answers, pauses, lates }: DriveLog,
  { deadlineMs, firm }: Promised,
): readonly Frame[] {
  const own = new Map(answers.toReversed().map((answer) => [answer.stampUs, answer])); // The first of each.
  const ofModels = new Map(
    answers
      .filter(({ level }) => MODELS.includes(level))
      .toReversed()
      .map(({ stampUs, atMs }) => [stampUs, atMs]),
  );
  const never = Number.POSITIVE_INFINITY;
  let [anyAt, modelAt] = [never, never];
  const served = frames.toReversed().map(({ stampUs }) => {
    anyAt = Math.min(anyAt, own.get(stampUs)?.atMs ?? never); // D1
    modelAt = Math.min(modelAt, ofModels.get(stampUs) ?? never);
    return { anyAt, modelAt };
  });
  const window: boolean[] = [];
  return frames.map((frame, i) => {
    const { anyAt, modelAt } = served[frames.length - 1 - i] as (typeof served)[number];
    const { capturedMs, stampUs } = frame;
    const tookMs = modelAt - capturedMs - readerLateAt(lates, modelAt);
    const isLate = tookMs > deadlineMs;
    const pausedMs = isLate ? pausedIn(pauses, capturedMs, Math.min(modelAt, capturedMs + 2 * deadlineMs)) : 0;
    const isExcused = isLate && tookMs - pausedMs <= deadlineMs;
    const isMissed = isLate && !isExcused;
    window.push(isMissed);
    if (window.length > firm.of) window.shift();
    const isBreaking = isMissed && window.filter(Boolean).length > firm.of - firm.met;
    const level = own.get(stampUs)?.level ?? null;
    return { ...frame, latencyMs: anyAt - capturedMs, level, isMissed, isExcused, pausedMs, isBreaking };
  });
}

/** When the reader was in SAFE (D2). */
type Safe = { readonly signalled: readonly Span[]; readonly watchdog: readonly Span[] };

/** One of each phase; a promise that breaks at the beginning of a phase counts there. */
export function accountOfDrive(log: DriveLog, promised: Promised): readonly PhaseAccount[] {
  const frames = framesOf(log, promised);
  const decided = framesOf(log, { ...promised, deadlineMs: DECIDED_AT * promised.deadlineMs });
  const safe = { ...safeOf(log, promised), provokedAt: decided.filter(provokes).map(({ capturedMs }) => capturedMs) };
  return log.phases.map((phase) => accountOf(phase, log, frames, safe, promised));
}

/** Frames that break (m,k) without SAFE in time (D3): for finding out why. */
export function violationsOf(log: DriveLog, promised: Promised): readonly Frame[] {
  const { signalled, watchdog } = safeOf(log, promised);
  return framesOf(log, promised).filter(
    ({ isBreaking, capturedMs }) =>
      isBreaking &&
      isWithin(log.phases, capturedMs) &&
      !isWithin([...signalled, ...watchdog], capturedMs + promised.deadlineMs),
  );
}

function accountOf(
  phase: DrivePhase,
  { answers, pauses, lates, loads }: DriveLog,
  frames: readonly Frame[],
  { signalled, watchdog, provokedAt }: Safe & { readonly provokedAt: readonly number[] },
  { deadlineMs }: Promised,
): PhaseAccount {
  const { name, expects, fromMs, untilMs, fps, happened, recovered } = phase;
  const isIn = (atMs: number) => atMs >= fromMs && atMs < untilMs;
  const silentMs = 1_000 / fps + deadlineMs;
  const own = frames.filter(({ capturedMs }) => isIn(capturedMs));
  const answered = own.filter(({ level }) => level !== null);
  const ofLevel = (level: string) => answered.filter((frame) => frame.level === level).length;
  const [p50, p99, p999, max] = quantilesOf(
    own.map(({ latencyMs }) => latencyMs),
    0.5,
    0.99,
    0.999,
    1,
  );
  const gaps = gapsIn(phase, answers, silentMs);
  const gapsMs = gaps.map((gap) => withoutPauses(gap, pauses, silentMs));
  const breaks = own.filter(({ isBreaking }) => isBreaking);
  const isKnown = (spans: readonly Span[]) => (frame: Frame) => isWithin(spans, frame.capturedMs + deadlineMs);
  const safeSignalled = breaks.filter(isKnown(signalled));
  const rest = breaks.filter((frame) => !safeSignalled.includes(frame));
  const isLate = (frame: Frame) => !isKnown(watchdog)(frame);
  const late = rest.filter(isLate);
  const isStated = ({ capturedMs }: Frame) => {
    const next = loads.find(({ atMs }) => atMs > capturedMs + deadlineMs);
    return (next?.stalledAtMs ?? Number.NEGATIVE_INFINITY) >= capturedMs;
  };
  const safes = signalled.filter((span) => isIn(span.fromMs));
  const [firstSafe] = safes;
  const isFalse = (span: Span) => !provokedAt.some((capturedMs) => Math.abs(capturedMs - span.fromMs) < CAUSE_MS); // D4
  const stated = loads.filter(({ atMs }) => isIn(atMs)).map(({ longestMs }) => longestMs);
  const silences = gapsMs.filter((ms) => ms > silentMs).length;
  const pauseMsMax = pauseMsMaxIn(pauses, phase);
  return {
    ...{ name, fromMs, untilMs, expects, happened, recovered },
    frames: own.length,
    answers: answered.length,
    ...{ p50, p99, p999, max },
    full: ofLevel("FULL"),
    lite: ofLevel("LITE"),
    stale: ofLevel("STALE") + ofLevel("CLOUD"),
    misses: own.filter(({ isMissed }) => isMissed).length,
    missesInARow: longestRun(own.map(({ isMissed }) => isMissed)),
    breaks: breaks.length,
    safeSignalled: safeSignalled.length,
    safeByWatchdog: rest.length - late.length,
    violations: late.length,
    safeMsMax: Math.max(
      0,
      ...breaks.map(({ capturedMs }) => msToSafe([...signalled, ...watchdog], capturedMs, deadlineMs)),
    ),
    safeAfterMs: firstSafe === undefined ? null : firstSafe.fromMs - fromMs,
    silences,
    longestGapMs: Math.max(0, ...gapsMs),
    isMeasured: pauseMsMax <= deadlineMs, // D5
    ...{ pausedMs: pausedIn(pauses, fromMs, untilMs), pauseMsMax },
    missesExcused: own.filter(({ isExcused }) => isExcused).length,
    silencesExcused: gaps.filter(lengthOver(silentMs)).length - silences,
    readerLateMs: Math.max(0, ...lates.filter(({ atMs }) => isIn(atMs)).map(({ ms }) => ms)),
    cameraShare: own.length / (((untilMs - fromMs) * fps) / 1_000),
    statedLateMs: stated.length === 0 ? null : Math.max(...stated),
    saysBeyond: loads.some(({ stalledAtMs }) => stalledAtMs !== null && isIn(stalledAtMs)),
    unstated: late.filter((frame) => !isStated(frame)).length,
    falseSafes: safes.filter(isFalse).length,
    safeShare: firstSafe === undefined ? 0 : msIn(signalled, firstSafe.fromMs, untilMs) / (untilMs - firstSafe.fromMs),
  };
}

const provokes = ({ isBreaking, isExcused }: Frame): boolean => isBreaking || isExcused;

/** What arrives while the reader itself is late arrived before. */
function readerLateAt(lates: DriveLog["lates"], atMs: number): number {
  const own = lates.find((one) => one.atMs - one.ms <= atMs && atMs <= one.atMs + READER_TICK_MS);
  return own?.ms ?? 0;
}

const lengthOver =
  (ms: number) =>
  ({ fromMs, untilMs }: Span): boolean =>
    untilMs - fromMs > ms;

const isWithin = (spans: readonly Span[], atMs: number): boolean =>
  spans.some(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs);

/** The wait for SAFE, among spans that had not ended when the deadline passed. */
function msToSafe(spans: readonly Span[], capturedMs: number, deadlineMs: number): number {
  const known = spans.filter(({ untilMs }) => untilMs > capturedMs + deadlineMs).map(({ fromMs }) => fromMs);
  return Math.max(0, Math.min(...known) - capturedMs);
}

function signalledSafe(changes: readonly DriveChange[]): readonly Span[] {
  return changes.flatMap(({ atMs, to }, i) =>
    to === "SAFE" ? [{ fromMs: atMs, untilMs: changes[i + 1]?.atMs ?? Number.POSITIVE_INFINITY }] : [],
  );
}

function safeOf({ answers, changes, phases }: DriveLog, { deadlineMs }: Promised): Safe {
  const waitOf = (atMs: number) => {
    const { fps } = phases.findLast(({ fromMs }) => fromMs <= atMs) ?? (phases[0] as DrivePhase);
    return (WATCHDOG_PERIODS * 1_000) / fps + deadlineMs;
  };
  const watchdog: Span[] = [];
  let safeFromMs = Number.POSITIVE_INFINITY; // Of the newest frame that was answered in time.
  for (const { atMs, level, statedMs } of answers) {
    if (!MODELS.includes(level) || statedMs > deadlineMs) continue;
    const ownMs = atMs - statedMs + waitOf(atMs);
    if (safeFromMs !== Number.POSITIVE_INFINITY && ownMs <= safeFromMs) continue;
    if (atMs > safeFromMs) watchdog.push({ fromMs: safeFromMs, untilMs: atMs });
    safeFromMs = ownMs;
  }
  watchdog.push({ fromMs: safeFromMs, untilMs: Number.POSITIVE_INFINITY });
  return { signalled: signalledSafe(changes), watchdog };
}

/** The times between two answers; the last one lasts until then. */
const gapsOf = (answers: readonly DriveAnswer[], untilMs: number): readonly Span[] =>
  answers.map(({ atMs }, i) => ({ fromMs: atMs, untilMs: answers[i + 1]?.atMs ?? Math.max(atMs, untilMs) }));

/** The gaps that began in this phase, or made a silence in it: one may end after the phase, or never. */
function gapsIn({ fromMs, untilMs }: DrivePhase, answers: readonly DriveAnswer[], silentMs: number): readonly Span[] {
  return gapsOf(answers, untilMs).filter(
    (gap) =>
      (gap.fromMs >= fromMs && gap.fromMs < untilMs) ||
      (gap.fromMs < fromMs && Math.min(gap.untilMs, untilMs) - fromMs > silentMs),
  );
}

function withoutPauses({ fromMs, untilMs }: Span, pauses: readonly Pause[], silentMs: number): number {
  const ms = untilMs - fromMs;
  return ms <= silentMs ? ms : ms - pausedIn(pauses, fromMs, untilMs);
}

/** What happened at a moment; `isExcused`: a pause explains it (D5). */
export type Moment = { readonly atMs: number; readonly isExcused: boolean };

/** Changes to a worse level. */
export function worsenings({ changes, pauses }: DriveLog, frames: readonly Frame[]): readonly Moment[] {
  const worse = changes.filter(({ from, to }) => LEVELS.indexOf(to) > LEVELS.indexOf(from));
  return worse.map(({ atMs }) => {
    const near = frames.filter(({ capturedMs }) => Math.abs(capturedMs - atMs) < CAUSE_MS);
    return { atMs, isExcused: near.some(({ capturedMs }) => pausedIn(pauses, capturedMs, atMs) >= PAUSED_MS_MIN) };
  });
}

/** When the device was later than its promise allows, as it says. */
export function statedStalls({ loads, pauses }: DriveLog): readonly Moment[] {
  const moments: number[] = [];
  for (const { stalledAtMs } of loads) {
    if (stalledAtMs === null) continue;
    if (stalledAtMs - (moments.at(-1) ?? Number.NEGATIVE_INFINITY) > SAME_MOMENT_MS) moments.push(stalledAtMs);
  }
  return moments.map((atMs) => ({
    atMs,
    isExcused: pausedIn(pauses, atMs - STATED_WITHIN_MS, atMs) >= PAUSED_MS_MIN,
  }));
}

/** Two statements no farther apart are about the same moment. */
const SAME_MOMENT_MS = 200;
const LEVELS = ["FULL", "LITE", "STALE", "SAFE"];
/** A level follows its frame. */
const CAUSE_MS = 150;

function longestRun(flags: readonly boolean[]): number {
  let [run, longest] = [0, 0];
  for (const flag of flags) {
    run = flag ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}
