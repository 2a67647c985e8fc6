/**
 * How far a camera's streams were from their baselines during its last whole day: the mean of each part of the day when it was last seen to its
 * end. A day of several parts has mornings and nights in it, so days can be compared with each other, and cameras of a site with their neighbours.
 * Shifts are kept in steps of 1/127. */
import type { Instant } from "@tributary/kernel";
import type { StateReader, StateWriter } from "./state-bytes.ts";

const STEPS = 127;
/** Windows of a part of which the mean counts. */
const WINDOWS_MIN = 5;
/** Of a day's parts, so many are a day; the others were not seen, or not within the time that a day's parts are kept. */
const PARTS_SHARE_MIN = 0.75;
const KEPT_MS = 36 * 3_600_000;
/** What a stream has that has no mean of a part. */
const NONE = -128;

export class LastDay {
  readonly #streams: number;
  readonly #parts: number;
  readonly #endedAt: Float64Array;
  readonly #shifts: Int8Array;
  // Of the part that has not ended.
  #open = 0;
  #openedUntil = 0;
  readonly #sums: Float32Array;
  readonly #windows: Float32Array;

  constructor(streams: number, parts: number) {
    this.#streams = streams;
    this.#parts = parts;
    this.#endedAt = new Float64Array(parts);
    this.#shifts = new Int8Array(parts * streams).fill(NONE);
    this.#sums = new Float32Array(streams);
    this.#windows = new Float32Array(streams);
  }

  /** `shifts`: of each stream; NaN where there is none. */
  add(endedAt: Instant, part: number, shifts: ArrayLike<number>): void {
    if (part !== this.#open) this.#close(part);
    this.#openedUntil = endedAt;
    for (let i = 0; i < this.#streams; i++) {
      if (Number.isNaN(shifts[i])) continue;
      this.#sums[i] = (this.#sums[i] as number) + (shifts[i] as number);
      this.#windows[i] = (this.#windows[i] as number) + 1;
    }
  }

  /** Mean over the parts; null while too few are known. NaN of a stream of which too few are known. */
  shifts(): Float32Array | null {
    const means = Float32Array.from({ length: this.#streams }, (_, stream) => this.shift(stream));
    return means.every(Number.isNaN) ? null : means;
  }

  shift(stream: number): number {
    let [sum, parts] = [0, 0];
    for (let part = 0; part < this.#parts; part++) {
      const steps = this.#shifts[part * this.#streams + stream] as number;
      if (steps === NONE || (this.#endedAt[part] as number) <= this.#openedUntil - KEPT_MS) continue;
      sum += steps / STEPS;
      parts += 1;
    }
    return parts < PARTS_SHARE_MIN * this.#parts ? Number.NaN : sum / parts;
  }

  write(to: StateWriter): void {
    for (const at of this.#endedAt) to.f64(at);
    to.bytes(this.#shifts);
    to.u8(this.#open);
    to.f64(this.#openedUntil);
    to.f32s(this.#sums);
    to.f32s(this.#windows);
  }

  static read(from: StateReader, streams: number, parts: number): LastDay {
    const day = new LastDay(streams, parts);
    for (let part = 0; part < parts; part++) day.#endedAt[part] = from.f64();
    day.#shifts.set(new Int8Array(from.bytes(parts * streams).buffer));
    day.#open = from.u8(parts - 1);
    day.#openedUntil = from.f64();
    day.#sums.set(from.f32s(streams));
    day.#windows.set(from.f32s(streams));
    return day;
  }

  #close(next: number): void {
    this.#endedAt[this.#open] = this.#openedUntil;
    for (let i = 0; i < this.#streams; i++) {
      const windows = this.#windows[i] as number;
      const steps = Math.round((STEPS * (this.#sums[i] as number)) / Math.max(1, windows));
      this.#shifts[this.#open * this.#streams + i] =
        windows < WINDOWS_MIN ? NONE : Math.max(-STEPS, Math.min(STEPS, steps));
    }
    this.#sums.fill(0);
    this.#windows.fill(0);
    this.#open = next;
  }
}
