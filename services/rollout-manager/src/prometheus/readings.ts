/** From two vectors to the counters of a rollout's devices. Pure.
 *
 * R1. A series that cannot be a counter of one device of this rollout is refused, logged and counted; the others count.
 * R2. Two series of one device are both refused: which one is right cannot be known.
 * R3. A labelled counter that never counted has no series. A device without good outcomes has 0 of them, if the query finds
 *     good outcomes of others; if it finds none, the query is wrong, not the devices. */
import type { Series, Vector } from "./client.ts";

export type Refusal =
  | "malformed"
  | "no-device-label"
  | "not-in-rollout"
  | "duplicate"
  | "not-a-number"
  | "negative"
  | "no-total"
  | "no-good"
  | "good-above-total";

export type Reading = { readonly deviceId: string; readonly good: number; readonly total: number };

export type Readings = {
  readonly readings: readonly Reading[];
  /** How many series or devices, and the first of them. */
  readonly refused: ReadonlyMap<Refusal, { readonly count: number; readonly some: readonly string[] }>;
};

const NAMED_MAX = 5;
const ID_MAX = 64;

const words: Readonly<Record<Refusal, string>> = {
  malformed: "malformed",
  "no-device-label": "without the label of the device",
  "not-in-rollout": "of other devices",
  duplicate: "with several series; sum them by the device",
  "not-a-number": "not a number",
  negative: "below 0",
  "no-total": "in good and not in total",
  "no-good": "in total, and good has none at all",
  "good-above-total": "with more good outcomes than all",
};

export function readingsOf(
  good: Vector,
  total: Vector,
  deviceLabel: string,
  isMember: (deviceId: string) => boolean,
): Readings {
  const refused = new Map<Refusal, { count: number; some: string[] }>();
  const refuse = (reason: Refusal, name: string, count = 1) => {
    const known = refused.get(reason) ?? { count: 0, some: [] };
    refused.set(reason, known);
    known.count += count;
    if (known.some.length < NAMED_MAX && name !== "") known.some.push(name.slice(0, ID_MAX));
  };
  const malformed = good.malformed + total.malformed;
  if (malformed > 0) refuse("malformed", "", malformed);
  const goods = byDevice(good.series, deviceLabel, isMember, refuse);
  const totals = byDevice(total.series, deviceLabel, isMember, refuse);
  const readings: Reading[] = [];
  for (const [deviceId, all] of totals) {
    const some = goods.get(deviceId);
    if (all === null || some === null) continue;
    if (some === undefined && goods.size === 0)
      refuse("no-good", deviceId); // R3
    else if ((some ?? 0) > all * (1 + 1e-9)) refuse("good-above-total", deviceId);
    else readings.push({ deviceId, good: Math.min(some ?? 0, all), total: all });
  }
  for (const deviceId of goods.keys()) if (!totals.has(deviceId)) refuse("no-total", deviceId);
  return { readings, refused };
}

/** Null: the device's series were refused. (R1, R2) */
function byDevice(
  series: readonly Series[],
  deviceLabel: string,
  isMember: (deviceId: string) => boolean,
  refuse: (reason: Refusal, name: string) => void,
): ReadonlyMap<string, number | null> {
  const values = new Map<string, number | null>();
  const isTwice = new Set<string>();
  for (const { labels, value } of series) {
    const deviceId = Object.hasOwn(labels, deviceLabel) ? (labels[deviceLabel] as string) : "";
    if (deviceId === "") refuse("no-device-label", labels.instance ?? "");
    else if (!isMember(deviceId)) refuse("not-in-rollout", deviceId);
    else if (values.has(deviceId)) {
      if (!isTwice.has(deviceId)) refuse("duplicate", deviceId);
      isTwice.add(deviceId);
      values.set(deviceId, null);
    } else if (!Number.isFinite(value) || value < 0) {
      refuse(value < 0 ? "negative" : "not-a-number", deviceId);
      values.set(deviceId, null);
    } else values.set(deviceId, value);
  }
  return values;
}

/** What is wrong, for people; null: every device has its counters. The same answer gives the same text on every instance. */
export function problemOf({ readings, refused }: Readings, members: number): string | null {
  const missing = members - readings.length;
  if (missing <= 0) return null;
  const reasons = [...refused]
    .filter(([reason]) => reason !== "not-in-rollout" || readings.length === 0)
    .map(([reason, { count }]) => `${count} ${words[reason]}`);
  const what = readings.length === 0 ? `any of the ${members} devices` : `${missing} of ${members} devices`;
  return `Prometheus has nothing usable of ${what}${reasons.length > 0 ? `: ${reasons.join(", ")}` : ""}`;
}
