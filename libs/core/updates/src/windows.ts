/** When a device may switch models by the clock on the wall, as people write it: days, from, to, and a time zone.
 *
 * Where a clock is turned, the wall's time counts: a window that it skips is short that day, one that it repeats is long. */
import type { Instant } from "@tributary/kernel";

export const weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] as const;
export type Weekday = (typeof weekdays)[number];

export type MaintenanceWindow = {
  /** On which it opens. */
  readonly days: readonly Weekday[];
  /** Minutes since midnight, 0 to 1439. Not later than `fromMinute`, `toMinute` is one of the next day. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** IANA name. */
  readonly timeZone: string;
};

export const MINUTES_A_DAY = 1_440;

/** Without any, always. */
export function isOpen(windows: readonly MaintenanceWindow[], at: Instant): boolean {
  return windows.length === 0 || windows.some((window) => isWithin(window, at));
}

function isWithin({ days, fromMinute, toMinute, timeZone }: MaintenanceWindow, at: Instant): boolean {
  const { day, minute } = wallTime(timeZone, at);
  const begun = (back: number) => days.includes(weekdays[(day - back + 7) % 7] as Weekday);
  if (toMinute > fromMinute) return begun(0) && minute >= fromMinute && minute < toMinute;
  return (begun(0) && minute >= fromMinute) || (begun(1) && minute < toMinute);
}

/** Whether this machine knows the zone. */
export function isTimeZone(name: string): boolean {
  try {
    formatOf(name);
    return true;
  } catch {
    return false;
  }
}

/** The longest time between two openings' end and beginning in a week, minutes; 0 when it is always open. */
export function longestClosedMinutes(windows: readonly Omit<MaintenanceWindow, "timeZone">[]): number {
  const week = new Uint8Array(7 * MINUTES_A_DAY);
  for (const { days, fromMinute, toMinute } of windows) {
    const length = toMinute > fromMinute ? toMinute - fromMinute : toMinute + MINUTES_A_DAY - fromMinute;
    for (const day of days) {
      const from = weekdays.indexOf(day) * MINUTES_A_DAY + fromMinute;
      for (let i = 0; i < length; i++) week[(from + i) % week.length] = 1;
    }
  }
  if (windows.length === 0) return 0;
  let [longest, closed] = [0, 0];
  for (let i = 0; i < 2 * week.length; i++) {
    closed = week[i % week.length] === 1 ? 0 : closed + 1;
    longest = Math.max(longest, closed);
  }
  return Math.min(longest, week.length);
}

const formats = new Map<string, Intl.DateTimeFormat>();
const FORMATS_MAX = 64;

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const shape = { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
  const format = new Intl.DateTimeFormat("en-US", { ...shape, timeZone });
  if (formats.size < FORMATS_MAX) formats.set(timeZone, format);
  return format;
}

function wallTime(timeZone: string, at: Instant): { readonly day: number; readonly minute: number } {
  const parts = Object.fromEntries(
    formatOf(timeZone)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
  const day = weekdays.indexOf(String(parts.weekday).toUpperCase() as Weekday);
  return { day, minute: Number(parts.hour) * 60 + Number(parts.minute) };
}
