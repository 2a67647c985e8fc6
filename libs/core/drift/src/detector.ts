/** Detects a lasting change of one stream (a camera's feature, as the mean over a window's frames of (bin + 1/2) / 32), at a
 * rate of false alarms that is chosen for the whole fleet: an e-detector (Shin, Ramdas & Rinaldo 2023). docs/methods/drift.md
 * derives it. A stream's state is `streamFloats` consecutive floats, so that a camera is one Float32Array.
 *
 * The first `baselineWindows` windows are learned, then each window is compared with the mean so far, and goes on to be learned
 * (up to `baselineWindowsMax`) while there is no evidence of a change.
 *
 * D1. While the mean stays within the tolerance of the baseline, P(alarm by window t) <= t / bar for each stream; with the bar of
 *     `logBar`, P(any alarm of the fleet by time t) <= t / 30 days, however its streams depend on each other.
 * D2. The tolerance contains the error of an estimated baseline, and bets are small where windows depend on each other. */
import { invariant } from "@tributary/kernel";

export type DetectorSettings = {
  /** Changes of the mean up to delta x width are no drift. */
  readonly delta: number;
  /** Deviations count up to this much; more in windows of fewer than 8 frames. */
  readonly width: number;
  /** Windows that are learned before the first is compared; more if they depend on each other. */
  readonly baselineWindows: number;
  /** Windows after which nothing more is learned. */
  readonly baselineWindowsMax: number;
  /** Baselines a day: parts of equal length in UTC, each compared with its own past. */
  readonly dayParts: number;
  /** Windows within the tolerance after which an alarm is over. */
  readonly clearWindows: number;
};

export const detectorDefaults: DetectorSettings = {
  delta: 0.2,
  width: 0.25,
  baselineWindows: 240,
  baselineWindowsMax: 2_880,
  dayParts: 1,
  clearWindows: 30,
};

const MONTH_MS = 30 * 86_400_000;

/** ln of the evidence at which a stream alarms: at most one false alarm is expected in 30 days of so many streams. */
export function logBar(streams: number, windowMs: number): number {
  invariant(streams >= 1 && windowMs > 0, "a bar is of at least one stream and of windows that last");
  return Math.log(Math.max(1, (streams * MONTH_MS) / windowMs));
}

/** Which of the day's parts a moment (ms since 1970) is in. */
export function dayPart(at: number, dayParts: number): number {
  const ofDay = (((at % 86_400_000) + 86_400_000) % 86_400_000) / 86_400_000;
  return Math.min(dayParts - 1, Math.floor(ofDay * dayParts));
}

const at = (state: Float32Array, place: number): number => state[place] as number;

/** A window of the camera that the stream belongs to. */
export type DetectorWindow = {
  /** Its end on a clock of which float32 holds seconds: e.g. seconds since the camera's first window. */
  readonly at: number;
  readonly frames: number;
  /** Of `dayPart`. */
  readonly part: number;
};

/** Bets against the null hypothesis, as shares of the largest possible. */
const BETS = [0.1, 0.25, 0.5, 1] as const;
/** Learned first, as so many windows: what was not seen yet is neither impossible nor without variance. */
const PRIOR = 0.5;
const PRIOR_WINDOWS = 2;
/** Windows a batch, by whose means dependence between windows is measured. */
const BATCHES = [4, 16, 64] as const;
/** Fewer batches do not show their variance. */
const BATCHES_MIN = 8;
/** Days that each part of the day is seen before it is compared, and windows of one that count. */
const VISITS_MIN = 3;
const VISIT_WINDOWS_MIN = 5;
/** Windows of a visit with an alarm: it does not show how usual days differ. */
const NOT_USUAL = -1e6;
/** How far days differ before anything is known of it, and as of how many visits that counts. */
const DAYS_SD = 0.06;
const DAYS_PRIOR = 4;
const CAP = 1e30;
/** Standard errors of the baseline that the tolerance contains. */
const STANDARD_ERRORS = 3;
/** From so many frames on, a window's mean seldom deviates by more than `width` by chance. */
const FRAMES_FULL = 8;
const SMOOTHING = 1 / 16;

// Of the stream: evidence by sign and bet, then by sign a run: score, start, windows, sum of deviations.
const [EVIDENCE, RUNS, RUN_FLOATS] = [0, 2 * BETS.length, 4];
const [SCORE, START, WINDOWS, SUM] = [0, 1, 2, 3];
const ALARM = RUNS + 2 * RUN_FLOATS; // 1 or -1: the sign of the change; 0: none
const [SMOOTHED, QUIET, LAST_PART] = [ALARM + 1, ALARM + 2, ALARM + 3];
// Of the open visit to a part of the day: windows and their sum; of all visits after a part's first: how many, squares about their parts' means.
const [VISIT_WINDOWS, VISIT_SUM, VISITS_COMPARED, VISIT_SQUARES] = [ALARM + 4, ALARM + 5, ALARM + 6, ALARM + 7];
const PARTS = ALARM + 8;
// Of each part of the day: moments (windows, mean, squares about it; by size of batch the sum of the open one, squares of the
// means), the same with windows that may be of a change that has started, isReady.
const [COUNT, MEAN, SQUARES, BATCH] = [0, 1, 2, 3];
const MOMENTS = BATCH + 2 * BATCHES.length;
const [CANDIDATE, READY, VISITS] = [MOMENTS, 2 * MOMENTS, 2 * MOMENTS + 1];
const PART_FLOATS = VISITS + 1;

/** Floats of one stream's state; all 0 at the start. */
export const streamFloats = (settings: DetectorSettings): number => PARTS + settings.dayParts * PART_FLOATS;

/** Folds a window's mean `x` (0 to 1) into the stream at `offset`; it alarms when ln of its evidence reaches `bar`. Returns how far
 * `x` is from the baseline; NaN while there is none. */
export function stepStream(
  state: Float32Array,
  offset: number,
  x: number,
  window: DetectorWindow,
  bar: number,
  settings: DetectorSettings,
): number {
  invariant(x >= 0 && x <= 1 && window.frames > 0, "a stream's window has frames and a mean in 0 to 1");
  const part = offset + PARTS + window.part * PART_FLOATS;
  markReady(state, offset, window.part, settings);
  state[offset + VISIT_WINDOWS] = at(state, offset + ALARM) === 0 ? at(state, offset + VISIT_WINDOWS) + 1 : NOT_USUAL;
  state[offset + VISIT_SUM] = at(state, offset + VISIT_SUM) + x;
  if (at(state, part + READY) === 0) {
    while (at(state, part + CANDIDATE + COUNT) < PRIOR_WINDOWS) learn(state, part + CANDIDATE, PRIOR);
    learn(state, part + CANDIDATE, x);
    commit(state, part);
    return Number.NaN;
  }
  const { mean, tolerance, betMax } = baselineOf(state, part, settings);
  const clip = settings.width * Math.max(1, Math.sqrt(FRAMES_FULL / window.frames));
  const deviation = x - mean;
  const clipped = Math.max(-clip, Math.min(clip, deviation));
  for (const sign of [1, -1]) {
    const excess = sign * clipped - tolerance;
    bet(state, offset, sign, excess * Math.min(1 / (clip + tolerance), betMax));
    run(state, offset, sign, excess, deviation, window.at);
  }
  state[offset + SMOOTHED] = at(state, offset + SMOOTHED) + SMOOTHING * (clipped - at(state, offset + SMOOTHED));
  decide(state, offset, tolerance, bar, settings);
  if (at(state, offset + ALARM) !== 0 || at(state, part + COUNT) >= settings.baselineWindowsMax) return deviation;
  learn(state, part + CANDIDATE, x);
  if (at(state, runOf(offset, 1) + SCORE) === 0 && at(state, runOf(offset, -1) + SCORE) === 0) commit(state, part);
  return deviation;
}

export type StreamReading = {
  /** Whether any window can be compared yet. */
  readonly isCompared: boolean;
  readonly isAlarmed: boolean;
  /** Mean in the baseline. */
  readonly before: number;
  /** Mean since the onset; without an alarm, of about the last 30 windows. */
  readonly now: number;
  /** Windows behind `now`. */
  readonly windows: number;
  /** Start of the change, on the clock of `DetectorWindow.at`; null without an alarm. */
  readonly onset: number | null;
  /** ln of the evidence; at least -100. */
  readonly logEvidence: number;
};

/** Whether the stream at `offset` is alarmed. */
export const isAlarmed = (state: Float32Array, offset: number): boolean => at(state, offset + ALARM) !== 0;

/** What the stream at `offset` shows. */
export function readStream(
  state: Float32Array,
  offset: number,
  settings: DetectorSettings = detectorDefaults,
): StreamReading {
  let [count, sum, isCompared] = [0, 0, false];
  for (let part = 0; part < settings.dayParts; part++) {
    const place = offset + PARTS + part * PART_FLOATS;
    count += at(state, place + COUNT);
    sum += at(state, place + COUNT) * at(state, place + MEAN);
    isCompared ||= at(state, place + READY) === 1;
  }
  const before = count === 0 ? 0 : sum / count;
  const alarm = at(state, offset + ALARM);
  const place = runOf(offset, alarm);
  const windows = alarm === 0 ? 2 / SMOOTHING - 1 : at(state, place + WINDOWS);
  const shift = alarm === 0 ? at(state, offset + SMOOTHED) : at(state, place + SUM) / windows;
  return {
    isCompared,
    isAlarmed: alarm !== 0,
    before,
    now: before + shift,
    windows,
    onset: alarm === 0 ? null : at(state, place + START),
    logEvidence: Math.max(-100, Math.log(evidenceOf(state, offset))),
  };
}

/** Standard deviation of how far a visit to a part of the day is from what was learned of it before. */
export function dayDeviation(state: Float32Array, offset: number, settings: DetectorSettings): number {
  let learned = Number.POSITIVE_INFINITY;
  for (let part = 0; part < settings.dayParts; part++) {
    const place = offset + PARTS + part * PART_FLOATS;
    if (at(state, place + READY) === 1) learned = Math.min(learned, at(state, place + VISITS));
  }
  return Math.sqrt(dayVariance(state, offset) * (1 + 1 / learned));
}

const runOf = (offset: number, sign: number): number => offset + RUNS + (sign > 0 ? 0 : RUN_FLOATS);

/** A part of several a day is compared once it was seen to its end on some days: its first hour is not like its last, and one day's
 * weather is not the next one's. */
function markReady(state: Float32Array, offset: number, part: number, settings: DetectorSettings): void {
  const last = at(state, offset + LAST_PART);
  const place = offset + PARTS + last * PART_FLOATS;
  if (settings.dayParts === 1) {
    if (isBaseline(state, place, settings)) state[place + READY] = 1;
  } else if (last !== part) {
    endVisit(state, offset, place);
    if (at(state, place + VISITS) >= VISITS_MIN && isBaseline(state, place, settings)) state[place + READY] = 1;
  }
  state[offset + LAST_PART] = part;
}

/** How far days differ is learned from all parts of the day together. */
function endVisit(state: Float32Array, offset: number, part: number): void {
  const windows = at(state, offset + VISIT_WINDOWS);
  if (windows >= VISIT_WINDOWS_MIN) {
    const visits = at(state, part + VISITS) + 1;
    state[part + VISITS] = visits;
    if (visits > 1) {
      const deviation = at(state, offset + VISIT_SUM) / windows - at(state, part + MEAN);
      // The mean contains the visit itself.
      const squares = (deviation * deviation * visits) / (visits - 1);
      state[offset + VISIT_SQUARES] = at(state, offset + VISIT_SQUARES) + squares;
      state[offset + VISITS_COMPARED] = at(state, offset + VISITS_COMPARED) + 1;
    }
  }
  state.fill(0, offset + VISIT_WINDOWS, offset + VISIT_SUM + 1);
}

/** What was seen so far is of the baseline. */
function commit(state: Float32Array, part: number): void {
  state.copyWithin(part, part + CANDIDATE, part + CANDIDATE + MOMENTS);
}

/** Welford's update of mean and squares, of windows and of batches of them. */
function learn(state: Float32Array, part: number, x: number): void {
  const count = at(state, part + COUNT) + 1;
  const before = at(state, part + MEAN);
  const mean = before + (x - before) / count;
  state[part + COUNT] = count;
  state[part + MEAN] = mean;
  state[part + SQUARES] = at(state, part + SQUARES) + (x - before) * (x - mean);
  for (const [i, size] of BATCHES.entries()) {
    const place = part + BATCH + 2 * i;
    const sum = at(state, place) + x;
    state[place] = count % size === 0 ? 0 : sum;
    if (count % size !== 0) continue;
    const earlier = count === size ? 0 : (mean * count - sum) / (count - size);
    const square = count === size ? 0 : (sum / size - earlier) * (sum / size - mean);
    state[place + 1] = at(state, place + 1) + square;
  }
}

type Baseline = { readonly mean: number; readonly tolerance: number; readonly betMax: number };

function baselineOf(state: Float32Array, part: number, settings: DetectorSettings): Baseline {
  const { variance, longRun } = variancesOf(state, part);
  const allowed = settings.delta * settings.width;
  return {
    mean: at(state, part + MEAN),
    tolerance: allowed + STANDARD_ERRORS * Math.sqrt(longRun / at(state, part + COUNT)),
    // E of a product of factors 1 + b (y - allowed) is about exp(n (b² (longRun - variance) / 2 - b allowed)).
    betMax: allowed / Math.max(1e-9, longRun - variance),
  };
}

/** Of a visit's mean from one day to the next. */
function dayVariance(state: Float32Array, offset: number): number {
  const compared = at(state, offset + VISITS_COMPARED);
  return (DAYS_PRIOR * DAYS_SD ** 2 + at(state, offset + VISIT_SQUARES)) / (DAYS_PRIOR + compared);
}

/** Of one window, and of the sum of many, by window: the same if windows are independent. By means of batches; as far as it still
 * grows from one size of batch to the next, it is taken to grow once more. */
function variancesOf(state: Float32Array, part: number): { readonly variance: number; readonly longRun: number } {
  const count = at(state, part + COUNT);
  const variance = at(state, part + SQUARES) / Math.max(1, count - 1);
  let [longRun, smaller] = [variance, variance];
  for (let i = 0; i < BATCHES.length; i++) {
    const size = BATCHES[i] as number;
    const batches = Math.floor(count / size);
    if (batches < BATCHES_MIN) break;
    const larger = (size * at(state, part + BATCH + 2 * i + 1)) / (batches - 1);
    longRun = Math.max(longRun, larger * Math.max(1, larger / Math.max(1e-9, smaller)));
    smaller = larger;
  }
  return { variance, longRun };
}

/** Where windows depend on each other it takes more: as many as show what a quarter of independent ones would. */
function isBaseline(state: Float32Array, part: number, settings: DetectorSettings): boolean {
  const count = at(state, part + COUNT);
  if (count < settings.baselineWindows) return false;
  const { variance, longRun } = variancesOf(state, part);
  return count * variance >= (settings.baselineWindows / 4) * longRun || count >= settings.baselineWindowsMax;
}

/** Shiryaev-Roberts: the sum over possible onsets of the wealth that bets since then have. */
function bet(state: Float32Array, offset: number, sign: number, gain: number): void {
  const first = offset + EVIDENCE + (sign > 0 ? 0 : BETS.length);
  for (const [i, share] of BETS.entries()) {
    state[first + i] = Math.min(CAP, (1 + at(state, first + i)) * Math.max(0, 1 + share * gain));
  }
}

/** Page's estimate of the onset: the window after the sum of excesses was last 0. An alarm keeps its onset. */
function run(state: Float32Array, offset: number, sign: number, excess: number, deviation: number, end: number): void {
  const place = runOf(offset, sign);
  const score = Math.max(0, at(state, place + SCORE) + excess);
  const isOver = score === 0 && at(state, offset + ALARM) !== sign;
  if (!isOver && at(state, place + WINDOWS) === 0) state[place + START] = end;
  state[place + SCORE] = score;
  state[place + WINDOWS] = isOver ? 0 : at(state, place + WINDOWS) + 1;
  state[place + SUM] = isOver ? 0 : at(state, place + SUM) + deviation;
}

function evidenceOf(state: Float32Array, offset: number): number {
  let sum = 0;
  for (let i = 0; i < 2 * BETS.length; i++) sum += at(state, offset + EVIDENCE + i);
  return sum / (2 * BETS.length);
}

function decide(state: Float32Array, offset: number, tolerance: number, bar: number, settings: DetectorSettings): void {
  const alarm = at(state, offset + ALARM);
  if (alarm === 0) {
    if (Math.log(evidenceOf(state, offset)) < bar) return;
    let rise = 0;
    for (let i = 0; i < BETS.length; i++) rise += at(state, offset + i) - at(state, offset + BETS.length + i);
    state[offset + ALARM] = rise > 0 ? 1 : -1;
    state[offset + QUIET] = 0;
    return;
  }
  const isWithin = Math.abs(at(state, offset + SMOOTHED)) <= tolerance;
  state[offset + QUIET] = isWithin ? at(state, offset + QUIET) + 1 : 0;
  if (at(state, offset + QUIET) < settings.clearWindows) return;
  state.fill(0, offset + EVIDENCE, offset + SMOOTHED);
}
