/** Compares what drift-monitor wrote, every version of every verdict, with what happened. Pure. */
import type { DriftVerdict } from "@tributary/contracts";
import type { Check } from "../rollout/run-case.ts";
import type { Case, Expected } from "./story.ts";

export type Judged = {
  /** By case: its verdict as it is now. */
  readonly verdicts: ReadonlyMap<string, DriftVerdict>;
  readonly checks: readonly Check[];
};

/** `history`: all versions in the order in which they were written. */
export function judge(cases: readonly Case[], history: readonly DriftVerdict[]): Judged {
  const newest = new Map(history.map((verdict) => [verdict.verdictId, verdict]));
  const verdicts = new Map<string, DriftVerdict>();
  const checks = cases.map(({ name, devices, expected }): Check => {
    const named = history.filter((verdict) => verdict.devices.some(({ deviceId }) => devices.includes(deviceId)));
    const others = distinct(named.filter((verdict) => expected === null || !isOf(verdict, expected)).map(nameOf));
    const accused = others.length > 0 ? `, and ${others.join(", ")}` : "";
    if (expected === null) {
      const found = accused === "" ? "none" : others.join(", ");
      return { name: `${name}: no verdict names any of its ${devices.length} devices`, holds: accused === "", found };
    }
    const verdict = [...newest.values()].find((one) => isOf(one, expected));
    if (verdict !== undefined) verdicts.set(name, verdict);
    const isRight = verdict?.state === "OPEN" && sameDevices(verdict, devices);
    return {
      name: `${name}: ${expectedName(expected)} names its ${devicesText(devices.length)} and no other; no other verdict does`,
      holds: isRight && accused === "",
      found: verdict === undefined ? `no such verdict${accused}` : `${foundIn(verdict)}${accused}`,
    };
  });
  const expected = cases.flatMap((one) => one.expected ?? []);
  const wrong = distinct(history.filter((verdict) => !expected.some((one) => isOf(verdict, one))).map(nameOf));
  const every: Check = {
    name: "no other verdict opened, not for a moment",
    holds: wrong.length === 0,
    found: wrong.join(", ") || "none",
  };
  return { verdicts, checks: [...checks, every] };
}

type Named = Pick<DriftVerdict, "cause" | "fault" | "scopeKey" | "scopeValue">;

/** Cause and place of a verdict, for people. */
export function nameOf({ cause, fault, scopeKey, scopeValue }: Named): string {
  return `${cause}${fault && ` ${fault}`} at ${[scopeKey, scopeValue].filter(Boolean).join("=")}`;
}

/** With every right name. */
export function expectedName({ faults, ...place }: Expected): string {
  const named = faults.filter(Boolean).join(" or ");
  const fault = named !== "" && faults.includes("") ? `(${named})` : named;
  return nameOf({ ...place, fault });
}

const isOf = (verdict: Named, expected: Expected): boolean =>
  verdict.cause === expected.cause &&
  expected.faults.includes(verdict.fault) &&
  verdict.scopeKey === expected.scopeKey &&
  verdict.scopeValue === expected.scopeValue;

const sameDevices = ({ devices }: DriftVerdict, wanted: readonly string[]): boolean =>
  devices.length === wanted.length && devices.every(({ deviceId }) => wanted.includes(deviceId));

const devicesText = (count: number): string => (count === 1 ? "device" : `${count} devices`);
const countText = (count: number): string => (count === 1 ? "1 device" : `${count} devices`);

const foundIn = ({ state, devices, closedBecause }: DriftVerdict): string =>
  state === "OPEN" ? `open, of ${countText(devices.length)}` : `${state.toLowerCase()}: ${closedBecause}`;

const distinct = (names: readonly string[]): readonly string[] => [...new Set(names)];
