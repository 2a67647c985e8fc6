/**
 * A camera's own timestamps, on this device's monotonic clock.
 *
 * The camera's clock may be any, and may jump: its offset is the smallest difference of arrival and stamp of the last minute, so the way that took
 * least time counts as none. What comes out is never after the arrival.
 *
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
  /** Clocks drift: an offset is estimated from the last two spans of this length. */
  readonly spanMs: number;
};

export const stampDefaults: StampSettings = {
  ageMsMax: 10_000,
  futureMsMax: 10,
  agreeing: 3,
  agreeMsMax: 50,
  spanMs: 30_000,
};

export type StampRefusal = "stamp-future" | "stamp-ancient" | "stamp-backwards";

type Span = { readonly fromMs: number; readonly leastMs: number };
type Refused = {
  readonly refusal: StampRefusal;
  readonly offsetMs: number;
  readonly leastMs: number;
  readonly count: number;
};

export type StampClock = {
  readonly spans: readonly Span[];
  /** Of those that were used. */
  readonly lastStampMs: number;
  readonly refused: Refused | null;
};

export const noStamps: StampClock = { spans: [], lastStampMs: Number.NEGATIVE_INFINITY, refused: null };

export type Stamped = { readonly clock: StampClock; readonly capturedAt: number } | Unstamped;
type Unstamped = { readonly clock: StampClock; readonly capturedAt: null; readonly refusal: StampRefusal };

/** `readAt`: when its first bytes were read, monotonic; `stampMs` of the camera's clock. */
export function stampNext(clock: StampClock, stampMs: number, readAt: number, settings: StampSettings): Stamped {
  const offsetMs = readAt - stampMs;
  const refusal = refusalOf(clock, stampMs, offsetMs, settings);
  if (refusal === null) return accepted(clock, stampMs, readAt, settings);
  const refused = refusedNext(clock.refused, refusal, offsetMs, settings);
  if (refused.count < settings.agreeing) return { clock: { ...clock, refused }, capturedAt: null, refusal };
  const spans = [{ fromMs: readAt, leastMs: refused.leastMs }]; // T2
  return accepted({ ...clock, spans }, stampMs, readAt, settings);
}

/** T1. */
function refusalOf(clock: StampClock, stampMs: number, offsetMs: number, settings: StampSettings): StampRefusal | null {
  const leastMs = leastOf(clock.spans);
  if (leastMs === null) return null;
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

function accepted(clock: StampClock, stampMs: number, readAt: number, { spanMs }: StampSettings): Stamped {
  const spans = withOffset(clock.spans, readAt, readAt - stampMs, spanMs);
  const capturedAt = stampMs + (leastOf(spans) ?? readAt - stampMs);
  return { clock: { spans, lastStampMs: stampMs, refused: null }, capturedAt };
}

function withOffset(spans: readonly Span[], at: number, offsetMs: number, spanMs: number): readonly Span[] {
  const [before, now] = spans.length > 1 ? spans : [undefined, spans[0]];
  if (now === undefined) return [{ fromMs: at, leastMs: offsetMs }];
  const least = { ...now, leastMs: Math.min(now.leastMs, offsetMs) };
  if (at - now.fromMs < spanMs) return before === undefined ? [least] : [before, least];
  return [now, { fromMs: at, leastMs: offsetMs }];
}

const leastOf = (spans: readonly Span[]): number | null =>
  spans.length === 0 ? null : Math.min(...spans.map(({ leastMs }) => leastMs));
