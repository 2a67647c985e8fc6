/** What a drive and its controls show: tables for people, and the promises as checks. */
import { accountOfDrive, framesOf, type PhaseAccount, unprovoked } from "./account.ts";
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

/** Changes of the level in ten minutes in which nothing happens. */
const CHANGES_MAX = 1;
const PER_MS = 600_000;
/** A camera that shows what cannot be of now is found after two seconds (plausibility.ts P4). */
const SAFE_WITHIN_MS = 3_000;
const MISSED_ROWS_MAX = 40;
const SHORT =
  "So short a drive uses a dwell of 1.5 s, a recovery of 3 s and a probe every 100 ms; one of 25 minutes or more has the defaults.";
const { deadlineMs, firm } = promised;
const TASK = `(${firm.met},${firm.of})`;

/** The report of one drive. `title` names it among others. */
export function reportOfDrive(drive: Drive, title: string): DriveReport {
  const own = accountOfDrive(drive, promised);
  return {
    tables: [phasesTable(title, own), changesTable(drive, title), missedTable(drive, title)],
    checks: promisesOf(drive, own).map((check) => ({ ...check, name: `${title}: ${check.name}` })),
    notes: [
      ...stolenNotes(title, own),
      ...rampNotes(title, own),
      ...drive.skipped.map((line) => `Left out: ${line}.`),
      ...(drive.isShort ? [`${title}: ${SHORT}`] : []),
    ],
  };
}

/** A check that never fails proves nothing: `silent`, where it has no answers for a time; `late`, where it breaks its promise without SAFE. */
export function controlOf(
  title: string,
  drive: Drive,
  fails: "silent" | "late",
): Pick<DriveReport, "tables" | "checks"> {
  const own = accountOfDrive(drive, promised);
  const isSilent = fails === "silent";
  const bad = own.filter(({ silences, violations }) => (isSilent ? silences : violations) > 0);
  const found = bad.map(({ name, violations, frames, longestGapMs }) =>
    isSilent ? `${name}: ${(longestGapMs / 1_000).toFixed(1)} s` : `${name}: ${violations} of ${frames} frames`,
  );
  const what = isSilent ? "is silent under a fault" : `breaks ${TASK} without SAFE in time`;
  return {
    tables: [phasesTable(title, own)],
    checks: [{ name: `${title}: the control ${what}`, holds: bad.length > 0, found: found.join("; ") || "never" }],
  };
}

/** What no program of this machine can prevent is counted apart, and reported. */
function stolenNotes(title: string, own: readonly PhaseAccount[]): readonly string[] {
  const ms = sumOf(own, (one) => one.stolenMs);
  if (ms === 0) return [];
  return [
    `${title}: a hypervisor ran other guests on this machine's processors for ${(ms / 1_000).toFixed(1)} s (steal, /proc/stat). ` +
      `${sumOf(own, (one) => one.missesStolen)} frames were missed and ${sumOf(own, (one) => one.silencesStolen)} silences came about in that time alone; ` +
      "misses and silences are without them.",
  ];
}

/** Phases of one kind go from little load to much. */
function rampNotes(title: string, own: readonly PhaseAccount[]): readonly string[] {
  const loads = own.filter((one) => one.expects === "overload" && !isAfter(one));
  if (loads.length === 0) return [];
  const first = (is: (one: PhaseAccount) => boolean) => loads.find(is)?.name ?? "none of these loads";
  return [
    `${title}: answers no longer keep ${TASK} from this load on: ${first((one) => one.breaks > 0)}; the device says that it is beyond its load from this one on: ` +
      `${first(({ load }) => load?.isWithin === false)}; SAFE is not known in time from this one on: ${first((one) => one.violations > 0)}.`,
  ];
}

const sumOf = (own: readonly PhaseAccount[], of: (account: PhaseAccount) => number) =>
  own.reduce((all, one) => all + of(one), 0);

const isAfter = ({ name }: Pick<PhaseAccount, "name">) => name.startsWith("after: ");

function promisesOf(drive: Drive, own: readonly PhaseAccount[]): readonly DriveCheck[] {
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
            name: `a camera that does not show the present: SAFE within ${SAFE_WITHIN_MS / 1_000} s`,
            ...allOf(broken, isSafeSoon, ({ safeAfterMs }) => `SAFE after ${safeAfterMs?.toFixed(0) ?? "never"} ms`),
          },
        ]),
    ...(loads.length === 0
      ? []
      : [
          {
            name: `under loads: ${TASK} kept, or SAFE in time, or the device says that its load is too high for that`,
            ...allOf(loads, (one) => one.violations === 0 || one.load?.isWithin === false, lateIn),
          },
        ]),
    idleCheck(drive),
  ];
}

function keptBy(kept: readonly PhaseAccount[]): DriveCheck {
  const breaks = sumOf(kept, (one) => one.breaks);
  const more = sumOf(kept, (one) => one.missesStolen);
  const counts = `${breaks} of ${sumOf(kept, (one) => one.frames)} frames break it, ${sumOf(kept, (one) => one.misses)} missed`;
  return {
    name: `${TASK} kept by models' answers in each of ${kept.length} phases`,
    holds: breaks === 0,
    found: more === 0 ? counts : `${counts}; ${more} more in stolen time`,
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

function idleCheck(drive: Drive): DriveCheck {
  const { phases } = drive;
  const isIn = (atMs: number) => phases.some((p) => p.name === "idle" && atMs >= p.fromMs && atMs < p.untilMs);
  const idleMs = phases.reduce((ms, p) => ms + (p.name === "idle" ? p.untilMs - p.fromMs : 0), 0);
  const changes = unprovoked(drive, framesOf(drive, promised), isIn).length;
  return {
    name: `changes to a worse level while idle: at most ${CHANGES_MAX} in 10 minutes`,
    holds: changes <= CHANGES_MAX * Math.max(1, idleMs / PER_MS),
    found: `${changes} in ${(idleMs / 60_000).toFixed(1)} minutes`,
  };
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
      ...["device late", "within its load", "reader late", "stolen"],
    ],
    rows: accounts
      .filter((one) => !isAfter(one) || one.violations > 0)
      .map((one) => [
        ...[one.name, verdictOf(one), one.frames, one.answers],
        ...[one.p50, one.p999, one.max, one.longestGapMs].map(ms),
        ...[one.silences, one.full, one.lite, one.stale, one.misses, one.missesInARow],
        ...[one.breaks, one.safeSignalled, one.safeByWatchdog, one.violations, ms(one.safeMsMax)],
        ...[
          one.load === null ? "-" : ms(one.load.longestMs),
          one.load === null ? "-" : one.load.isWithin ? "yes" : "no",
        ],
        ...[one.readerLateMs, one.stolenMs].map(ms),
      ]),
  };
}

const verdictOf = ({ breaks, violations }: PhaseAccount): string =>
  breaks === 0 ? "kept" : violations === 0 ? "SAFE in time" : "SAFE late";

/** The missed frames of phases in which none should be, for finding out why. */
function missedTable(drive: Drive, title: string): DriveTable {
  const phaseAt = (atMs: number) => drive.phases.find(({ fromMs, untilMs }) => atMs >= fromMs && atMs < untilMs);
  const missed = framesOf(drive, promised).filter(
    ({ capturedMs, isMissed, isStolen }) => (isMissed || isStolen) && phaseAt(capturedMs)?.expects === "kept",
  );
  return {
    title: `${title}: frames missed where models answer${missed.length > MISSED_ROWS_MAX ? `, the first ${MISSED_ROWS_MAX} of ${missed.length}` : ""}`,
    columns: ["captured", "phase", "sent", "answered by", "latency", "stolen"],
    rows: missed
      .slice(0, MISSED_ROWS_MAX)
      .map(({ capturedMs, sent, level, latencyMs, stolenMs }) => [
        `${(capturedMs / 1_000).toFixed(2)} s`,
        phaseAt(capturedMs)?.name ?? "",
        sent,
        level ?? "none",
        ...[latencyMs, stolenMs].map((ms) => ms.toFixed(1)),
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
