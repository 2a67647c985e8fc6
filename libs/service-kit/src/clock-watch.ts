/**
 * Whether this process's clock agrees with Kafka's. Deadlines, ages and windows are compared across processes by their wall
 * clocks, so one whose clock is wrong answers wrongly without failing.
 *
 * Only readiness follows: what is stored is stamped by Kafka, and ending would turn a wrong clock into an outage.
 *
 * W1. The process is not ready when its clock is certainly off by more than the bound; the uncertainty of the round trip is
 *     subtracted.
 * W2. A clock that cannot be compared (no Kafka, no probe topic) does not make the process unready: what needs Kafka reports
 *     that itself. The last reading stays valid.
 * W3. What a clock far ahead would delete, let expire or skip for good goes by `bounded`: never beyond Kafka's clock, as far as
 *     that is known, and right again at once when the process's is. */
import { type ClockReading, clockOffsetMs } from "@tributary/kafka";
import { type Clock, type Instant, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { clockAgrees, clockOff, clockUnknown } from "./events.ts";
import type { HealthCheck } from "./health.ts";

export type ClockWatchOptions = {
  readonly kafkaClock: { read(): Promise<ClockReading | undefined>; close(): Promise<void> };
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly offsetMsMax: number;
};

const EVERY_MS = { agreed: 30_000, other: 5_000 };
const READ_MS_MAX = 10_000;

export class ClockWatch {
  /** The process's clock, whose `now` is not beyond Kafka's. (W3) */
  readonly bounded: Clock;
  /** Resolves when the first comparison was tried. */
  readonly tried: Promise<void>;
  readonly #options: ClockWatchOptions;
  readonly #onTried: () => void;
  readonly #stop = new AbortController();
  #reading: ClockReading | undefined;
  #isTried = false;
  #reported: "agrees" | "off" | "unknown" | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ClockWatchOptions) {
    const { clock } = options;
    this.#options = options;
    this.bounded = {
      now: () => Math.min(clock.now(), this.#kafkaNow()),
      monotonicMs: () => clock.monotonicMs(),
      sleep: (ms, signal) => clock.sleep(ms, signal),
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.tried, this.#onTried] = [promise, resolve];
    const help = "How far this process's clock is ahead of Kafka's; negative when behind";
    options.telemetry.gauge({ name: "tributary_clock_offset_seconds", help }, () => this.#offsetMs() / 1_000);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#options.kafkaClock.close();
    await this.#running;
  }

  get isOff(): boolean {
    return this.#excessiveMs() !== undefined;
  }

  readonly check: HealthCheck = () => {
    if (!this.#isTried) return "not compared with Kafka's yet";
    const offsetMs = this.#excessiveMs();
    return offsetMs === undefined ? true : describe(offsetMs, this.#options.offsetMsMax);
  };

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#read();
      this.#isTried = true;
      this.#onTried();
      this.#report();
      const everyMs = this.#reported === "agrees" ? EVERY_MS.agreed : EVERY_MS.other;
      await clock.sleep(everyMs, this.#stop.signal).catch(() => {});
    }
  }

  async #read(): Promise<void> {
    const { kafkaClock, clock, telemetry } = this.#options;
    const enough = new AbortController();
    const late = clock.sleep(READ_MS_MAX, AbortSignal.any([enough.signal, this.#stop.signal])).then(() => {
      throw new Error(`no answer within ${READ_MS_MAX} ms`);
    });
    late.catch(() => {});
    try {
      const reading = await Promise.race([kafkaClock.read(), late]);
      if (reading === undefined) throw new Error("its topic is not stamped by Kafka: tributary topics create");
      this.#reading = reading;
    } catch (error) {
      if (this.#stop.signal.aborted || this.#reading !== undefined || this.#reported === "unknown") return;
      this.#reported = "unknown";
      telemetry.emit(clockUnknown, { reason: reasonOf(error) });
    } finally {
      enough.abort();
    }
  }

  #report(): void {
    if (this.#reading === undefined) return;
    const { telemetry, offsetMsMax } = this.#options;
    const offsetMs = this.#excessiveMs();
    const now = offsetMs === undefined ? "agrees" : "off";
    if (now === this.#reported) return;
    if (offsetMs !== undefined) telemetry.emit(clockOff, { offsetMs, reason: describe(offsetMs, offsetMsMax) });
    else if (this.#reported !== undefined) telemetry.emit(clockAgrees, { offsetMs: this.#offsetMs() });
    this.#reported = now;
  }

  /** Infinite: it is not known. */
  #kafkaNow(): Instant {
    return this.#reading === undefined
      ? Number.POSITIVE_INFINITY
      : this.#reading.kafkaAtZero + this.#options.clock.monotonicMs();
  }

  #offsetMs(): number {
    return this.#reading === undefined ? Number.NaN : clockOffsetMs(this.#reading, this.#options.clock);
  }

  /** The offset, if it is certainly beyond the bound. */
  #excessiveMs(): number | undefined {
    const offsetMs = this.#offsetMs();
    const certainMs = Math.abs(offsetMs) - (this.#reading?.uncertaintyMs ?? 0);
    return certainMs > this.#options.offsetMsMax ? offsetMs : undefined;
  }
}

function describe(offsetMs: number, offsetMsMax: number): string {
  const seconds = (Math.abs(offsetMs) / 1_000).toFixed(1);
  const where = offsetMs > 0 ? "ahead of" : "behind";
  return `${seconds} s ${where} Kafka's; at most ${offsetMsMax / 1_000} s is allowed: let NTP set both`;
}
