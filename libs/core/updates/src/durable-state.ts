/** The update state of a slot that must survive a restart, and nothing else. It is written whole, before the action that it allows
 * starts (machine.ts U6). */
import { type Digest, isDigest } from "@tributary/kernel";
import { isTimeZone, type MaintenanceWindow, MINUTES_A_DAY, weekdays } from "./windows.ts";

/** A package whose bytes were checked against its signed digest, and which is on the device's disk. */
export type PackageRef = { readonly digest: Digest; readonly name: string; readonly version: string };

/** `UNKNOWN`: a newer service named one that this agent does not know. */
export type Condition = "ANY" | "IDLE" | "PARKED" | "UNKNOWN";
const conditions: readonly string[] = ["ANY", "IDLE", "PARKED", "UNKNOWN"] satisfies Condition[];

export type Wanted = PackageRef & {
  readonly shadowFrames: number;
  readonly probationFrames: number;
  readonly condition: Condition;
  /** Outside of them it does not switch; none: at any time. */
  readonly windows: readonly MaintenanceWindow[];
};

/** How a generation ended. Code and reason are empty when it was committed. */
export type Outcome = {
  readonly phase: "COMMITTED" | "REFUSED" | "REVERTED";
  readonly code: string;
  readonly reason: string;
};

export type DurableState = {
  /** The highest that was accepted; 0: none. */
  readonly generation: bigint;
  /** What that generation wants in the slot; null: it does not name the slot. */
  readonly wanted: Wanted | null;
  /** The last committed package; null: the factory's. */
  readonly good: PackageRef | null;
  /** The one before it, should that one be damaged. */
  readonly previous: PackageRef | null;
  /** Active without being committed: after a restart it is not trusted. */
  readonly trial: PackageRef | null;
  /** Times that the wanted package was loaded in this generation; how they ended is in `outcome`. */
  readonly trials: number;
  readonly outcome: Outcome | null;
};

export const emptyDurableState: DurableState = {
  generation: 0n,
  wanted: null,
  good: null,
  previous: null,
  trial: null,
  trials: 0,
  outcome: null,
};

/** What may answer when the agent starts, in this order; null: the factory's package, which may itself be the committed one. */
export const bootOrder = ({ good, previous }: DurableState): readonly (PackageRef | null)[] =>
  good === null ? [null, ...existing(previous)] : [good, ...existing(previous), null];
const existing = (ref: PackageRef | null): readonly PackageRef[] => (ref === null ? [] : [ref]);

/** As JSON: a bigint is a string. */
export const durableStateToJson = (state: DurableState): unknown => ({
  ...state,
  generation: String(state.generation),
});

/** Undefined for anything that is no durable state. */
export function durableStateFromJson(json: unknown): DurableState | undefined {
  if (!isObject(json)) return undefined;
  const { generation, wanted, good, previous, trial, trials, outcome } = json;
  if (typeof generation !== "string" || !/^\d{1,19}$/.test(generation)) return undefined;
  if (!isNullOr(wanted, isWanted) || !isNullOr(outcome, isOutcome) || !isCount(trials)) return undefined;
  if (!isNullOr(good, isRef) || !isNullOr(previous, isRef) || !isNullOr(trial, isRef)) return undefined;
  const kept = wanted === null ? null : { ...wanted, windows: wanted.windows ?? [] };
  return { generation: BigInt(generation), wanted: kept, good, previous, trial, trials, outcome };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);
const isNullOr = <T>(value: unknown, is: (value: unknown) => value is T): value is T | null =>
  value === null || is(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isRef = (value: unknown): value is PackageRef =>
  isObject(value) &&
  typeof value.digest === "string" &&
  isDigest(value.digest) &&
  typeof value.name === "string" &&
  typeof value.version === "string";
const isWanted = (value: unknown): value is Wanted => {
  if (!isObject(value)) return false;
  // Durable states of agents before there were windows have none.
  const { shadowFrames, probationFrames, condition, windows = [] } = value;
  if (!isRef(value) || !isCount(shadowFrames) || !isCount(probationFrames)) return false;
  return conditions.includes(String(condition)) && Array.isArray(windows) && windows.every(isMaintenanceWindow);
};
const isOutcome = (value: unknown): value is Outcome =>
  isObject(value) &&
  ["COMMITTED", "REFUSED", "REVERTED"].includes(String(value.phase)) &&
  typeof value.code === "string" &&
  typeof value.reason === "string";

/** Whether it can be obeyed on this machine. */
export function isMaintenanceWindow(value: unknown): value is MaintenanceWindow {
  if (!isObject(value)) return false;
  const { days, fromMinute, toMinute, timeZone } = value;
  const isMinute = (minute: unknown) => isCount(minute) && minute < MINUTES_A_DAY;
  const known: readonly unknown[] = weekdays;
  return (
    Array.isArray(days) &&
    days.length > 0 &&
    days.every((day) => known.includes(day)) &&
    isMinute(fromMinute) &&
    isMinute(toMinute) &&
    typeof timeZone === "string" &&
    isTimeZone(timeZone)
  );
}
