/**
 * Follows a topic without a group, all partitions: existing records first, then new ones. The only reader without an end;
 * tables, tails and downlinks are all folded by it.
 *
 * F1. `caughtUp` resolves once every record that existed at the start was delivered. It rejects with Failure
 *     `follower-stopped` when following stops before that.
 * F2. A read that fails is resumed after the last delivered record; nothing is skipped or delivered twice.
 * F3. A record that does not decode, or that `onRecord` rejects, is reported, counted and skipped (G8).
 */
import type { Topic } from "@tributary/contracts";
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { codeOf } from "./dead-letters.ts";
import { recordMalformed, topicReadFailed } from "./events.ts";
import type { InRecord, PartitionReader } from "./ports.ts";
import { tail } from "./tail.ts";

export type FollowContext = {
  readonly reader: PartitionReader;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
};

/** A tombstone is null. */
export type OnRecord<T> = (value: T | null, record: InRecord) => void;

export type FollowOptions = {
  /** Start this many records before the end of each partition; with all that is retained when absent. */
  readonly newest?: number;
  /** Start at these offsets, by partition. */
  readonly from?: readonly bigint[];
  /** Whether a record is to be decoded and delivered. */
  readonly wants?: (record: InRecord) => boolean;
};

export type Following = { readonly caughtUp: Promise<void>; readonly ended: Promise<void> };

const BACKOFF: Backoff = { minMs: 100, maxMs: 2_000 };

export async function follow<T>(
  context: FollowContext,
  topic: Topic<T>,
  onRecord: OnRecord<T>,
  options: FollowOptions = {},
): Promise<Following> {
  const { wants = () => true } = options;
  const take = (record: InRecord) => {
    if (wants(record)) handOver(context.telemetry, topic, record, onRecord);
  };
  const partitions = await partitionsOf(context, topic.name);
  return together(partitions.map((partition) => followPartition(context, topic.name, partition, options, take)));
}

/** Waits as long as Kafka is away. */
async function partitionsOf({ reader, telemetry, clock, random, signal }: FollowContext, topic: string) {
  for (let failures = 0; ; failures++) {
    try {
      return await reader.partitions(topic);
    } catch (error) {
      signal.throwIfAborted();
      telemetry.emit(topicReadFailed, { topic, partition: "all", reason: reasonOf(error) });
      await clock.sleep(backoffMs(BACKOFF, failures, random), signal);
    }
  }
}

/** Several followings as one: caught up when all of them are. */
export async function followAll(followings: readonly Promise<Following>[]): Promise<Following> {
  return together(await Promise.all(followings));
}

/** Decodes one record; F3. */
export function handOver<T>(telemetry: Telemetry, { codec }: Topic<T>, record: InRecord, onRecord: OnRecord<T>): void {
  const { value } = record;
  takeOrSkip(telemetry, record, () => onRecord(value === null ? null : codec.decodeConfluent(value), record));
}

/** What `take` throws is reported as a malformed record and counted, and the record is skipped: undefined (F3). */
export function takeOrSkip<T>(telemetry: Telemetry, record: InRecord, take: () => T): T | undefined {
  try {
    return take();
  } catch (error) {
    const { topic, partition, offset, key } = record;
    const reason = reasonOf(error).slice(0, 500);
    telemetry.emit(recordMalformed, { topic, place: `${partition}@${offset}`, key, code: codeOf(error), reason });
    return undefined;
  }
}

function together(followings: readonly Following[]): Following {
  const caughtUp = Promise.all(followings.map((one) => one.caughtUp)).then(() => {});
  caughtUp.catch(() => {}); // the caller that stops it need not have waited for it
  return { caughtUp, ended: Promise.all(followings.map((one) => one.ended)).then(() => {}) };
}

function followPartition(
  { reader, telemetry, clock, random, signal }: FollowContext,
  topic: string,
  partition: number,
  { newest, from }: FollowOptions,
  take: (record: InRecord) => void,
): Following {
  const caughtUp = Promise.withResolvers<void>();
  const run = async (): Promise<void> => {
    let next = from?.[partition];
    let goal: bigint | undefined;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const bounds = await reader.offsets(topic, partition);
        goal ??= bounds.next;
        next ??= newest === undefined ? bounds.earliest : bounds.next - BigInt(newest);
        if (next < bounds.earliest) next = bounds.earliest; // also when retention was faster
        // The last offsets may hold no record any more (compaction), so the bounded read shows when `goal` is reached.
        const until: bigint | undefined = next < goal ? goal : undefined;
        if (until === undefined) caughtUp.resolve();
        const records: AsyncIterable<InRecord> =
          until === undefined
            ? reader[tail](topic, partition, { from: next, signal })
            : reader.read(topic, partition, { from: next, until, signal });
        for await (const record of records) {
          take(record);
          next = record.offset + 1n;
          failures = 0;
        }
        if (until !== undefined && !signal.aborted) next = until;
      } catch (error) {
        if (signal.aborted) break;
        telemetry.emit(topicReadFailed, { topic, partition, reason: reasonOf(error) });
        await clock.sleep(backoffMs(BACKOFF, failures++, random), signal).catch(() => {});
      }
    }
    caughtUp.reject(new Failure("follower-stopped", "give-up", `${topic} is not followed any more`));
  };
  return { caughtUp: caughtUp.promise, ended: run() };
}
