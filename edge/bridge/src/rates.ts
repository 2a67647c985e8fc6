/**
 * The rates of one device, over all its connections: a new one brings no new burst. Messages and bytes are known from a packet's
 * header; what a message costs (cost.ts) is known once it is parsed, and is a debt that the device's next packet waits for.
 *
 * R1. A rate may be exceeded once, by the current packet; the next waits until the rate is met again. So a large packet passes
 *     whatever the rate, and the mean never exceeds it.
 * R2. A device whose rates are all back at their bursts is forgotten, which gives it nothing; at most `DEVICES_MAX` are
 *     kept (G9).
 * R3. A device beyond its rate of messages is read `READS_PER_SECOND_MAX` times a second, more often only if its burst is smaller: several
 *     messages at once, and then none. They share requests to Kafka, and those of each service that reads them. One by one, each would cost
 *     others as much as all of them do.
 */
import { type Cost, type Dimension, dimensionNames } from "./cost.ts";

const DEVICES_MAX = 20_000;
const READS_PER_SECOND_MAX = 8;

export class Rate {
  readonly #perMs: number;
  readonly #burst: number;
  /** What is left when one that had to wait continues. */
  readonly #resumesAt: number;
  #left: number;
  #atMs: number;

  constructor(perSecond: number, burst: number, nowMs: number, resumesAt = 0) {
    this.#perMs = perSecond / 1_000;
    this.#burst = burst;
    this.#resumesAt = Math.min(burst, resumesAt);
    this.#left = burst;
    this.#atMs = nowMs;
  }

  /** Takes the current packet in any case. Returns how long the next has to wait. */
  charge(amount: number, nowMs: number): number {
    this.#refill(nowMs);
    this.#left -= amount;
    return this.#waitMs;
  }

  /** Takes it if the rate permits; else changes nothing. */
  take(amount: number, nowMs: number): boolean {
    this.#refill(nowMs);
    if (this.#left <= 0) return false;
    this.#left -= amount;
    return true;
  }

  /** How long a packet has to wait for what was charged before it. */
  debtMs(nowMs: number): number {
    this.#refill(nowMs);
    return this.#waitMs;
  }

  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left >= this.#burst;
  }

  get #waitMs(): number {
    return this.#left >= 0 ? 0 : (this.#resumesAt - this.#left) / this.#perMs;
  }

  #refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#left = Math.min(this.#burst, this.#left + elapsedMs * this.#perMs);
    this.#atMs = nowMs;
  }
}

export type RateLimits = {
  readonly messagesPerSecondMax: number;
  readonly messagesBurstMax: number;
  readonly bytesPerSecondMax: number;
  readonly bytesBurstMax: number;
  readonly recordsPerSecondMax: number;
  readonly recordsBurstMax: number;
  readonly kafkaBytesPerSecondMax: number;
  readonly kafkaBytesBurstMax: number;
  readonly parsingMsPerSecondMax: number;
  readonly parsingMsBurstMax: number;
  readonly subscriptionsPerSecondMax: number;
  readonly subscriptionsBurstMax: number;
  readonly deadLettersPerSecondMax: number;
  readonly deadLettersBurstMax: number;
  readonly deadLetterBytesPerSecondMax: number;
  readonly deadLetterBytesBurstMax: number;
};

type Exceeded = { readonly reason: string; readonly waitMs: number };

const DIMENSIONS = Object.keys(dimensionNames) as readonly Dimension[];

export class DeviceRates {
  readonly deviceId: string;
  readonly messages: Rate;
  readonly bytes: Rate;
  /** What messages cost, by dimension. */
  readonly costs: { readonly [dimension in Dimension]: Rate };
  readonly subscriptions: Rate;
  readonly deadLetters: Rate;
  readonly deadLetterBytes: Rate;

  constructor(deviceId: string, limits: RateLimits, nowMs: number) {
    this.deviceId = deviceId;
    const readAtOnce = limits.messagesPerSecondMax / READS_PER_SECOND_MAX; // R3
    this.messages = new Rate(limits.messagesPerSecondMax, limits.messagesBurstMax, nowMs, readAtOnce);
    this.bytes = new Rate(limits.bytesPerSecondMax, limits.bytesBurstMax, nowMs);
    this.costs = {
      records: new Rate(limits.recordsPerSecondMax, limits.recordsBurstMax, nowMs),
      kafkaBytes: new Rate(limits.kafkaBytesPerSecondMax, limits.kafkaBytesBurstMax, nowMs),
      parsingMs: new Rate(limits.parsingMsPerSecondMax, limits.parsingMsBurstMax, nowMs),
    };
    this.subscriptions = new Rate(limits.subscriptionsPerSecondMax, limits.subscriptionsBurstMax, nowMs);
    this.deadLetters = new Rate(limits.deadLettersPerSecondMax, limits.deadLettersBurstMax, nowMs);
    this.deadLetterBytes = new Rate(limits.deadLetterBytesPerSecondMax, limits.deadLetterBytesBurstMax, nowMs);
  }

  /** Charges what a message cost. Returns the dimensions whose rates it exceeds, and how long its device now has to wait. */
  charge(cost: Cost, nowMs: number): readonly Exceeded[] {
    return DIMENSIONS.flatMap((dimension) => {
      const waitMs = this.costs[dimension].charge(cost[dimension], nowMs);
      return waitMs > 0 ? [{ reason: dimensionNames[dimension], waitMs }] : [];
    });
  }

  /** The same of a device that cannot be made to wait: what exceeds a rate is not charged, or its debt would never end. */
  take(cost: Cost, nowMs: number): readonly Exceeded[] {
    return DIMENSIONS.flatMap((dimension) =>
      this.costs[dimension].take(cost[dimension], nowMs) ? [] : [{ reason: dimensionNames[dimension], waitMs: 0 }],
    );
  }

  /** How long its next packet waits for what earlier ones cost. */
  debtMs(nowMs: number): number {
    return Math.max(...DIMENSIONS.map((dimension) => this.costs[dimension].debtMs(nowMs)));
  }

  isFull(nowMs: number): boolean {
    const { messages, bytes, subscriptions, deadLetters, deadLetterBytes } = this;
    const rates = [messages, bytes, ...Object.values(this.costs), subscriptions, deadLetters, deadLetterBytes];
    return rates.every((rate) => rate.isFull(nowMs));
  }
}

export class RatesByDevice {
  readonly #limits: RateLimits;
  readonly #monotonicMs: () => number;
  /** Used longest ago first. */
  readonly #devices = new Map<string, DeviceRates>();

  constructor(limits: RateLimits, monotonicMs: () => number) {
    this.#limits = limits;
    this.#monotonicMs = monotonicMs;
  }

  get nowMs(): number {
    return this.#monotonicMs();
  }

  of(deviceId: string): DeviceRates {
    const known = this.#devices.get(deviceId);
    if (known !== undefined) {
      this.#devices.delete(deviceId);
      this.#devices.set(deviceId, known);
      return known;
    }
    for (const [id, rates] of this.#devices) {
      if (this.#devices.size < DEVICES_MAX && !rates.isFull(this.nowMs)) break;
      this.#devices.delete(id);
    }
    const rates = new DeviceRates(deviceId, this.#limits, this.nowMs);
    this.#devices.set(deviceId, rates);
    return rates;
  }
}
