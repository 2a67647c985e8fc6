/**
 * What a camera's pictures looked like before an alarm and look like since, beyond its streams: their grid, their encoders, and how
 * frames of each predicted class look. It raises no alarm; it describes what changed.
 *
 * P1. What was learned before an alarm stays as it is until the alarm is over; then the present is learned again. */
import {
  type Appearance,
  classFeatures,
  GRID_SUMS,
  type PictureChange,
  pictureChange,
  SKETCH_BINS,
} from "@tributary/inference";
import { invalid, type StateReader, type StateWriter } from "./state-bytes.ts";

/** Of one window, summed over its frames. */
export type WindowAppearance = {
  readonly frames: number;
  readonly grid: readonly bigint[];
  readonly quality: bigint;
  readonly encoders: Readonly<Record<string, bigint>>;
  /** By index of the predicted class: frames, then the sum of (bin + 1/2) / 32 of each class feature. */
  readonly classes: ReadonlyMap<number, readonly number[]>;
};

/** How frames of the same predicted class changed. */
export type WithinClasses = {
  /** Of each class feature: the mean over the present's frames of what their class has now minus what it had before. */
  readonly shifts: readonly number[];
  /** Frames now of classes that are known from before. */
  readonly frames: number;
};

export type PictureDrift = {
  readonly changes: Readonly<Record<PictureChange, number>>;
  /** Null if too few frames are of classes that occurred before. */
  readonly within: WithinClasses | null;
};

/** Frames that the past and the present are means of, at most: then they forget. */
const PAST_FRAMES = 100_000;
const NOW_FRAMES = 4_000;
const FRAMES_MIN = 30;
const ENCODERS_MAX = 8;
const ENCODER_LENGTH = 64;
const CLASSES_MAX = 16;
const CLASS_FRAMES_MIN = 20;
// Of a class: its index, frames, the mean of each class feature.
const [LABEL, FRAMES, MEANS] = [0, 1, 2];
const CLASS_FLOATS = MEANS + classFeatures.length;

/** Means that weigh frames alike until there are `framesMax`. */
class Means {
  frames = 0;
  grid: Float32Array = new Float32Array(0);
  quality = 0;
  readonly encoders = new Map<string, number>();
  /** One after another, CLASS_FLOATS each: there may be 100,000 cameras. */
  classes: Float32Array = new Float32Array(0);
  readonly #framesMax: number;

  constructor(framesMax: number) {
    this.#framesMax = framesMax;
  }

  add({ frames, grid, quality, encoders, classes }: WindowAppearance): void {
    this.frames = Math.min(this.#framesMax, this.frames + frames);
    const share = Math.min(1, frames / this.frames); // One window may have more than are remembered.
    if (this.grid.length === 0) this.grid = new Float32Array(GRID_SUMS);
    for (let i = 0; i < GRID_SUMS; i++) {
      this.grid[i] = (this.grid[i] as number) + share * (Number(grid[i]) / frames - (this.grid[i] as number));
    }
    this.quality += share * (Number(quality) / frames - this.quality);
    for (const [encoder, count] of this.encoders) this.encoders.set(encoder, count * (1 - share));
    for (const [encoder, count] of Object.entries(encoders)) {
      if (!this.encoders.has(encoder) && this.encoders.size >= ENCODERS_MAX) continue;
      this.encoders.set(encoder, (this.encoders.get(encoder) ?? 0) + (share * Number(count)) / frames);
    }
    for (const [label, [count = 0, ...sums]] of classes) this.#addClass(label, count, sums);
  }

  appearance(): Appearance {
    return { grid: this.grid, quality: this.quality, encoders: this.encoders };
  }

  classOf(label: number): Float32Array | null {
    for (let at = 0; at < this.classes.length; at += CLASS_FLOATS) {
      if (this.classes[at + LABEL] === label) return this.classes.subarray(at, at + CLASS_FLOATS);
    }
    return null;
  }

  #addClass(label: number, count: number, sums: readonly number[]): void {
    const known = this.classOf(label);
    if (count === 0 || (known === null && this.classes.length >= CLASSES_MAX * CLASS_FLOATS)) return;
    const means = known ?? this.#newClass(label);
    const frames = Math.min(this.#framesMax, (means[FRAMES] as number) + count);
    means[FRAMES] = frames;
    const share = Math.min(1, count / frames);
    for (const [i, sum] of sums.entries()) {
      const mean = means[MEANS + i] as number;
      means[MEANS + i] = mean + share * (sum / count - mean);
    }
  }

  #newClass(label: number): Float32Array {
    const at = this.classes.length;
    const classes = new Float32Array(at + CLASS_FLOATS);
    classes.set(this.classes);
    classes[at + LABEL] = label;
    this.classes = classes;
    return classes.subarray(at);
  }

  write(to: StateWriter): void {
    to.f64(this.frames);
    to.u8(this.grid.length === 0 ? 0 : 1);
    to.f32s(this.grid);
    to.f64(this.quality);
    to.u8(this.encoders.size);
    for (const [encoder, share] of this.encoders) {
      to.text(encoder);
      to.f64(share);
    }
    to.u8(this.classes.length / CLASS_FLOATS);
    to.f32s(this.classes);
  }

  read(from: StateReader): void {
    this.frames = from.f64();
    this.grid = from.f32s(from.u8(1) * GRID_SUMS);
    this.quality = from.f64();
    for (let left = from.u8(ENCODERS_MAX); left > 0; left--) this.encoders.set(from.text(ENCODER_LENGTH), from.f64());
    this.classes = from.f32s(from.u8(CLASSES_MAX) * CLASS_FLOATS);
    if (this.frames < 0) throw invalid("an appearance has less than no frames");
  }
}

export class AppearanceWatch {
  readonly #past = new Means(PAST_FRAMES);
  /** Null unless the camera is alarmed. */
  #now: Means | null = null;

  /** Null: an earlier agent's window, which has no grid. */
  add(window: WindowAppearance | null, isAlarmed: boolean): void {
    if (!isAlarmed)
      this.#now = null; // P1
    else this.#now ??= new Means(NOW_FRAMES);
    if (window !== null && window.frames > 0) (this.#now ?? this.#past).add(window);
  }

  /** Null while there is too little to compare. */
  drift(): PictureDrift | null {
    const [past, now] = [this.#past, this.#now];
    if (now === null || past.frames < FRAMES_MIN || now.frames < FRAMES_MIN) return null;
    return { changes: pictureChange(past.appearance(), now.appearance()), within: withinOf(past, now) };
  }

  write(to: StateWriter): void {
    this.#past.write(to);
    to.u8(this.#now === null ? 0 : 1);
    this.#now?.write(to);
  }

  static read(from: StateReader): AppearanceWatch {
    const watch = new AppearanceWatch();
    watch.#past.read(from);
    if (from.u8(1) === 0) return watch;
    watch.#now = new Means(NOW_FRAMES);
    watch.#now.read(from);
    return watch;
  }
}

function withinOf(past: Means, now: Means): WithinClasses | null {
  const shifts = classFeatures.map(() => 0);
  let frames = 0;
  for (let at = 0; at < now.classes.length; at += CLASS_FLOATS) {
    const of = now.classes.subarray(at, at + CLASS_FLOATS);
    const before = past.classOf(of[LABEL] as number);
    const count = of[FRAMES] as number;
    if (before === null || Math.min(count, before[FRAMES] as number) < CLASS_FRAMES_MIN) continue;
    frames += count;
    for (const [i, sum] of shifts.entries()) {
      shifts[i] = sum + count * ((of[MEANS + i] as number) - (before[MEANS + i] as number));
    }
  }
  return frames < FRAMES_MIN ? null : { shifts: shifts.map((sum) => sum / frames), frames };
}

/** Mean of (bin + 1/2) / 32 of frames whose bins sum to so much. */
export const binSum = (bins: number, frames: number): number => (bins + frames / 2) / SKETCH_BINS;
