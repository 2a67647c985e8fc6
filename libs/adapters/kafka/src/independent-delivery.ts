/**
 * The independent mode of a consumer (kafkajs-source.ts C6): each record of a batch is handed over alone as soon as there is room for it,
 * and the batch is left without waiting for any of them. What may be committed follows the first unfinished record
 * (independent-records.ts). The source drives it with the batches of its current client, which it knows as a `Membership`.
 */
import type { Clock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { Consumer, EachBatchPayload, TopicPartitionOffset } from "kafkajs";
import { batchConsumed, partitionPaused } from "./events.ts";
import { type Delivery, type IndependentOptions, IndependentRecords, reportInFlight } from "./independent-records.ts";
import { inRecordOf } from "./kafkajs-record.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import type { Batch, InRecord, Processed } from "./ports.ts";
import { withOurIds } from "./schema-ids.ts";

export type IndependentDeliveryOptions = Pick<KafkaConnection, "prefix" | "schemaIds"> & {
  readonly group: string;
  readonly topics: readonly string[];
  readonly independent: IndependentOptions;
  readonly telemetry?: Telemetry | undefined;
  readonly clock: Clock;
};

/** What delivery needs of the client whose batch it is. */
export type Membership = {
  /** Aborts when the client is replaced, or closed. */
  readonly signal: AbortSignal;
  /** It was not replaced. */
  readonly isCurrent: () => boolean;
  readonly isRebalancing: () => boolean;
  /** May be committed from now on. */
  readonly processed: (position: TopicPartitionOffset) => void;
  readonly reportLag: (topic: string, partition: number, behind: bigint) => void;
  /** A handler has thrown. */
  readonly fail: (error: unknown) => void;
};

type Handle = (batch: Batch, signal: AbortSignal) => Promise<Processed>;

/** The pause before a handler that processed nothing is called again. */
export const UNPROCESSED_PAUSE_MS = { min: 20, max: 1_000 };
/** How long a close waits for records in flight. */
export const DRAIN_MS_MAX = 7_000;

export class IndependentDelivery {
  readonly records: IndependentRecords;
  readonly #options: IndependentDeliveryOptions;
  /** The log's end behind the last batch, by topic and partition; for the lag. */
  readonly #ends = new Map<string, bigint>();

  constructor(options: IndependentDeliveryOptions) {
    const { independent, telemetry, group } = options;
    this.#options = options;
    this.records = new IndependentRecords(independent);
    if (telemetry !== undefined) reportInFlight(telemetry, group, this.records);
  }

  /** Returns when each record is taken, or the next has no room. */
  async handOver(payload: EachBatchPayload, member: Membership, handle: Handle): Promise<void> {
    const { batch, resolveOffset, isStale } = payload;
    const { prefix, schemaIds, group, telemetry } = this.#options;
    const { topic, partition } = batch;
    const key = `${topic}:${partition}`;
    const highWatermark = BigInt(batch.highWatermark);
    this.#ends.set(key, highWatermark);
    const moved = (next: bigint) => {
      if (!member.isCurrent()) return;
      member.processed({ topic, partition, offset: String(next) });
      member.reportLag(topic, partition, (this.#ends.get(key) ?? highWatermark) - next);
    };
    const pause = (cause: string) => {
      telemetry?.emit(partitionPaused, { group, topic: topic.slice(prefix.length), partition, cause });
      return payload.pause();
    };
    const delivery: Delivery = { key, pause, moved };
    for (const message of batch.messages) {
      if (member.signal.aborted || member.isRebalancing() || isStale()) return;
      const raw = inRecordOf(topic.slice(prefix.length), partition, message);
      const record = schemaIds === undefined ? raw : await withOurIds(raw, schemaIds);
      const work = () => this.#handlesOne(member, record, highWatermark, handle);
      if (!this.records.take(delivery, record, work)) return;
      resolveOffset(message.offset);
    }
    moved(this.records.passed(key, BigInt(batch.lastOffset()))); // markers may follow the last record
  }

  /** Waits for what is in flight, for a bounded time. The client stays a member meanwhile, but takes nothing more. */
  async drained(consumer: Consumer): Promise<void> {
    const { prefix, topics, clock } = this.#options;
    this.records.reassigned(() => true); // what is paused from here on stays so
    try {
      consumer.pause(topics.map((topic) => ({ topic: prefix + topic })));
    } catch {
      // It has not joined yet.
    }
    const enough = new AbortController();
    const late = clock.sleep(DRAIN_MS_MAX, enough.signal).catch(() => {});
    await Promise.race([this.records.idle(), late]).finally(() => enough.abort());
  }

  /** Handles one record; gives whether it is done, which it is not if the client is replaced or closed before. */
  async #handlesOne(member: Membership, record: InRecord, highWatermark: bigint, handle: Handle): Promise<boolean> {
    const { signal } = member;
    const { group, telemetry, clock } = this.#options;
    const { topic, partition } = record;
    const startedAtMs = clock.monotonicMs();
    try {
      for (let pauseMs = UNPROCESSED_PAUSE_MS.min; ; pauseMs = Math.min(UNPROCESSED_PAUSE_MS.max, pauseMs * 2)) {
        const { processed } = await handle({ topic, partition, records: [record], highWatermark }, signal);
        if (processed > 0) break;
        if (signal.aborted) return false;
        await clock.sleep(pauseMs, signal).catch(() => {});
      }
    } catch (error) {
      if (member.isCurrent()) member.fail(error);
      return false;
    }
    const lag = Math.max(0, Number(highWatermark - record.offset - 1n));
    const ms = clock.monotonicMs() - startedAtMs;
    telemetry?.emit(batchConsumed, { group, topic, records: 1, lag, ms });
    return true;
  }
}
