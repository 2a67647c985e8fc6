/** What a drive and its control show: tables for people, and the promises as checks. */
import { accountOfDrive, missedFrames, type PhaseAccount, unprovoked } from "./account.ts";
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
const SHORT =
  "So short a drive uses a dwell of 1.5 s, a recovery of 3 s and a probe every 100 ms; one of 25 minutes or more has the defaults.";

/** `control`: the plain agent under the same faults. */
export function reportOfDrive(drive: Drive, control: Drive | null): DriveReport {
  const own = accountOfDrive(drive, promised);
  const plain = control === null ? null : accountOfDrive(control, promised);
  return {
    tables: [
      phasesTable("with the ladder", own),
      ...(plain === null ? [] : [phasesTable("control: the plain agent", plain)]),
      changesTable(drive),
      missedTable(drive),
    ],
    checks: [...promisesOf(drive, own), ...(plain === null ? [] : [controlOf(plain)])],
    notes: [
      ...stolenNotes(own),
      ...drive.skipped.map((line) => `Left out: ${line}.`),
      ...(drive.isShort ? [SHORT] : []),
    ],
  };
}

/** What no program of this machine can prevent is counted apart, and reported. */
function stolenNotes(own: readonly PhaseAccount[]): readonly string[] {
  const sum = (of: (account: PhaseAccount) => number) => own.reduce((all, one) => all + of(one), 0);
  const ms = sum((one) => one.stolenMs);
  if (ms === 0) return [];
  return [
    `A hypervisor ran other guests on this machine's processors for ${(ms / 1_000).toFixed(1)} s (steal, /proc/stat). ` +
      `${sum((one) => one.missesStolen)} frames were missed and ${sum((one) => one.silencesStolen)} silences came about in that time alone; ` +
      "misses and silences are without them.",
  ];
}

function promisesOf(drive: Drive, own: readonly PhaseAccount[]): readonly DriveCheck[] {
  const { phases } = drive;
  const { deadlineMs, periodMs, firm } = promised;
  const sum = (of: (account: PhaseAccount) => number) => own.reduce((all, one) => all + of(one), 0);
  const [violations, silences] = [sum((one) => one.violations), sum((one) => one.silences)];
  const inARow = Math.max(0, ...own.map((one) => one.missesInARow));
  const isIn = (atMs: number) => phases.some((p) => p.name === "idle" && atMs >= p.fromMs && atMs < p.untilMs);
  const idleMs = phases.reduce((ms, p) => ms + (p.name === "idle" ? p.untilMs - p.fromMs : 0), 0);
  const changes = unprovoked(drive, isIn).length;
  const stolen = (of: number) => (of === 0 ? "" : `; ${of} more in stolen time`);
  return [
    {
      name: `violations of (${firm.met},${firm.of}): 0`,
      holds: violations === 0,
      found: `${violations} of ${sum((one) => one.answers)} frames, ${sum((one) => one.misses)} missed${stolen(sum((one) => one.missesStolen))}`,
    },
    {
      name: `silences over ${periodMs + deadlineMs} ms: 0`,
      holds: silences === 0,
      found: `${silences}, longest gap ${Math.max(0, ...own.map((one) => one.longestGapMs)).toFixed(0)} ms${stolen(sum((one) => one.silencesStolen))}`,
    },
    { name: "a missed frame is followed by one in time", holds: inARow <= 1, found: `${inARow} in a row at most` },
    {
      name: `changes to a worse level while idle: at most ${CHANGES_MAX} in 10 minutes`,
      holds: changes <= CHANGES_MAX * Math.max(1, idleMs / PER_MS),
      found: `${changes} in ${(idleMs / 60_000).toFixed(1)} minutes`,
    },
  ];
}

function controlOf(plain: readonly PhaseAccount[]): DriveCheck {
  const silent = plain.filter((one) => one.silences > 0);
  const found = silent.map(({ name, longestGapMs }) => `${name}, ${(longestGapMs / 1_000).toFixed(1)} s`).join("; ");
  return { name: "the control is silent under a fault", holds: silent.length > 0, found: found || "never" };
}

function phasesTable(title: string, accounts: readonly PhaseAccount[]): DriveTable {
  const ms = (value: number) => value.toFixed(1);
  return {
    title,
    columns: [
      ...["phase", "answers", "p50", "p99", "p99.9", "max", "FULL", "LITE", "STALE"],
      ...["misses", "violations", "silences", "longest gap", "stolen"],
    ],
    rows: accounts
      .filter(({ name }) => !name.startsWith("after: "))
      .map((one) => [
        one.name,
        one.answers,
        ...[one.p50, one.p99, one.p999, one.max].map(ms),
        ...[one.full, one.lite, one.stale, one.misses, one.violations, one.silences],
        ...[one.longestGapMs, one.stolenMs].map(ms),
      ]),
  };
}

const missedTable = (drive: Drive): DriveTable => ({
  title: "missed frames",
  columns: ["at", "phase", "level", "latency", "stolen"],
  rows: missedFrames(drive, promised).map(({ atMs, phase, level, latencyMs, stolenMs }) => [
    `${(atMs / 1_000).toFixed(1)} s`,
    phase,
    level,
    ...[latencyMs, stolenMs].map((ms) => ms.toFixed(1)),
  ]),
});

const changesTable = ({ changes, phases }: Drive): DriveTable => ({
  title: "changes of the level",
  columns: ["at", "phase", "from", "to", "reason"],
  rows: changes.map(({ atMs, from, to, reason }) => [
    `${(atMs / 1_000).toFixed(1)} s`,
    phases.find(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs)?.name ?? "before",
    from,
    to,
    reason,
  ]),
});
