/**
 * Reads a topic without a group, all partitions: what is there first, then what comes.
 *
 * F1. `caughtUp` resolves once every record that existed at the start was handed over.
 * F2. A read that fails goes on behind the last record handed over; nothing is skipped or handed over twice.
 * F3. A record that does not decode, or that `onRecord` cannot take, is counted and skipped (G8).
 */
import { ContractError, type Topic } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { type Backoff, backoffMs, type Clock, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { readFailed, recordUnreadable } from "./events.ts";

export type FollowContext = {
  readonly reader: PartitionReader;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
};

export type FollowOptions<T> = {
  readonly topic: Topic<T>;
  /** Begin this many records before the end of each partition; all that is retained when absent. */
  readonly newest?: number;
  readonly onRecord: (value: T, record: InRecord) => void;
  /** Of a compacted topic: the key is no more. */
  readonly onTombstone?: (key: string) => void;
};

export type Following = { readonly caughtUp: Promise<void>; readonly ended: Promise<void> };

const BACKOFF: Backoff = { minMs: 100, maxMs: 5_000 };

export async function follow<T>(context: FollowContext, options: FollowOptions<T>): Promise<Following> {
  const partitions = await context.reader.partitions(options.topic.name);
  const followings = partitions.map((partition) => followPartition(context, options, partition));
  return {
    caughtUp: Promise.all(followings.map((f) => f.caughtUp)).then(() => {}),
    ended: Promise.all(followings.map((f) => f.ended)).then(() => {}),
  };
}

function followPartition<T>(context: FollowContext, options: FollowOptions<T>, partition: number): Following {
  const { reader, telemetry, clock, random, signal } = context;
  const topic = options.topic.name;
  const caughtUp = Promise.withResolvers<void>();
  const run = async (): Promise<void> => {
    let next: bigint | undefined;
    let goal: bigint | undefined;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const bounds = await reader.offsets(topic, partition);
        goal ??= bounds.next;
        next ??= options.newest === undefined ? bounds.earliest : bounds.next - BigInt(options.newest);
        if (next < bounds.earliest) next = bounds.earliest; // also when retention was faster than we
        // The last offsets may hold no record any more (compaction), so the bounded read tells when `goal` is reached.
        const until: bigint | undefined = next < goal ? goal : undefined;
        if (until === undefined) caughtUp.resolve(); // F1
        for await (const record of reader.read(topic, partition, { from: next, ...(until && { until }), signal })) {
          handle(telemetry, options, record);
          next = record.offset + 1n; // F2
          failures = 0;
        }
        if (until !== undefined && !signal.aborted) next = until;
      } catch (error) {
        if (signal.aborted) return;
        telemetry.emit(readFailed, { topic, partition, reason: reasonOf(error) });
        await clock.sleep(backoffMs(BACKOFF, failures++, random), signal).catch(() => {});
      }
    }
  };
  return { caughtUp: caughtUp.promise, ended: run() };
}

function handle<T>(telemetry: Telemetry, options: FollowOptions<T>, record: InRecord): void {
  const { topic, onRecord, onTombstone } = options;
  const unreadable = (code: string) =>
    telemetry.emit(recordUnreadable, {
      topic: topic.name,
      partition: record.partition,
      offset: `${record.offset}`,
      code,
    });
  try {
    const value = decoded(topic, record, unreadable);
    if (value !== undefined) onRecord(value, record);
    else if (record.value === null && record.key !== null) onTombstone?.(record.key);
  } catch {
    unreadable("record-unusable"); // F3: read again it would fail again, and everything behind it would wait
  }
}

/** Undefined for a tombstone and, told to `onUnreadable`, for bytes that do not keep the contract (F3). */
export function decoded<T>(topic: Topic<T>, record: InRecord, onUnreadable?: (code: string) => void): T | undefined {
  if (record.value === null) return undefined;
  try {
    return topic.codec.decodeConfluent(record.value);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    onUnreadable?.(error.code);
    return undefined;
  }
}
