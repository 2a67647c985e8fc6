/**
 * When a camera's frames were captured: by its own stamps where it has them, else by when their first bytes can have arrived in the kernel.
 *
 * A1. While the reading process was on time, a frame arrived when it was read. Otherwise it may have waited since the process last saw that nothing did:
 *     that is its time, or a shortest period after the frame before it, whichever is later. A frame is never dated later than it arrived by
 *     more than `onTimeMs`.
 */
import { quantileOf } from "@tributary/statistics/moments";
import {
  noStamps,
  type StampClock,
  type StampRefusal,
  type StampSettings,
  stampDefaults,
  stampNext,
} from "./stamp-clock.ts";

export type CaptureSettings = {
  /** Between two looks of a process that is on time. */
  readonly onTimeMs: number;
  readonly stamps: StampSettings;
};

export const captureSettingsOf = (onTimeMs: number): CaptureSettings => ({ onTimeMs, stamps: stampDefaults });

/** Of a frame's first bytes. Times are monotonic, in ms. */
export type Arrival = {
  readonly readAt: number;
  /** What had arrived by then was read before. */
  readonly emptyAt: number;
  /** By the camera's clock; null: it states none. */
  readonly stampMs: number | null;
};

export type CaptureTimes = {
  readonly last: { readonly at: number; readonly isSure: boolean } | null;
  /** Between frames whose times are sure, the newest last. */
  readonly periods: readonly number[];
  /** Of the last frames, the newest last. */
  readonly captured: readonly number[];
  readonly stamps: StampClock;
};

export const noCaptures: CaptureTimes = { last: null, periods: [], captured: [], stamps: noStamps };

export type Dated = {
  readonly times: CaptureTimes;
  readonly capturedAt: number;
  /** Of a stamp that was not used. */
  readonly refusal: StampRefusal | null;
};

/** Of frames, and of periods between them, that are remembered. */
const PERIODS = 32;
const PERIODS_MIN = 8;

export function captureNext(times: CaptureTimes, arrival: Arrival, settings: CaptureSettings): Dated {
  const { readAt, stampMs } = arrival;
  const stamped = stampMs === null ? null : stampNext(times.stamps, stampMs, readAt, settings.stamps);
  const stamps = stamped?.clock ?? times.stamps;
  const byStamp = stamped?.capturedAt ?? null;
  const isSure = byStamp !== null || readAt - arrival.emptyAt <= settings.onTimeMs;
  const capturedAt = byStamp ?? (isSure ? readAt : earliestOf(times, arrival));
  const refusal = stamped !== null && stamped.capturedAt === null ? stamped.refusal : null;
  const periods =
    isSure && times.last?.isSure === true ? [...times.periods, Math.max(0, capturedAt - times.last.at)] : times.periods;
  return {
    times: {
      last: { at: capturedAt, isSure },
      periods: periods.slice(-PERIODS),
      captured: [...times.captured, capturedAt].slice(-PERIODS),
      stamps,
    },
    capturedAt,
    refusal,
  };
}

/** A1 */
function earliestOf({ last, periods }: CaptureTimes, { readAt, emptyAt }: Arrival): number {
  const shortest = periods.length < PERIODS_MIN ? 0 : Math.max(0, Math.min(...periods));
  const afterLast = last === null ? emptyAt : last.at + shortest;
  return Math.min(readAt, Math.max(emptyAt, afterLast));
}

/** The camera's usual period; null: not known yet. */
export const periodOf = ({ periods }: CaptureTimes): number | null =>
  periods.length < PERIODS_MIN ? null : Math.max(1, quantileOf(periods, 0.5) as number);

/** While a process did not run: nothing was read, and nothing answered. */
export type Stall = { readonly fromMs: number; readonly untilMs: number };

/** When the camera should have captured frames meanwhile that have not come: whole periods after the last that did; the first `countMax`. */
export function dueIn(times: CaptureTimes, { fromMs, untilMs }: Stall, countMax: number): readonly number[] {
  const periodMs = periodOf(times);
  if (periodMs === null || times.last === null) return [];
  const { at } = times.last;
  const first = Math.max(1, Math.floor((fromMs - at) / periodMs) + 1);
  const count = Math.max(0, Math.min(countMax, Math.floor((untilMs - at) / periodMs) - first + 1));
  return Array.from({ length: count }, (_, i) => at + (first + i) * periodMs);
}

/** A frame that was captured about then has come. */
export function hasCome(times: CaptureTimes, capturedAt: number): boolean {
  const halfMs = (periodOf(times) ?? 0) / 2;
  return times.captured.some((at) => Math.abs(at - capturedAt) <= halfMs);
}
