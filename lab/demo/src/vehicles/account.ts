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

export type DriveLog = {
  readonly answers: readonly DriveAnswer[];
  readonly changes: readonly DriveChange[];
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
  /** Later than the deadline, or stale. */
  readonly misses: number;
  /** Most of them one after the other. */
  readonly missesInARow: number;
  /** Frames at which more than k - m of the last k were missed. */
  readonly violations: number;
  /** Times without an answer for longer than a period and a deadline, and the longest, in ms. */
  readonly silences: number;
  readonly longestGapMs: number;
  readonly changes: number;
};

/** One of each phase; a promise that breaks at the beginning of a phase counts there. */
export function accountOfDrive({ answers, changes, phases }: DriveLog, promised: Promised): readonly PhaseAccount[] {
  const { deadlineMs, periodMs, firm } = promised;
  const isMissed = ({ latencyMs, level }: DriveAnswer) => latencyMs > deadlineMs || !["FULL", "LITE"].includes(level);
  let misses = noMisses;
  const isViolated = answers.map((answer) => {
    misses = withFrame(misses, isMissed(answer), firm);
    return isMissed(answer) && isBroken(misses, firm);
  });
  const gaps = answers.map(({ atMs }, i) => ({
    fromMs: answers[i - 1]?.atMs ?? atMs,
    ms: atMs - (answers[i - 1]?.atMs ?? atMs),
  }));
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
    const ownGaps = gaps.filter((gap) => isIn(gap.fromMs)).map(({ ms }) => ms);
    const last = answers.at(-1)?.atMs ?? fromMs;
    const open = isIn(last) ? [untilMs - last] : own.length === 0 ? [untilMs - fromMs] : [];
    const all = [...ownGaps, ...open];
    return {
      name,
      answers: own.length,
      ...{ p50, p99, p999, max },
      full: ofLevel("FULL"),
      lite: ofLevel("LITE"),
      stale: ofLevel("STALE") + ofLevel("CLOUD"),
      misses: own.filter(isMissed).length,
      missesInARow: longestRun(own.map(isMissed)),
      violations: answers.filter(({ atMs }, i) => isIn(atMs) && isViolated[i]).length,
      silences: all.filter((ms) => ms > periodMs + deadlineMs).length,
      longestGapMs: Math.max(0, ...all),
      changes: changes.filter(({ atMs }) => isIn(atMs)).length,
    };
  });
}

function longestRun(flags: readonly boolean[]): number {
  let [run, longest] = [0, 0];
  for (const flag of flags) {
    run = flag ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}
