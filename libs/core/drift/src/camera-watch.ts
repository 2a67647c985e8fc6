/**
 * What is known of one camera: a detector for each of its streams, the alarms, and the history behind them.
 *
 * K1. A camera is compared with its own past under one package: another model, preprocessing or temperature starts its
 *     baseline again, so a rollout is no drift.
 * K2. What is in memory is exactly what `write` stores: a fold continues after a restart as if there had been none. */
import type { Instant } from "@tributary/kernel";
import { AppearanceWatch, type WindowAppearance } from "./appearance-watch.ts";
import {
  type DetectorSettings,
  dayDeviation,
  dayPart,
  detectorDefaults,
  isAlarmed,
  logBar,
  readStream,
  stepStream,
  streamFloats,
} from "./detector.ts";
import type { CameraDays, CameraDrift, CameraFindings, StreamAlarm } from "./findings.ts";
import { LastDay } from "./last-day.ts";
import { ShiftHistory } from "./shift-history.ts";
import { invalid, type StateReader, type StateWriter } from "./state-bytes.ts";

/** One window of the camera. */
export type CameraWindow = {
  readonly modelDigest: string;
  readonly preprocessingDigest: string;
  readonly temperature: number;
  readonly windowMs: number;
  readonly endedAt: Instant;
  /** Largest number of observations of a feature. */
  readonly frames: number;
  /** Of each stream, in the package's order: x in [0, 1], NaN where there is none. */
  readonly values: Float64Array;
  /** Of each stream: frames per bin; undefined of label:CLASS, and where there are none. */
  readonly counts: readonly (readonly bigint[] | undefined)[];
  readonly appearance: WindowAppearance | null;
};

const NO_COUNTS = new Float64Array(0);
const BINS = 32;
const STREAMS_MAX = 256;
const DAY_PARTS_MAX = 96;
/** "now" follows the present: it is a mean over this many windows, or those since the onset if they are fewer. */
const NOW_WINDOWS = 64;
/** What the cameras of a site have in common is seen in so many windows. */
const RECENT_WINDOWS = 16;

type Alarm = { readonly since: Instant; readonly alarmedAt: Instant; readonly counts: Float64Array };

export class CameraWatch {
  readonly cameraId: string;
  #modelDigest = "";
  #preprocessingDigest = "";
  #temperature = 0;
  #windowMs = 0;
  #endedAt = 0;
  /** Zero of the detectors' clock. */
  #startedAt = 0;
  #frames = 0;
  #dayParts = 1;
  #streams = 0;
  #detectors = new Float32Array(0);
  #history = new ShiftHistory(0);
  /** Null with one baseline for the whole day. */
  #lastDay: LastDay | null = null;
  #appearance = new AppearanceWatch();
  readonly #alarms = new Map<number, Alarm>();

  constructor(cameraId: string) {
    this.cameraId = cameraId;
  }

  get endedAt(): Instant {
    return this.#endedAt;
  }

  /** Whether the window begins more than half its length before the last one ended: there are no more windows than time. */
  overlaps({ endedAt, windowMs }: Pick<CameraWindow, "endedAt" | "windowMs">): boolean {
    return this.#streams > 0 && endedAt - windowMs < this.#endedAt - windowMs / 2;
  }

  /** Folds a window; `streams` are those of the fleet. */
  fold(window: CameraWindow, streams: number, settings: DetectorSettings): void {
    if (!this.#continues(window, settings)) this.#restart(window, settings); // K1
    const { endedAt, windowMs } = window;
    this.#windowMs = windowMs;
    this.#endedAt = endedAt;
    this.#frames += (window.frames - this.#frames) / 16;
    const floats = streamFloats(settings);
    const step = {
      at: (endedAt - this.#startedAt) / 1_000,
      frames: window.frames,
      part: dayPart(endedAt, settings.dayParts),
    };
    const bar = logBar(streams, windowMs);
    const deviations = window.values.map((x, stream) =>
      x >= 0 ? stepStream(this.#detectors, stream * floats, x, step, bar, settings) : Number.NaN,
    );
    for (let stream = 0; stream < this.#streams; stream++) this.#noteAlarm(stream, floats, window, settings);
    this.#appearance.add(window.appearance, this.#alarms.size > 0);
    if (deviations.some((deviation) => !Number.isNaN(deviation))) {
      this.#history.add(endedAt - windowMs, deviations, this.#alarms.size > 0);
      this.#lastDay?.add(endedAt, step.part, deviations);
    }
  }

  findings(): CameraFindings {
    const { cameraId } = this;
    const settings = { ...detectorDefaults, dayParts: this.#dayParts };
    const floats = streamFloats(settings);
    const isCompared = range(this.#streams).some((i) => readStream(this.#detectors, i * floats, settings).isCompared);
    const base = {
      cameraId,
      modelDigest: this.#modelDigest,
      windowMs: this.#windowMs,
      endedAt: this.#endedAt,
      isCompared,
      recent: isCompared ? this.#history.recent(RECENT_WINDOWS) : null,
      days: this.#lastDay === null ? undefined : this.#days(this.#lastDay, settings),
    };
    return { ...base, drift: this.#alarms.size === 0 ? null : this.#drift(settings) };
  }

  write(to: StateWriter): void {
    to.text(this.cameraId);
    to.text(this.#modelDigest);
    to.text(this.#preprocessingDigest);
    to.f64(this.#temperature);
    to.f64(this.#windowMs);
    to.f64(this.#endedAt);
    to.f64(this.#startedAt);
    to.f64(this.#frames);
    to.u8(this.#dayParts);
    to.u16(this.#streams);
    to.f32s(this.#detectors);
    this.#history.write(to);
    this.#lastDay?.write(to);
    this.#appearance.write(to);
    to.u16(this.#alarms.size);
    for (const [stream, { since, alarmedAt, counts }] of this.#alarms) {
      to.u16(stream);
      to.f64(since);
      to.f64(alarmedAt);
      to.u8(counts.length);
      for (const count of counts) to.f64(count);
    }
  }

  static read(from: StateReader): CameraWatch {
    const camera = new CameraWatch(from.text(64));
    camera.#modelDigest = from.text(64);
    camera.#preprocessingDigest = from.text(64);
    camera.#temperature = from.f64();
    camera.#windowMs = from.f64();
    camera.#endedAt = from.f64();
    camera.#startedAt = from.f64();
    camera.#frames = from.f64();
    camera.#dayParts = from.u8(DAY_PARTS_MAX);
    camera.#streams = from.u16(STREAMS_MAX);
    const settings = { ...detectorDefaults, dayParts: camera.#dayParts };
    camera.#detectors = from.f32s(camera.#streams * streamFloats(settings));
    camera.#history = ShiftHistory.read(from, camera.#streams);
    camera.#lastDay = camera.#dayParts > 1 ? LastDay.read(from, camera.#streams, camera.#dayParts) : null;
    camera.#appearance = AppearanceWatch.read(from);
    for (let left = from.u16(camera.#streams); left > 0; left--) {
      const stream = from.u16(camera.#streams - 1);
      const since = from.f64();
      const alarmedAt = from.f64();
      const bins = from.u8(BINS);
      if (bins !== 0 && bins !== BINS) throw invalid(`an alarm has ${bins} bins`);
      camera.#alarms.set(stream, { since, alarmedAt, counts: Float64Array.from({ length: bins }, () => from.f64()) });
    }
    return camera;
  }

  #continues(window: CameraWindow, { dayParts }: DetectorSettings): boolean {
    return (
      window.modelDigest === this.#modelDigest &&
      window.preprocessingDigest === this.#preprocessingDigest &&
      window.temperature === this.#temperature &&
      window.values.length === this.#streams &&
      dayParts === this.#dayParts
    );
  }

  #restart(window: CameraWindow, settings: DetectorSettings): void {
    this.#modelDigest = window.modelDigest;
    this.#preprocessingDigest = window.preprocessingDigest;
    this.#temperature = window.temperature;
    this.#startedAt = window.endedAt;
    this.#frames = window.frames;
    this.#dayParts = settings.dayParts;
    this.#streams = window.values.length;
    this.#detectors = new Float32Array(this.#streams * streamFloats(settings));
    this.#history = new ShiftHistory(this.#streams);
    this.#lastDay = this.#dayParts > 1 ? new LastDay(this.#streams, this.#dayParts) : null;
    this.#appearance = new AppearanceWatch();
    this.#alarms.clear();
  }

  /** A camera that is compared by parts of the day may look as before in some of them: its alarm is over when its whole day does. */
  #noteAlarm(stream: number, floats: number, window: CameraWindow, settings: DetectorSettings): void {
    const known = this.#alarms.get(stream);
    if (
      !isAlarmed(this.#detectors, stream * floats) &&
      !(known !== undefined && this.#isDayShifted(stream, settings))
    ) {
      this.#alarms.delete(stream);
      return;
    }
    const ofWindow = window.counts[stream];
    const counts = known?.counts ?? (ofWindow === undefined ? NO_COUNTS : new Float64Array(BINS));
    const alarmedAt = known?.alarmedAt ?? window.endedAt;
    const since = known?.since ?? Math.min(alarmedAt, this.#onsetOf(stream, settings));
    this.#alarms.set(stream, { since, alarmedAt, counts });
    if (ofWindow === undefined) return;
    for (let bin = 0; bin < counts.length; bin++) {
      counts[bin] = (counts[bin] as number) + Number(ofWindow[bin]);
    }
  }

  #onsetOf(stream: number, settings: DetectorSettings): Instant {
    const { onset } = readStream(this.#detectors, stream * streamFloats(settings), settings);
    return Math.round(this.#startedAt + (onset ?? 0) * 1_000 - this.#windowMs);
  }

  #isDayShifted(stream: number, { delta, width }: DetectorSettings): boolean {
    return Math.abs(this.#lastDay?.shift(stream) ?? 0) > delta * width;
  }

  #days(lastDay: LastDay, settings: DetectorSettings): CameraDays {
    const floats = streamFloats(settings);
    const deviations = range(this.#streams).map((stream) => dayDeviation(this.#detectors, stream * floats, settings));
    return { last: lastDay.shifts(), deviations };
  }

  #drift(settings: DetectorSettings): CameraDrift {
    const floats = streamFloats(settings);
    const readings = range(this.#streams).map((stream) => readStream(this.#detectors, stream * floats, settings));
    const alarms = [...this.#alarms].map(([stream, alarm]): StreamAlarm => {
      const { logEvidence } = readings[stream] as (typeof readings)[number];
      return { stream, ...alarm, logEvidence };
    });
    const since = Math.min(...alarms.map((alarm) => alarm.since));
    const spans = this.#history.spans();
    const { windows, shifts } = meanSince(spans, since, this.#streams);
    return {
      since,
      alarmedAt: Math.min(...alarms.map((alarm) => alarm.alarmedAt)),
      frames: Math.max(1, Math.round(windows * this.#frames)),
      before: readings.map(({ before }) => before),
      shifts,
      alarms: alarms.sort((a, b) => a.stream - b.stream),
      history: spans,
      picture: this.#appearance.drift(),
    };
  }
}

/** Mean shift over the newest spans that began after the onset; the very newest counts in any case. */
function meanSince(
  spans: ReturnType<ShiftHistory["spans"]>,
  since: Instant,
  streams: number,
): { readonly windows: number; readonly shifts: Float64Array } {
  const shifts = new Float64Array(streams);
  let windows = 0;
  for (const span of spans.toReversed()) {
    if (windows > 0 && (span.at < since || windows >= NOW_WINDOWS)) break;
    windows += span.windows;
    for (let i = 0; i < streams; i++) shifts[i] = (shifts[i] as number) + span.windows * (span.shifts[i] as number);
  }
  return { windows, shifts: shifts.map((sum) => sum / Math.max(1, windows)) };
}

const range = (length: number): readonly number[] => Array.from({ length }, (_, i) => i);
