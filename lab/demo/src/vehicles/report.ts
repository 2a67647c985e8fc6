/** What a drive and its controls show: tables for people, and the promises as checks. */
import { accountOfDrive, framesOf, type PhaseAccount, statedStalls, unprovoked } from "./account.ts";
import { type Drive, promised } from "./run.ts";

export type DriveTable = {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
};

export type DriveCheck = { readonly name: string; readonly holds: boolean; readonly found: string };

export type DriveReport = {
  readonly tables: readonly DriveTable[];
  readonly checks: readonly DriveCheck[];
  readonly notes: readonly string[];
};

/** Changes of the level, and moments at which the device says that it is late, in ten minutes in which nothing happens. */
const CHANGES_MAX = 1;
/** Of the frames that its rate makes, a camera that hardware is has no fewer. */
const CAMERA_SHARE_MIN = 0.95;
/** The share of frames where models answer that pauses alone may make late: with more nothing is measured. */
const EXCUSED_SHARE_MAX = 0.01;
/** While a camera does not show the present SAFE lasts; what shows that it does takes a moment at the end. */
const SAFE_SHARE_MIN = 0.9;
const PER_MS = 600_000;
/** A camera that shows what cannot be of now is found after two seconds (plausibility.ts P4). */
const SAFE_WITHIN_MS = 3_000;
const MISSED_ROWS_MAX = 40;
const SHORT =
  "So short a drive uses a dwell of 1.5 s, a recovery and a cooling of 3 s and a probe every 100 ms; one of 25 minutes or more has the defaults.";
const { deadlineMs, firm } = promised;
const TASK = `(${firm.met},${firm.of})`;

/** The report of one drive. `title` names it among others. */
export function reportOfDrive(drive: Drive, title: string): DriveReport {
  const own = accountOfDrive(drive, promised);
  return {
    tables: [phasesTable(title, own), changesTable(drive, title), missedTable(drive, title)],
    checks: promisesOf(own).map((check) => ({ ...check, name: `${title}: ${check.name}` })),
    notes: [
      ...pauseNotes(title, own),
      ...rampNotes(title, own),
      ...drive.skipped.map((line) => `Left out: ${line}.`),
      ...(drive.isShort ? [`${title}: ${SHORT}`] : []),
      ...(drive.areInstrumentsAhead
        ? []
        : [
            `${title}: without root the camera and the reader wait for other programs, and no pause of the machine excuses a frame.`,
          ]),
    ],
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
  if (pausedMs === 0) return [];
  return [
    `${title}: for ${(pausedMs / 1_000).toFixed(1)} s a processor of this machine ran nothing, not even a program that goes before all others there, as where a hypervisor runs ` +
      `other guests. ${misses} frames were missed and ${silences} silences came about in these pauses alone; misses and silences are without them, except under loads.`,
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

const sumOf = (own: readonly PhaseAccount[], of: (account: PhaseAccount) => number) =>
  own.reduce((all, one) => all + of(one), 0);

const isAfter = ({ name }: Pick<PhaseAccount, "name">) => name.startsWith("after: ");

function promisesOf(own: readonly PhaseAccount[]): readonly DriveCheck[] {
  const kept = own.filter(({ expects }) => expects === "kept");
  const inTime = own.filter(({ expects }) => expects !== "overload");
  const loads = own.filter(({ expects }) => expects === "overload");
  const broken = own.filter(({ expects }) => expects === "safe");
  return [
    keptBy(kept),
    {
      name: `${TASK} kept, or SAFE within ${deadlineMs} ms, in each of ${inTime.length} phases`,
      ...allOf(inTime, ({ violations }) => violations === 0, lateIn),
    },
    {
      name: `SAFE signalled where models answer and ${TASK} is kept: 0`,
      ...allOf(
        kept,
        ({ falseSafes }) => falseSafes === 0,
        ({ falseSafes }) => `${falseSafes} times`,
      ),
    },
    {
      name: "silences over a period and the deadline where models answer: 0",
      ...allOf(
        kept,
        ({ silences }) => silences === 0,
        ({ silences }) => `${silences} silences`,
      ),
    },
    ...(broken.length === 0
      ? []
      : [
          {
            name: `a camera that does not show the present: SAFE is signalled within ${SAFE_WITHIN_MS / 1_000} s, and lasts`,
            ...allOf(
              broken,
              (one) => isSafeSoon(one) && one.safeShare >= SAFE_SHARE_MIN,
              ({ safeAfterMs, safeShare }) =>
                `SAFE after ${safeAfterMs?.toFixed(0) ?? "never"} ms, then in ${(100 * safeShare).toFixed(0)} % of the time`,
            ),
          },
        ]),
    ...(loads.length === 0
      ? []
      : [
          {
            name: `under loads: ${TASK} kept, or SAFE in time, or the device says, asked next, that it was too late for that frame`,
            ...allOf(
              loads,
              ({ unstated }) => unstated === 0,
              ({ unstated, violations }) => `${unstated} of ${violations} late frames without that`,
            ),
          },
        ]),
    {
      name: "each fault did happen",
      ...allOf(
        own,
        ({ happened }) => happened !== false,
        () => "it did not",
      ),
    },
    {
      name: "at FULL again after each fault",
      ...allOf(
        own,
        ({ recovered }) => recovered !== false,
        () => "not in time",
      ),
    },
    {
      name: `the camera kept its rate: ${100 * CAMERA_SHARE_MIN} % of its frames, in each phase`,
      ...allOf(
        own,
        ({ cameraShare }) => cameraShare >= CAMERA_SHARE_MIN,
        ({ cameraShare }) => `${(100 * cameraShare).toFixed(1)} %`,
      ),
    },
  ];
}

function keptBy(kept: readonly PhaseAccount[]): DriveCheck {
  const breaks = sumOf(kept, (one) => one.breaks);
  const more = sumOf(kept, (one) => one.missesExcused);
  const counts = `${breaks} of ${sumOf(kept, (one) => one.frames)} frames break it, ${sumOf(kept, (one) => one.misses)} missed`;
  return {
    name: `${TASK} kept by models' answers in each of ${kept.length} phases`,
    holds: breaks === 0 && more <= EXCUSED_SHARE_MAX * sumOf(kept, (one) => one.frames),
    found: more === 0 ? counts : `${counts}; ${more} more in pauses alone`,
  };
}

const isSafeSoon = ({ safeAfterMs }: PhaseAccount) => safeAfterMs !== null && safeAfterMs <= SAFE_WITHIN_MS;
const lateIn = ({ violations, safeMsMax }: PhaseAccount) =>
  `${violations} frames, SAFE after ${safeMsMax.toFixed(0)} ms at most`;

function allOf(
  own: readonly PhaseAccount[],
  isWell: (one: PhaseAccount) => boolean,
  what: (one: PhaseAccount) => string,
): Pick<DriveCheck, "holds" | "found"> {
  const bad = own.filter((one) => !isWell(one));
  if (bad.length > 0) return { holds: false, found: bad.map((one) => `${one.name}: ${what(one)}`).join("; ") };
  const longest = Math.max(0, ...own.map((one) => one.longestGapMs));
  return { holds: true, found: `all; longest gap ${longest.toFixed(0)} ms` };
}

/** Of the idle times of all drives. */
export function idleChecks(drives: readonly Drive[]): readonly DriveCheck[] {
  const found = drives.map((drive) => {
    const idle = drive.phases.filter(({ name }) => name === "idle");
    const isIn = (atMs: number) => idle.some((p) => atMs >= p.fromMs && atMs < p.untilMs);
    return {
      ms: idle.reduce((ms, p) => ms + p.untilMs - p.fromMs, 0),
      changes: unprovoked(drive, framesOf(drive, promised), isIn).length,
      stalls: statedStalls(drive, isIn).length,
    };
  });
  const idleMs = found.reduce((all, { ms }) => all + ms, 0);
  const rare = (what: string, count: number) => ({
    name: `${what} while idle: at most ${CHANGES_MAX} in 10 minutes, or in all`,
    holds: count <= CHANGES_MAX * Math.max(1, idleMs / PER_MS),
    found: `${count} in ${(idleMs / 60_000).toFixed(1)} minutes`,
  });
  return [
    rare(
      "changes to a worse level",
      found.reduce((all, { changes }) => all + changes, 0),
    ),
    rare(
      "moments at which a device says that it is too late",
      found.reduce((all, { stalls }) => all + stalls, 0),
    ),
  ];
}

function phasesTable(title: string, accounts: readonly PhaseAccount[]): DriveTable {
  const ms = (value: number) => (Number.isFinite(value) ? value.toFixed(1) : "never");
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
      ...["device says late", "too late", "reader late", "paused"],
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
        ...[one.readerLateMs, one.pausedMs].map(ms),
      ]),
  };
}

const verdictOf = ({ breaks, violations }: PhaseAccount): string =>
  breaks === 0 ? "kept" : violations === 0 ? "SAFE in time" : "SAFE late";

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
