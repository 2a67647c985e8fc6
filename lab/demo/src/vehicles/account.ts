/**
 * What a drive's promises came to, by its camera's report and its reader's: which frame was captured when, which answer arrived when, and when
 * SAFE was known. Nothing that the device says of its own times is used. Pure.
 *
 * D1. A frame is answered in time when a model's answer to it, or to a newer one, arrived within the deadline of its capture. A repeated label is
 *     no such answer.
 * D2. The reader is in SAFE while the device signals it, and by its watchdog (docs/safety-case.md) once no answer has come for a period and a deadline, until
 *     the next one comes.
 * D3. A frame that breaks (m,k) is a violation unless the reader is in SAFE when its deadline passes.
 */
import { type FirmTask, isBroken, noMisses, withFrame } from "@tributary/driving";
import { quantilesOf } from "@tributary/testing";
import type { Shown } from "./camera.ts";

/** When it was received, in ms since the start of the drive; `stampUs`: the frame that it is of. */
export type DriveAnswer = { readonly atMs: number; readonly stampUs: number | null; readonly level: string };

export type DriveChange = {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
};

/**
 * What a phase has to show. `kept`: a model answers, (m,k) is kept. `firm`: it is kept, or SAFE in time. `safe`: SAFE is signalled, soon. `overload`: as `firm`, or the device
 * says that its load is too high for that.
 */
export type Expected = "kept" | "firm" | "safe" | "overload";

/** How late the device says it is, and whether its promise holds at that load. */
export type StatedLoad = { readonly longestMs: number; readonly isWithin: boolean };

export type DrivePhase = {
  readonly name: string;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly expects: Expected;
  readonly fps: number;
  readonly load: StatedLoad | null;
};

/** The hypervisor ran other guests for `ms` of all processors' time in between: nothing here could run then. */
export type Stolen = { readonly fromMs: number; readonly untilMs: number; readonly ms: number };

export type DriveLog = {
  /** The camera's frames, in order of capture. */
  readonly frames: readonly Shown[];
  readonly answers: readonly DriveAnswer[];
  readonly changes: readonly DriveChange[];
  readonly stolen: readonly Stolen[];
  /** The moments at which the reader itself ran late, and by how much. */
  readonly lates: readonly { readonly atMs: number; readonly ms: number }[];
  readonly phases: readonly DrivePhase[];
};

export type Promised = { readonly deadlineMs: number; readonly firm: FirmTask };

export type Frame = Shown & {
  /** From capture to the first answer, of any level, to it or to a newer one; infinite: there was none. */
  readonly latencyMs: number;
  /** Its own answer's level; null: it has no answer of its own. */
  readonly level: string | null;
  readonly isMissed: boolean;
  /** It would have been answered in time on a machine that is not shared, and is not missed. */
  readonly isStolen: boolean;
  readonly stolenMs: number;
  /** Its miss breaks (m,k). */
  readonly isBreaking: boolean;
};

export type PhaseAccount = {
  readonly name: string;
  readonly expects: Expected;
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
  /** From the phase's start to the first signal of SAFE; null: there was none. */
  readonly safeAfterMs: number | null;
  /** Times without an answer for longer than a period and a deadline, without what was stolen of them, and the longest, in ms. */
  readonly silences: number;
  readonly longestGapMs: number;
  /** What the hypervisor took, in ms; missed frames and silences that would have been none without it. */
  readonly stolenMs: number;
  readonly missesStolen: number;
  readonly silencesStolen: number;
  /** The reader itself was so late at most. */
  readonly readerLateMs: number;
  readonly load: StatedLoad | null;
};

type Span = { readonly fromMs: number; readonly untilMs: number };

/** Two ticks, the unit in which a kernel counts: a frame that waits for as long is no more the device's. */
const STOLEN_MS_MIN = 20;
/** A kernel counts what was stolen once it runs again. */
const COUNTED_WITHIN_MS = 40;
const MODELS = ["FULL", "LITE"];

/** Ms that were stolen in between. */
function stolenIn(stolen: readonly Stolen[], fromMs: number, untilMs: number): number {
  const own = stolen.filter((one) => one.untilMs > fromMs && one.fromMs < untilMs + COUNTED_WITHIN_MS);
  return own.reduce((sum, { ms }) => sum + ms, 0);
}

/** Every frame that the camera captured, with what became of it. */
export function framesOf({ frames, answers, stolen }: DriveLog, { deadlineMs, firm }: Promised): readonly Frame[] {
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
  let misses = noMisses;
  return frames.map((frame, i) => {
    const { anyAt, modelAt } = served[frames.length - 1 - i] as (typeof served)[number];
    const { capturedMs, stampUs } = frame;
    const tookMs = modelAt - capturedMs;
    const isLate = tookMs > deadlineMs;
    const stolenMs = isLate ? stolenIn(stolen, capturedMs, Math.min(modelAt, capturedMs + 2 * deadlineMs)) : 0;
    const isStolen = stolenMs >= STOLEN_MS_MIN && tookMs - stolenMs <= deadlineMs;
    const isMissed = isLate && !isStolen;
    misses = withFrame(misses, isMissed, firm);
    const isBreaking = isMissed && isBroken(misses, firm);
    const level = own.get(stampUs)?.level ?? null;
    return { ...frame, latencyMs: anyAt - capturedMs, level, isMissed, isStolen, stolenMs, isBreaking };
  });
}

/** When the reader was in SAFE (D2). */
type Safe = { readonly signalled: readonly Span[]; readonly watchdog: readonly Span[] };

/** One of each phase; a promise that breaks at the beginning of a phase counts there. */
export function accountOfDrive(log: DriveLog, promised: Promised): readonly PhaseAccount[] {
  const frames = framesOf(log, promised);
  const safe = safeOf(log, promised);
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
  { answers, stolen, lates }: DriveLog,
  frames: readonly Frame[],
  { signalled, watchdog }: Safe,
  { deadlineMs }: Promised,
): PhaseAccount {
  const { name, expects, fromMs, untilMs, fps, load } = phase;
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
  const gapsMs = gaps.map((gap) => withoutStolen(gap, stolen, silentMs));
  const breaks = own.filter(({ isBreaking }) => isBreaking);
  const isKnown = (spans: readonly Span[]) => (frame: Frame) => isWithin(spans, frame.capturedMs + deadlineMs);
  const safeSignalled = breaks.filter(isKnown(signalled));
  const rest = breaks.filter((frame) => !safeSignalled.includes(frame));
  const safeByWatchdog = rest.filter(isKnown(watchdog)).length;
  const firstSafe = signalled.find((span) => span.untilMs > fromMs && span.fromMs < untilMs);
  const silences = gapsMs.filter((ms) => ms > silentMs).length;
  return {
    name,
    expects,
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
    safeByWatchdog,
    violations: rest.length - safeByWatchdog,
    safeMsMax: Math.max(
      0,
      ...breaks.map(({ capturedMs }) => msToSafe([...signalled, ...watchdog], capturedMs, deadlineMs)),
    ),
    safeAfterMs: firstSafe === undefined ? null : Math.max(0, firstSafe.fromMs - fromMs),
    silences,
    longestGapMs: Math.max(0, ...gapsMs),
    stolenMs: stolen.filter((one) => isIn(one.untilMs)).reduce((sum, { ms }) => sum + ms, 0),
    missesStolen: own.filter(({ isStolen }) => isStolen).length,
    silencesStolen: gaps.filter(lengthOver(silentMs)).length - silences,
    readerLateMs: Math.max(0, ...lates.filter(({ atMs }) => isIn(atMs)).map(({ ms }) => ms)),
    load,
  };
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
  const watchdog = phases.flatMap(({ fromMs, untilMs, fps }) => {
    const silentMs = 1_000 / fps + deadlineMs;
    const own = gapsOf(answers, untilMs).filter((gap) => gap.fromMs >= fromMs && gap.fromMs < untilMs);
    return own.filter(lengthOver(silentMs)).map((gap) => ({ ...gap, fromMs: gap.fromMs + silentMs }));
  });
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

function withoutStolen({ fromMs, untilMs }: Span, stolen: readonly Stolen[], silentMs: number): number {
  const ms = untilMs - fromMs;
  return ms <= silentMs ? ms : ms - Math.min(ms, stolenIn(stolen, fromMs, untilMs));
}

/** Changes to a worse level that nothing provoked, nor a frame that waited for stolen time. */
export function unprovoked(
  { changes, stolen }: DriveLog,
  frames: readonly Frame[],
  isIn: (atMs: number) => boolean,
): readonly DriveChange[] {
  return changes.filter(({ atMs, from, to }) => {
    if (!isIn(atMs) || LEVELS.indexOf(to) < LEVELS.indexOf(from)) return false;
    const near = frames.filter(({ capturedMs }) => Math.abs(capturedMs - atMs) < CAUSE_MS);
    return !near.some(({ capturedMs }) => stolenIn(stolen, capturedMs, atMs) >= STOLEN_MS_MIN);
  });
}

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
