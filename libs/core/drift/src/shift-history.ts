/**
 * How far a camera's streams were from their baselines, over spans of time: the time line of a verdict.
 *
 * While nothing is alarmed it covers the last 128 windows. From an alarm on nothing is dropped: when it is full, spans are
 * merged in pairs and become twice as long, so it reaches from before the onset to the present however long that is. Shifts
 * are kept in steps of 1/127. */
import type { Instant } from "@tributary/kernel";
import { invalid, type StateReader, type StateWriter } from "./state-bytes.ts";

const SPANS = 32;
const SPAN_WINDOWS = 4;
const STEPS = 127;

export class ShiftHistory {
  readonly #streams: number;
  readonly #startedAt = new Float64Array(SPANS);
  /** Windows of each span. */
  readonly #windows = new Uint32Array(SPANS);
  readonly #shifts: Int8Array;
  #spans = 0;
  /** Of the span that is not full yet. */
  readonly #sums: Float32Array;
  #openedAt = 0;
  #open = 0;
  #spanWindows = SPAN_WINDOWS;

  constructor(streams: number) {
    this.#streams = streams;
    this.#shifts = new Int8Array(SPANS * streams);
    this.#sums = new Float32Array(streams);
  }

  /** `shifts`: of each stream; NaN where there is none. */
  add(startedAt: Instant, shifts: ArrayLike<number>, isAlarmed: boolean): void {
    if (this.#open === 0) this.#openedAt = startedAt;
    for (let i = 0; i < this.#streams; i++) this.#sums[i] = (this.#sums[i] as number) + (shifts[i] || 0);
    this.#open++;
    if (!isAlarmed) this.#spanWindows = SPAN_WINDOWS;
    if (this.#open >= this.#spanWindows) this.#close(isAlarmed);
  }

  /** Oldest first. */
  spans(): readonly { readonly at: Instant; readonly windows: number; readonly shifts: Float32Array }[] {
    const spans = Array.from({ length: this.#spans }, (_, span) => ({
      at: this.#startedAt[span] as number,
      windows: this.#windows[span] as number,
      shifts: Float32Array.from(this.#shiftsOf(span), (steps) => steps / STEPS),
    }));
    if (this.#open === 0) return spans;
    const shifts = this.#sums.map((sum) => sum / this.#open);
    return [...spans, { at: this.#openedAt, windows: this.#open, shifts }];
  }

  /** Mean over the newest spans that have at least so many windows together, or over all. */
  recent(windowsMin: number): Float32Array {
    const sums = Float32Array.from(this.#sums);
    let windows = this.#open;
    for (let span = this.#spans - 1; span >= 0 && windows < windowsMin; span--) {
      const ofSpan = this.#windows[span] as number;
      const shifts = this.#shiftsOf(span);
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (ofSpan * (shifts[i] as number)) / STEPS;
      windows += ofSpan;
    }
    return windows === 0 ? sums : sums.map((sum) => sum / windows);
  }

  write(to: StateWriter): void {
    to.u8(this.#spans);
    for (let span = 0; span < this.#spans; span++) {
      to.f64(this.#startedAt[span] as number);
      to.u32(this.#windows[span] as number);
      to.bytes(this.#shiftsOf(span));
    }
    to.f64(this.#openedAt);
    to.u32(this.#open);
    to.u32(this.#spanWindows);
    to.f32s(this.#sums);
  }

  static read(from: StateReader, streams: number): ShiftHistory {
    const history = new ShiftHistory(streams);
    history.#spans = from.u8(SPANS);
    for (let span = 0; span < history.#spans; span++) {
      history.#startedAt[span] = from.f64();
      history.#windows[span] = from.u32();
      history.#shifts.set(new Int8Array(from.bytes(streams).buffer), span * streams);
    }
    history.#openedAt = from.f64();
    history.#open = from.u32();
    history.#spanWindows = from.u32();
    if (history.#spanWindows < SPAN_WINDOWS) throw invalid("a span of its history has no windows");
    history.#sums.set(from.f32s(streams));
    return history;
  }

  #close(isAlarmed: boolean): void {
    if (this.#spans === SPANS && isAlarmed) this.#mergePairs();
    else if (this.#spans === SPANS) {
      this.#startedAt.copyWithin(0, 1);
      this.#windows.copyWithin(0, 1);
      this.#shifts.copyWithin(0, this.#streams);
      this.#spans--;
    }
    this.#startedAt[this.#spans] = this.#openedAt;
    this.#windows[this.#spans] = this.#open;
    const shifts = this.#shiftsOf(this.#spans++);
    for (let i = 0; i < this.#streams; i++) {
      const steps = Math.round((STEPS * (this.#sums[i] as number)) / this.#open);
      shifts[i] = Math.max(-STEPS, Math.min(STEPS, steps));
    }
    this.#sums.fill(0);
    this.#open = 0;
  }

  #mergePairs(): void {
    for (let span = 0; span < SPANS / 2; span++) {
      const [a, b] = [2 * span, 2 * span + 1];
      const [n, m] = [this.#windows[a] as number, this.#windows[b] as number];
      const [first, second] = [this.#shiftsOf(a), this.#shiftsOf(b)];
      const merged = this.#shiftsOf(span);
      for (let i = 0; i < this.#streams; i++) {
        merged[i] = Math.round((n * (first[i] as number) + m * (second[i] as number)) / (n + m));
      }
      this.#startedAt[span] = this.#startedAt[a] as number;
      this.#windows[span] = n + m;
    }
    this.#spans = SPANS / 2;
    this.#spanWindows *= 2;
  }

  #shiftsOf(span: number): Int8Array {
    return this.#shifts.subarray(span * this.#streams, (span + 1) * this.#streams);
  }
}
