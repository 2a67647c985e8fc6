/** What a drive's answers say about its promises. Pure. */
import { type FirmTask, isBroken, noMisses, withFrame } from "@tributary/driving";
import { quantilesOf } from "@tributary/testing";

export type DriveAnswer = {
  /** When it was received, in ms since the start of the drive. */
  readonly atMs: number;
  /** From capture to answer, by the device. */
  readonly latencyMs: number;
  readonly level: string;
};

export type DriveChange = {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
};

export type DrivePhase = { readonly name: string; readonly fromMs: number; readonly untilMs: number };

/** The hypervisor ran other guests for `ms` of all processors' time in between: nothing here could run then. */
export type Stolen = { readonly fromMs: number; readonly untilMs: number; readonly ms: number };

export type DriveLog = {
  readonly answers: readonly DriveAnswer[];
  readonly changes: readonly DriveChange[];
  readonly stolen: readonly Stolen[];
  readonly phases: readonly DrivePhase[];
};

export type Promised = { readonly deadlineMs: number; readonly periodMs: number; readonly firm: FirmTask };

export type PhaseAccount = {
  readonly name: string;
  readonly answers: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly full: number;
  readonly lite: number;
  /** The last label again, or the cloud's. */
  readonly stale: number;
  /** Later than the deadline, or stale, and not for `stolen` time. */
  readonly misses: number;
  /** Most of them one after the other. */
  readonly missesInARow: number;
  /** Frames at which more than k - m of the last k were missed. */
  readonly violations: number;
  /** Times without an answer for longer than a period and a deadline, without what was stolen of them, and the longest, in ms. */
  readonly silences: number;
  readonly longestGapMs: number;
  /** What the hypervisor took, in ms; missed frames and silences that would have been none without it. */
  readonly stolenMs: number;
  readonly missesStolen: number;
  readonly silencesStolen: number;
};

/** Two ticks, the unit in which a kernel counts: a frame that waits for as long is no more the device's. */
const STOLEN_MS_MIN = 20;
/** A kernel counts what was stolen once it runs again. */
const COUNTED_WITHIN_MS = 40;

/** Ms that were stolen in between. */
function stolenIn(stolen: readonly Stolen[], fromMs: number, untilMs: number): number {
  const own = stolen.filter((one) => one.untilMs > fromMs && one.fromMs < untilMs + COUNTED_WITHIN_MS);
  return own.reduce((sum, { ms }) => sum + ms, 0);
}

/** Too late, or none of this frame. */
const isBad = ({ latencyMs, level }: DriveAnswer, { deadlineMs }: Promised): boolean =>
  latencyMs > deadlineMs || !["FULL", "LITE"].includes(level);

/** Whether it would have been in time on a machine that is not shared. */
function isStolen({ atMs, latencyMs }: DriveAnswer, stolen: readonly Stolen[], { deadlineMs }: Promised): boolean {
  const ms = stolenIn(stolen, atMs - latencyMs, atMs);
  return ms >= STOLEN_MS_MIN && latencyMs - ms <= deadlineMs;
}

/** One of each phase; a promise that breaks at the beginning of a phase counts there. */
export function accountOfDrive({ answers, stolen, phases }: DriveLog, promised: Promised): readonly PhaseAccount[] {
  const { deadlineMs, periodMs, firm } = promised;
  const isMissed = (answer: DriveAnswer) => isBad(answer, promised) && !isStolen(answer, stolen, promised);
  let misses = noMisses;
  const isViolated = answers.map((answer) => {
    const missed = isMissed(answer);
    misses = withFrame(misses, missed, firm);
    return missed && isBroken(misses, firm);
  });
  const silentMs = periodMs + deadlineMs;
  const gaps = answers.map(({ atMs }, i) => {
    const fromMs = answers[i - 1]?.atMs ?? atMs;
    return { fromMs, ms: atMs - fromMs };
  });
  const withoutStolen = (gap: { readonly fromMs: number; readonly ms: number }) =>
    gap.ms <= silentMs ? gap.ms : gap.ms - Math.min(gap.ms, stolenIn(stolen, gap.fromMs, gap.fromMs + gap.ms));
  return phases.map(({ name, fromMs, untilMs }) => {
    const isIn = (atMs: number) => atMs >= fromMs && atMs < untilMs;
    const own = answers.filter(({ atMs }) => isIn(atMs));
    const [p50, p99, p999, max] = quantilesOf(
      own.map(({ latencyMs }) => latencyMs),
      0.5,
      0.99,
      0.999,
      1,
    );
    const ofLevel = (level: string) => own.filter((answer) => answer.level === level).length;
    // The silence of a phase may end after it, or never.
    const last = answers.at(-1)?.atMs ?? fromMs;
    const open = isIn(last)
      ? [{ fromMs: last, ms: untilMs - last }]
      : own.length === 0
        ? [{ fromMs, ms: untilMs - fromMs }]
        : [];
    const all = [...gaps.filter((gap) => isIn(gap.fromMs)), ...open];
    const ownMs = all.map(withoutStolen);
    const silences = ownMs.filter((ms) => ms > silentMs).length;
    const missed = own.filter(isMissed).length;
    return {
      name,
      answers: own.length,
      ...{ p50, p99, p999, max },
      full: ofLevel("FULL"),
      lite: ofLevel("LITE"),
      stale: ofLevel("STALE") + ofLevel("CLOUD"),
      misses: missed,
      missesInARow: longestRun(own.map(isMissed)),
      violations: answers.filter(({ atMs }, i) => isIn(atMs) && isViolated[i]).length,
      silences,
      longestGapMs: Math.max(0, ...ownMs),
      stolenMs: stolen.filter((one) => isIn(one.untilMs)).reduce((sum, { ms }) => sum + ms, 0),
      missesStolen: own.filter((answer) => isBad(answer, promised)).length - missed,
      silencesStolen: all.filter(({ ms }) => ms > silentMs).length - silences,
    };
  });
}

export type MissedFrame = DriveAnswer & { readonly phase: string; readonly stolenMs: number };

/** Every frame that was missed, also in stolen time: for finding out why. */
export function missedFrames({ answers, stolen, phases }: DriveLog, promised: Promised): readonly MissedFrame[] {
  return answers
    .filter((answer) => isBad(answer, promised))
    .map((answer) => ({
      ...answer,
      phase: phases.find(({ fromMs, untilMs }) => answer.atMs >= fromMs && answer.atMs < untilMs)?.name ?? "before",
      stolenMs: stolenIn(stolen, answer.atMs - answer.latencyMs, answer.atMs),
    }));
}

/** Changes to a worse level that nothing provoked, nor a frame that was missed for stolen time. */
export function unprovoked(
  { answers, changes, stolen }: DriveLog,
  isIn: (atMs: number) => boolean,
): readonly DriveChange[] {
  return changes.filter(({ atMs, from, to }) => {
    if (!isIn(atMs) || LEVELS.indexOf(to) < LEVELS.indexOf(from)) return false;
    const near = answers.filter((one) => Math.abs(one.atMs - atMs) < CAUSE_MS);
    return !near.some((one) => stolenIn(stolen, one.atMs - one.latencyMs, one.atMs) >= STOLEN_MS_MIN);
  });
}

const LEVELS = ["FULL", "LITE", "STALE", "SAFE"];
/** A level follows its frame. */
const CAUSE_MS = 100;

function longestRun(flags: readonly boolean[]): number {
  let [run, longest] = [0, 0];
  for (const flag of flags) {
    run = flag ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}
