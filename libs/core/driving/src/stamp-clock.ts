/**
 * A camera's own timestamps, on this device's monotonic clock.
 *
 * The camera's clock may be any, and may jump: its offset is the smallest difference of arrival and stamp so far, so the way that took
 * least time counts as none. What comes out is never after the arrival.
 *
 * T0. That smallest difference rises again as clocks may drift or be slewed apart, and no faster: a delay that lasts is not forgotten within a minute.
 * T1. A stamp that is not after the last one, is of the future, or is older than `ageMsMax` is refused, and the frame is dated by its arrival.
 * T2. Stamps that are refused, and agree with each other `agreeing` times in a row, are of a clock that jumped: the offset is estimated anew.
 */

export type StampSettings = {
  /** An older stamp is no time of a frame. */
  readonly ageMsMax: number;
  /** A stamp may be so much earlier than every one before it: the way took less time. More is the future. */
  readonly futureMsMax: number;
  readonly agreeing: number;
  /** Refused stamps agree if their offsets differ by no more. */
  readonly agreeMsMax: number;
  /** Share of the time by which two clocks drift apart at most: Linux slews one by 500 parts in a million, and a quartz has 100. */
  readonly driftMax: number;
};

export const stampDefaults: StampSettings = {
  ageMsMax: 10_000,
  futureMsMax: 10,
  agreeing: 3,
  agreeMsMax: 50,
  driftMax: 600e-6,
};

export type StampRefusal = "stamp-future" | "stamp-ancient" | "stamp-backwards";

/** The smallest difference of arrival and stamp, as of then (T0). */
type Least = { readonly ms: number; readonly at: number };
type Refused = {
  readonly refusal: StampRefusal;
  readonly offsetMs: number;
  readonly leastMs: number;
  readonly count: number;
};

export type StampClock = {
  /** Null: no stamp was used yet. */
  readonly least: Least | null;
  /** Of those that were used. */
  readonly lastStampMs: number;
  readonly refused: Refused | null;
};

export const noStamps: StampClock = { least: null, lastStampMs: Number.NEGATIVE_INFINITY, refused: null };

export type Stamped = { readonly clock: StampClock; readonly capturedAt: number } | Unstamped;
type Unstamped = { readonly clock: StampClock; readonly capturedAt: null; readonly refusal: StampRefusal };

/** `readAt`: when its first bytes were read, monotonic; `stampMs` of the camera's clock. */
export function stampNext(clock: StampClock, stampMs: number, readAt: number, settings: StampSettings): Stamped {
  const offsetMs = readAt - stampMs;
  const leastMs = leastAt(clock, readAt, settings);
  const refusal = refusalOf(clock, stampMs, offsetMs, leastMs, settings);
  if (refusal === null) return accepted(stampMs, readAt, Math.min(offsetMs, leastMs));
  const refused = refusedNext(clock.refused, refusal, offsetMs, settings);
  if (refused.count < settings.agreeing) return { clock: { ...clock, refused }, capturedAt: null, refusal };
  return accepted(stampMs, readAt, Math.min(offsetMs, refused.leastMs)); // T2
}

/** T1. */
function refusalOf(
  clock: StampClock,
  stampMs: number,
  offsetMs: number,
  leastMs: number,
  settings: StampSettings,
): StampRefusal | null {
  if (clock.least === null) return null;
  const { refused } = clock;
  if (refused !== null && agrees(refused, offsetMs, settings)) return refused.refusal;
  if (stampMs <= clock.lastStampMs) return "stamp-backwards";
  if (offsetMs < leastMs - settings.futureMsMax) return "stamp-future";
  return offsetMs - leastMs > settings.ageMsMax ? "stamp-ancient" : null;
}

const agrees = (refused: Refused, offsetMs: number, { agreeMsMax }: StampSettings): boolean =>
  Math.abs(offsetMs - refused.offsetMs) <= agreeMsMax;

function refusedNext(
  before: Refused | null,
  refusal: StampRefusal,
  offsetMs: number,
  settings: StampSettings,
): Refused {
  if (before === null || !agrees(before, offsetMs, settings)) return { refusal, offsetMs, leastMs: offsetMs, count: 1 };
  return { ...before, leastMs: Math.min(before.leastMs, offsetMs), count: before.count + 1 };
}

const accepted = (stampMs: number, readAt: number, leastMs: number): Stamped => ({
  clock: { least: { ms: leastMs, at: readAt }, lastStampMs: stampMs, refused: null },
  capturedAt: stampMs + leastMs,
});

/** T0 */
const leastAt = ({ least }: StampClock, at: number, { driftMax }: StampSettings): number =>
  least === null ? Number.POSITIVE_INFINITY : least.ms + driftMax * Math.max(0, at - least.at);
