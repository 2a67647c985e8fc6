/** What a drive and its controls show: tables for people, and the promises as checks. */
import { accountOfDrive, framesOf, type Moment, type PhaseAccount, statedStalls, worsenings } from "./account.ts";
import { type Drive, promised } from "./run.ts";

export type DriveTable = {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
};

export type DriveCheck = { readonly name: string; readonly holds: boolean; readonly found: string };

/** `holds` null: not measured, in none of the phases that it is about. */
type Finding = Omit<DriveCheck, "holds"> & { readonly holds: boolean | null };

export type DriveReport = {
  readonly tables: readonly DriveTable[];
  readonly checks: readonly DriveCheck[];
  readonly notes: readonly string[];
};

/** Changes of the level, and moments at which the device says that it is late, in ten minutes in which nothing happens. */
const CHANGES_MAX = 1;
/** Of the frames that its rate makes, a camera that hardware is has no fewer. */
const CAMERA_SHARE_MIN = 0.95;
/** While a camera does not show the present SAFE lasts; what shows that it does takes a moment at the end. */
const SAFE_SHARE_MIN = 0.9;
const PER_MS = 600_000;
/** A camera that shows what cannot be of now is found after two seconds (plausibility.ts P4). */
const SAFE_WITHIN_MS = 3_000;
const MISSED_ROWS_MAX = 40;
const SHORT =
  "So short a drive uses a dwell of 1.5 s, a recovery and a cooling of 3 s and a probe every 100 ms; one of 25 minutes or more has the defaults.";
const ORDINARY =
  "Nothing here is in Linux's real-time class (--realtime): the agent shares all cores with its models (cores: shared), at a niceness of -10 outside of control groups, as its unit starts it where the kernel permits no such class. " +
  "So it may wait behind other programs for some milliseconds, which on cores of its own in that class it does not; the gates are the same.";
const { deadlineMs, firm } = promised;
const TASK = `(${firm.met},${firm.of})`;
const ms = (value: number) => (Number.isFinite(value) ? value.toFixed(1) : "never");

/** The report of one drive. `title` names it among others. */
export function reportOfDrive(drive: Drive, title: string): DriveReport {
  const own = accountOfDrive(drive, promised);
  const { checks, notes } = sorted(promisesOf(own).map((one) => ({ ...one, name: `${title}: ${one.name}` })));
  return {
    tables: [phasesTable(title, own), changesTable(drive, title), missedTable(drive, title)],
    checks,
    notes: [
      ...pauseNotes(title, own),
      ...notes,
      ...rampNotes(title, own),
      ...drive.skipped.map((line) => `Left out: ${line}.`),
      ...(drive.realtime ? [] : [ORDINARY]),
      ...(drive.isShort ? [`${title}: ${SHORT}`] : []),
      ...(drive.areInstrumentsAhead
        ? []
        : [`${title}: without root the camera and the reader wait for other programs.`]),
    ],
  };
}

/** What is not measured is neither passed nor failed: it is no check, but a note. */
function sorted(findings: readonly Finding[]): Pick<DriveReport, "checks" | "notes"> {
  return {
    checks: findings.flatMap(({ holds, ...rest }) => (holds === null ? [] : [{ ...rest, holds }])),
    notes: findings.flatMap(({ name, holds, found }) => (holds === null ? [`Not measured: ${name}: ${found}.`] : [])),
  };
}

/** A check that never fails proves nothing: `silent`, where it has no answers for a time; `late`, where it breaks its promise without SAFE. Under each of its faults. */
export function controlOf(
  title: string,
  drive: Drive,
  fails: "silent" | "late",
): Pick<DriveReport, "tables" | "checks"> {
  const own = accountOfDrive(drive, promised);
  const isSilent = fails === "silent";
  const underFaults = own.filter(({ happened }) => happened !== null);
  const what = isSilent ? "is silent" : `breaks ${TASK} without SAFE in time`;
  if (underFaults.length === 0) throw new Error(`the control ${title} has no fault`);
  return {
    tables: [phasesTable(title, own)],
    checks: underFaults.map(({ name, happened, violations, silences, frames, longestGapMs }) => ({
      name: `${title}: the control ${what}: ${name}`,
      holds: happened === true && (isSilent ? silences : violations) > 0,
      found: `${violations} of ${frames} frames; longest gap ${(longestGapMs / 1_000).toFixed(1)} s`,
    })),
  };
}

/** What no program of this machine can prevent is counted apart, and reported. */
function pauseNotes(title: string, own: readonly PhaseAccount[]): readonly string[] {
  const [pausedMs, misses, silences] = [
    sumOf(own, (one) => one.pausedMs),
    sumOf(own, (one) => one.missesExcused),
    sumOf(own, (one) => one.silencesExcused),
  ];
  const long = own.filter(({ isMeasured }) => !isMeasured).map((one) => `${one.name} (${ms(one.pauseMsMax)} ms)`);
  return [
    `${title}: by a sleeper on each core, for ${(pausedMs / 1_000).toFixed(1)} s one of them stood still, as where a hypervisor runs other guests, for ${ms(longestPauseMs(own))} ms at most on end. ` +
      `${misses} frames were missed and ${silences} silences came about in these pauses alone; misses and silences are without them, except under loads.`,
    ...(long.length === 0
      ? []
      : [`${title}: not measured, as the machine stood still for over ${deadlineMs} ms on end: ${long.join("; ")}.`]),
  ];
}

/** Phases of one kind go from little load to much. */
function rampNotes(title: string, own: readonly PhaseAccount[]): readonly string[] {
  const loads = own.filter((one) => one.expects === "overload");
  if (loads.length === 0) return [];
  const first = (is: (one: PhaseAccount) => boolean) => loads.find(is)?.name ?? "none of these loads";
  return [
    `${title}: answers no longer keep ${TASK} from this load on: ${first((one) => one.breaks > 0)}; the device says that it is too late for its promise from this one on: ` +
      `${first((one) => one.saysBeyond)}; SAFE is not known in time from this one on: ${first((one) => one.violations > 0)}.`,
  ];
}

const longestOf = (of: (account: PhaseAccount) => number) => (own: readonly PhaseAccount[]) =>
  Math.max(0, ...own.map(of));
const longestPauseMs = longestOf((one) => one.pauseMsMax);
const longestGapMs = longestOf((one) => one.longestGapMs);
const sumOf = (own: readonly PhaseAccount[], of: (account: PhaseAccount) => number) =>
  own.reduce((all, one) => all + of(one), 0);

const isAfter = ({ name }: Pick<PhaseAccount, "name">) => name.startsWith("after: ");

function promisesOf(own: readonly PhaseAccount[]): readonly Finding[] {
  const of = (...expected: readonly PhaseAccount["expects"][]) =>
    own.filter(({ expects }) => expected.includes(expects));
  const kept = of("kept");
  return [
    ...allOf(
      `${TASK} kept by models' answers`,
      kept,
      ({ breaks }) => breaks === 0,
      ({ breaks, frames }) => `${breaks} of ${frames} frames break it`,
      missesIn,
    ),
    ...allOf(
      `${TASK} kept, or SAFE within ${deadlineMs} ms`,
      of("kept", "firm", "safe"),
      ({ violations }) => violations === 0,
      ({ violations, safeMsMax }) => `${violations} frames, SAFE after ${safeMsMax.toFixed(0)} ms at most`,
    ),
    ...allOf(
      `SAFE signalled where models answer and ${TASK} is kept: 0`,
      kept,
      ({ falseSafes }) => falseSafes === 0,
      ({ falseSafes }) => `${falseSafes} times`,
    ),
    ...allOf(
      "silences over a period and the deadline where models answer: 0",
      kept,
      ({ silences }) => silences === 0,
      ({ silences }) => `${silences} silences`,
    ),
    ...allOf(
      `a camera that does not show the present: SAFE is signalled within ${SAFE_WITHIN_MS / 1_000} s, and lasts`,
      of("safe"),
      (one) => isSafeSoon(one) && one.safeShare >= SAFE_SHARE_MIN,
      ({ safeAfterMs, safeShare }) =>
        `SAFE after ${safeAfterMs?.toFixed(0) ?? "never"} ms, then in ${(100 * safeShare).toFixed(0)} % of the time`,
    ),
    ...allOf(
      `under loads: ${TASK} kept, or SAFE in time, or the device says, asked next, that it was too late for that frame`,
      of("overload"),
      ({ unstated }) => unstated === 0,
      ({ unstated, violations }) => `${unstated} of ${violations} late frames without that`,
    ),
    ...allOf(
      "each fault did happen",
      own,
      ({ happened }) => happened !== false,
      () => "it did not",
    ),
    ...allOf(
      "at FULL again after each fault",
      own,
      ({ recovered }) => recovered !== false,
      () => "not in time",
    ),
    ...allOf(
      `the camera kept its rate: ${100 * CAMERA_SHARE_MIN} % of its frames`,
      own,
      ({ cameraShare }) => cameraShare >= CAMERA_SHARE_MIN,
      ({ cameraShare }) => `${(100 * cameraShare).toFixed(1)} %`,
    ),
  ];
}

const isSafeSoon = ({ safeAfterMs }: PhaseAccount) => safeAfterMs !== null && safeAfterMs <= SAFE_WITHIN_MS;

const missesIn = (own: readonly PhaseAccount[]): string => {
  const sum = (of: (account: PhaseAccount) => number) => sumOf(own, of);
  const counts = `${sum((one) => one.breaks)} of ${sum((one) => one.frames)} frames break it, ${sum((one) => one.misses)} missed`;
  return `${counts}, ${sum((one) => one.missesExcused)} more in pauses alone`;
};
const gapIn = (own: readonly PhaseAccount[]): string => `longest gap ${longestGapMs(own).toFixed(0)} ms`;

/** One check of all these phases; none, where the drive has no such phase. `counts`: what it found, well or not. */
function allOf(
  name: string,
  own: readonly PhaseAccount[],
  isWell: (one: PhaseAccount) => boolean,
  what: (one: PhaseAccount) => string,
  counts: (own: readonly PhaseAccount[]) => string = gapIn,
): readonly Finding[] {
  if (own.length === 0) return [];
  const measured = own.filter(({ isMeasured }) => isMeasured);
  const bad = measured.filter((one) => !isWell(one)).map((one) => `${one.name}: ${what(one)}`);
  const found = [
    ...bad,
    `in ${measured.length} of ${own.length} phases ${counts(measured)}`,
    `the machine stood still for ${ms(longestPauseMs(own))} ms at most`,
  ];
  return [{ name, holds: measured.length === 0 ? null : bad.length === 0, found: found.join("; ") }];
}

/** Of the idle times of all drives: what the agent did. What the machine did is counted beside it. */
export function idleChecks(drives: readonly Drive[]): Pick<DriveReport, "checks" | "notes"> {
  const found = drives.map((drive) => {
    const idle = accountOfDrive(drive, promised).filter(({ name }) => name === "idle");
    const measured = idle.filter(({ isMeasured }) => isMeasured);
    const isIn = ({ atMs }: Moment) => measured.some((p) => atMs >= p.fromMs && atMs < p.untilMs);
    return {
      pauseMsMax: longestPauseMs(idle),
      idleMs: measured.reduce((all, p) => all + p.untilMs - p.fromMs, 0),
      changes: worsenings(drive, framesOf(drive, promised)).filter(isIn),
      stalls: statedStalls(drive).filter(isIn),
    };
  });
  const idleMs = found.reduce((all, one) => all + one.idleMs, 0);
  const stood = `the machine stood still for ${ms(Math.max(0, ...found.map(({ pauseMsMax }) => pauseMsMax)))} ms at most`;
  const rare = (what: string, moments: readonly Moment[]): Finding => {
    const count = moments.filter(({ isExcused }) => !isExcused).length;
    return {
      name: `${what} while idle: at most ${CHANGES_MAX} in 10 minutes, or in all`,
      holds: idleMs === 0 ? null : count <= CHANGES_MAX * Math.max(1, idleMs / PER_MS),
      found: `${count} in ${(idleMs / 60_000).toFixed(1)} minutes, ${moments.length - count} more by the machine's pauses alone; ${stood}`,
    };
  };
  return sorted([
    rare(
      "changes to a worse level",
      found.flatMap(({ changes }) => changes),
    ),
    rare(
      "moments at which a device says that it is too late",
      found.flatMap(({ stalls }) => stalls),
    ),
  ]);
}

function phasesTable(title: string, accounts: readonly PhaseAccount[]): DriveTable {
  return {
    title,
    columns: [
      ...["phase", TASK, "frames", "answers", "p50", "p99.9", "max", "longest gap", "silences"],
      ...[
        "FULL",
        "LITE",
        "STALE",
        "misses",
        "in a row",
        "breaks",
        "SAFE signalled",
        "by watchdog",
        "late",
        "SAFE at most",
      ],
      ...["device says late", "too late", "reader late", "paused", "longest pause"],
    ],
    rows: accounts
      .filter((one) => !isAfter(one) || one.violations > 0)
      .map((one) => [
        ...[one.name, verdictOf(one), one.frames, one.answers],
        ...[one.p50, one.p999, one.max, one.longestGapMs].map(ms),
        ...[one.silences, one.full, one.lite, one.stale, one.misses, one.missesInARow],
        ...[one.breaks, one.safeSignalled, one.safeByWatchdog, one.violations, ms(one.safeMsMax)],
        ...[
          one.statedLateMs === null ? "-" : ms(one.statedLateMs),
          one.statedLateMs === null ? "-" : one.saysBeyond ? "yes" : "no",
        ],
        ...[one.readerLateMs, one.pausedMs, one.pauseMsMax].map(ms),
      ]),
  };
}

function verdictOf({ isMeasured, breaks, violations }: PhaseAccount): string {
  if (!isMeasured) return "not measured";
  if (breaks === 0) return "kept";
  return violations === 0 ? "SAFE in time" : "SAFE late";
}

/** The missed frames of phases in which none should be, for finding out why. */
function missedTable(drive: Drive, title: string): DriveTable {
  const phaseAt = (atMs: number) => drive.phases.find(({ fromMs, untilMs }) => atMs >= fromMs && atMs < untilMs);
  const missed = framesOf(drive, promised).filter(
    ({ capturedMs, isMissed, isExcused }) => (isMissed || isExcused) && phaseAt(capturedMs)?.expects === "kept",
  );
  return {
    title: `${title}: frames missed where models answer${missed.length > MISSED_ROWS_MAX ? `, the first ${MISSED_ROWS_MAX} of ${missed.length}` : ""}`,
    columns: ["captured", "phase", "sent", "answered by", "latency", "paused"],
    rows: missed
      .slice(0, MISSED_ROWS_MAX)
      .map(({ capturedMs, sent, level, latencyMs, pausedMs }) => [
        `${(capturedMs / 1_000).toFixed(2)} s`,
        phaseAt(capturedMs)?.name ?? "",
        sent,
        level ?? "none",
        ...[latencyMs, pausedMs].map((ms) => ms.toFixed(1)),
      ]),
  };
}

const changesTable = ({ changes, phases }: Drive, title: string): DriveTable => ({
  title: `${title}: changes of the level`,
  columns: ["at", "phase", "from", "to", "reason"],
  rows: changes.map(({ atMs, from, to, reason }) => [
    `${(atMs / 1_000).toFixed(1)} s`,
    phases.find(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs)?.name ?? "before",
    from,
    to,
    reason,
  ]),
});
