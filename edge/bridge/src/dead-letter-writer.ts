/**
 * Dead letters of devices: whole within a device's rate, and summarised beyond it.
 *
 * Within its rate a device's dead letters are whole, so that an operator can examine them.
 *
 * P1. Every refused message is acknowledged once Kafka has its dead letter, whole or in a summary (G8).
 * P3. Beyond the rate, a message that may become valid is still stored whole, and waits for its turn: one whose schema, stream
 *     or topic is not known yet, or that Kafka refused. Its device is slowed and loses nothing.
 * P4. Beyond the rate, a message that can never become valid is summarised: one record every `SUM_MS` for device and stream,
 *     with their number, their bytes, one SHA-256 over all, the reasons, and the first bytes of the first.
 * P5. Behind a foreign broker no message waits (P3): all devices share one connection. */
import { createHash, type Hash } from "node:crypto";
import type { OutRecord } from "@tributary/kafka";
import type { Clock, Instant } from "@tributary/kernel";
import { deadLetterOf, deadLettersInSum, type Sum } from "./dead-letter.ts";
import type { RatesByDevice } from "./rates.ts";
import type { Refusal, RefusalReason, Uplink } from "./uplink.ts";

const SUM_MS = 500;
const FIRST_BYTES = 256;
const REASONS_MAX = 8;

/** Refusals that an operator's repair may undo. */
const USABLE_LATER: ReadonlySet<RefusalReason> = new Set([
  "schema-unknown-fingerprint",
  "stream-unknown",
  "topic-unknown",
  "kafka-refused",
] satisfies RefusalReason[]);

type Open = { readonly sum: Sum & { count: number; bytes: number; reasons: Map<string, number> }; readonly hash: Hash };
type Waiting = Open & { readonly stored: Promise<void> };

export type DeadLetterWriterOptions = {
  /** Resolves once Kafka has it. */
  readonly store: (deviceId: string, letter: OutRecord) => Promise<void>;
  readonly clock: Clock;
  readonly rates: RatesByDevice;
  readonly wholeBytesMax: number;
  readonly onThrottled: (deviceId: string, reason: "dead-letters") => void;
};

export class DeadLetterWriter {
  readonly #options: DeadLetterWriterOptions;
  readonly #open = new Map<string, Waiting>();

  constructor(options: DeadLetterWriterOptions) {
    this.#options = options;
  }

  /** Resolves once Kafka has it. */
  async store(uplink: Uplink, refusal: Refusal, receivedAt: Instant, mayWait: boolean): Promise<void> {
    const { clock, rates, wholeBytesMax, onThrottled } = this.#options;
    const { principal, payload } = uplink;
    const mine = rates.of(principal);
    const { nowMs } = rates;
    const bytes = Math.min(payload.length, wholeBytesMax);
    const isWhole = mine.deadLetters.take(1, nowMs) && mine.deadLetterBytes.take(bytes, nowMs);
    if (!isWhole) {
      onThrottled(principal, "dead-letters");
      if (!USABLE_LATER.has(refusal.reason)) return this.#count(uplink, refusal, receivedAt);
      const waitMs = Math.max(mine.deadLetters.charge(1, nowMs), mine.deadLetterBytes.charge(bytes, nowMs));
      if (mayWait) await clock.sleep(waitMs);
    }
    await this.#options.store(principal, deadLetterOf(uplink, refusal, receivedAt, wholeBytesMax));
  }

  #count(uplink: Uplink, refusal: Refusal, receivedAt: Instant): Promise<void> {
    const key = `${uplink.principal}/${refusal.stream}`;
    const open = this.#open.get(key) ?? this.#start(key, uplink, refusal, receivedAt);
    const { sum, hash } = open;
    sum.count++;
    sum.bytes += uplink.whole?.bytes ?? uplink.payload.length;
    hash.update(uplink.payload);
    if (sum.reasons.has(refusal.reason) || sum.reasons.size < REASONS_MAX) {
      sum.reasons.set(refusal.reason, (sum.reasons.get(refusal.reason) ?? 0) + 1);
    }
    return open.stored;
  }

  #start(key: string, uplink: Uplink, refusal: Refusal, receivedAt: Instant): Waiting {
    const { clock, store } = this.#options;
    const first = { ...uplink, payload: Buffer.from(uplink.payload.subarray(0, FIRST_BYTES)) };
    const sum = { uplink: first, refusal, receivedAt, count: 0, bytes: 0, reasons: new Map<string, number>() };
    const hash = createHash("sha256");
    const stored = clock.sleep(SUM_MS).then(async () => {
      this.#open.delete(key);
      await store(uplink.principal, deadLettersInSum(sum, hash.digest("hex")));
    });
    const open = { sum, hash, stored };
    this.#open.set(key, open);
    return open;
  }
}
