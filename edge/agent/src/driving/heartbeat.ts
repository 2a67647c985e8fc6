/**
 * How late this process is: a timer that is due every few milliseconds, and what it finds.
 *
 * H1. All that had arrived by `emptyAt` has been read: the event loop has polled since then.
 * H2. A stall, a beat that came more than `stallMs` late, is reported after what arrived meanwhile was read.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { Stall } from "@tributary/driving";
import { monotonicMs } from "../device-time.ts";

/** Node's timers count whole milliseconds, and fire a part of one late. */
const TIMER_MS = 2;
const SPAN_MS = 30_000;

export type Lateness = { readonly p99Ms: number; readonly longestMs: number };

export class Heartbeat {
  readonly everyMs: number;
  readonly #stallMs: number;
  readonly #onStall: (stall: Stall) => void;
  #timer: NodeJS.Timeout | undefined;
  #beatAt = monotonicMs();
  #emptyAt = monotonicMs();
  #lastStallAt = Number.NEGATIVE_INFINITY;
  /** Of this span and the one before, in µs. */
  #spans: readonly [RecordableHistogram, RecordableHistogram] = [createHistogram(), createHistogram()];
  #spanAt = monotonicMs();

  constructor(everyMs: number, stallMs: number, onStall: (stall: Stall) => void) {
    this.everyMs = everyMs;
    this.#stallMs = stallMs;
    this.#onStall = onStall;
  }

  start(): void {
    this.#beatAt = monotonicMs();
    this.#emptyAt = this.#beatAt;
    this.#timer = setInterval(() => this.#beat(), this.everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get emptyAt(): number {
    return this.#emptyAt;
  }

  /** Between two looks at what has arrived, while this process is on time. */
  get onTimeMs(): number {
    return this.everyMs + TIMER_MS;
  }

  /** This process has stalled since then, or does so now. */
  hasStalledSince(ms: number): boolean {
    return this.#lastStallAt > ms || monotonicMs() - this.#beatAt > this.onTimeMs + this.#stallMs;
  }

  /** Since it last stalled; null: it never has. */
  get stalledAgoMs(): number | null {
    return this.#lastStallAt === Number.NEGATIVE_INFINITY ? null : monotonicMs() - this.#lastStallAt;
  }

  /** Of the last 30 to 60 s. */
  get lateness(): Lateness {
    const [now, before] = this.#spans;
    return {
      p99Ms: Math.max(now.percentile(99), before.count === 0 ? 0 : before.percentile(99)) / 1_000,
      longestMs: Math.max(...this.#spans.map(({ count, max }) => (count === 0 ? 0 : max))) / 1_000,
    };
  }

  #beat(): void {
    const now = monotonicMs();
    const fromMs = this.#beatAt;
    const lateMs = Math.max(0, now - fromMs - this.everyMs);
    this.#beatAt = now;
    this.#record(now, lateMs);
    const isStall = lateMs > this.#stallMs;
    if (isStall) this.#lastStallAt = now;
    setImmediate(() => {
      this.#emptyAt = now; // H1
      if (isStall && this.#timer !== undefined) this.#onStall({ fromMs, untilMs: now }); // H2
    });
  }

  #record(now: number, lateMs: number): void {
    if (now - this.#spanAt >= SPAN_MS) {
      this.#spans = [createHistogram(), this.#spans[0]];
      this.#spanAt = now;
    }
    this.#spans[0].record(Math.max(1, Math.round(lateMs * 1_000)));
  }
}
