/**
 * Records whose handling does not depend on each other: each begins as it arrives, however long those before it take, and its
 * partition is committed up to the low-water mark (low-water-mark.ts). Independent-delivery.ts drives it.
 *
 * What is in flight is bounded (in-flight.ts), and so is how far a partition may get ahead of an unfinished record. At a bound the
 * partition of a topic is paused, and the others go on; it is resumed once half of the bound is free.
 */
import type { Telemetry } from "@tributary/telemetry";
import { type Demand, InFlight, type InFlightBounds, type Refusal } from "./in-flight.ts";
import { LowWaterMark } from "./low-water-mark.ts";
import type { InRecord } from "./ports.ts";

export type IndependentOptions = InFlightBounds & {
  /** Records of such a topic find room when those of others find none. */
  readonly isUrgent: (topic: string) => boolean;
};

/** A partition of a topic, as its records are delivered. */
export type Delivery = {
  readonly key: string;
  /** Stops its delivery; the result resumes it. */
  pause(cause: Refusal | "too-far-ahead"): () => void;
  /** It may be committed up to `next` from now on. */
  moved(next: bigint): void;
};

type Paused = { readonly demand: Demand; readonly mark: LowWaterMark; readonly resume: () => void };

/** Records of a partition that may have finished behind an unfinished one. */
const AHEAD_MAX = 10_000;

export class IndependentRecords {
  readonly #options: IndependentOptions;
  readonly #inFlight: InFlight;
  readonly #marks = new Map<string, LowWaterMark>();
  readonly #paused = new Map<string, Paused>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: IndependentOptions) {
    this.#options = options;
    this.#inFlight = new InFlight(options);
  }

  get records(): number {
    return this.#inFlight.records;
  }

  get bytes(): number {
    return this.#inFlight.bytes;
  }

  get paused(): number {
    return this.#paused.size;
  }

  /** Whether it waits for records of its own, or for room. */
  isBusy(key: string): boolean {
    return this.#paused.has(key) || (this.#marks.get(key)?.unfinished ?? 0) > 0;
  }

  /** Starts `work`, which resolves to whether the record is done; it does not reject. False: there is no room, and the record must be
   * delivered again. */
  take(delivery: Delivery, record: InRecord, work: () => Promise<boolean>): boolean {
    const { key } = delivery;
    const { topic, offset } = record;
    const mark = this.#marks.get(key) ?? new LowWaterMark(offset);
    this.#marks.set(key, mark);
    const bytes = record.value?.length ?? 0;
    const demand: Demand = { owner: record.key ?? "", bytes, isUrgent: this.#options.isUrgent(topic) };
    const refusal = mark.ahead < AHEAD_MAX ? this.#inFlight.refusal(demand) : "too-far-ahead";
    if (refusal !== undefined && !mark.isKnown(offset)) {
      if (!this.#paused.has(key)) this.#paused.set(key, { demand, mark, resume: delivery.pause(refusal) });
      return false;
    }
    if (!mark.take(offset)) return true;
    this.#start(demand, async () => {
      if (!(await work())) return;
      mark.finish(offset);
      if (this.#marks.get(key) === mark) delivery.moved(mark.next);
    });
    return true;
  }

  /** Delivery has come past `offset`; where it may be committed. */
  passed(key: string, offset: bigint): bigint {
    const mark = this.#marks.get(key) ?? new LowWaterMark(offset);
    this.#marks.set(key, mark);
    mark.passed(offset);
    return mark.next;
  }

  /** After a rebalance only the marks of partitions count that were ours all the time; those of others may have been handled elsewhere. */
  reassigned(isKept: (key: string) => boolean): void {
    for (const key of this.#marks.keys()) if (!isKept(key)) this.#marks.delete(key);
    for (const { resume } of this.#paused.values()) resume();
    this.#paused.clear();
  }

  /** Resolves when nothing is in flight any more. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #start(demand: Demand, work: () => Promise<void>): void {
    this.#inFlight.add(demand);
    const running = work().finally(() => {
      this.#running.delete(running);
      this.#inFlight.remove(demand);
      this.#resume();
    });
    this.#running.add(running);
  }

  #resume(): void {
    for (const [key, { demand, mark, resume }] of this.#paused) {
      if (mark.ahead > AHEAD_MAX / 2 || !this.#inFlight.hasRoomAgain(demand)) continue;
      this.#paused.delete(key);
      resume();
    }
  }
}

export function reportInFlight(telemetry: Telemetry, group: string, of: IndependentRecords): void {
  const gauge = (name: string, help: string, read: () => number) =>
    telemetry.gauge({ name: `tributary_kafka_${name}`, help, labels: ["group"] }, () => [
      { labels: { group }, value: read() },
    ]);
  gauge("in_flight_records", "Records that are handled now, each independently", () => of.records);
  gauge("in_flight_bytes", "Their bytes", () => of.bytes);
  gauge("paused_partitions", "Partitions that wait for room among them", () => of.paused);
}
