/**
 * Follows a topic without a group, all partitions: what is there first, then what comes.
 *
 * F1. `caughtUp` resolves once every record that existed at the start was handed over.
 * F2. A read that fails goes on behind the last record handed over; nothing is skipped or handed over twice.
 * F3. A record that does not decode, or that `onRecord` cannot take, is named, counted and passed over (G8).
 */
import type { Topic } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { type Backoff, backoffMs, type Clock, type Random, reasonOf } from "@tributary/kernel";
import { defineEvent, type Telemetry } from "@tributary/telemetry";

export const topicReadFailed = defineEvent<{ topic: string; partition: number; reason: string }>({
  name: "topic_read_failed",
  level: "warn",
  message: (e) => `${e.topic}/${e.partition} is read again in a moment: ${e.reason}`,
  counter: { name: "tributary_follow_failures_total", help: "Reads of topics begun anew", labels: ["topic"] },
});

export const recordPassedOver = defineEvent<{ topic: string; key: string; offset: string; reason: string }>({
  name: "record_passed_over",
  level: "warn",
  message: (e) => `${e.topic}@${e.offset}, key ${e.key}, is passed over: ${e.reason}`,
  counter: { name: "tributary_records_passed_over_total", help: "Records that cannot be used", labels: ["topic"] },
});

export type FollowContext = {
  readonly reader: PartitionReader;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
};

/** A tombstone is null. */
export type OnRecord<T> = (value: T | null, record: InRecord) => void;
export type Following = { readonly caughtUp: Promise<void>; readonly ended: Promise<void> };

export function follow<T>(context: FollowContext, topic: Topic<T>, onRecord: OnRecord<T>): Promise<Following> {
  const { telemetry } = context;
  return followRecords(context, {
    topic: topic.name,
    onReadFailed: (partition, reason) => telemetry.emit(topicReadFailed, { topic: topic.name, partition, reason }),
    onRecord: (record) => {
      try {
        onRecord(record.value === null ? null : topic.codec.decodeConfluent(record.value), record);
      } catch (error) {
        const [key, offset] = [record.key ?? "", `${record.offset}`];
        telemetry.emit(recordPassedOver, { topic: topic.name, key, offset, reason: reasonOf(error).slice(0, 500) }); // F3
      }
    },
  });
}

export type RecordsFollowed = {
  readonly topic: string;
  /** Begin this many records before the end of each partition; all that is retained when absent. */
  readonly newest?: number;
  /** What it throws is a read that failed: F3 is up to it. */
  readonly onRecord: (record: InRecord) => void;
  readonly onReadFailed: (partition: number, reason: string) => void;
};
type RecordsContext = Omit<FollowContext, "telemetry">;

const BACKOFF: Backoff = { minMs: 100, maxMs: 5_000 };

/** As bytes, for whoever decodes and counts in its own way. */
export async function followRecords(context: RecordsContext, followed: RecordsFollowed): Promise<Following> {
  const partitions = await context.reader.partitions(followed.topic);
  const followings = partitions.map((partition) => followPartition(context, followed, partition));
  return {
    caughtUp: Promise.all(followings.map((one) => one.caughtUp)).then(() => {}),
    ended: Promise.all(followings.map((one) => one.ended)).then(() => {}),
  };
}

function followPartition(
  { reader, clock, random, signal }: RecordsContext,
  { topic, newest, onRecord, onReadFailed }: RecordsFollowed,
  partition: number,
): Following {
  const caughtUp = Promise.withResolvers<void>();
  const run = async (): Promise<void> => {
    let next: bigint | undefined;
    let goal: bigint | undefined;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const bounds = await reader.offsets(topic, partition);
        goal ??= bounds.next;
        next ??= newest === undefined ? bounds.earliest : bounds.next - BigInt(newest);
        if (next < bounds.earliest) next = bounds.earliest; // also when retention was faster
        // The last offsets may hold no record any more (compaction), so the bounded read tells when `goal` is reached.
        const until: bigint | undefined = next < goal ? goal : undefined;
        if (until === undefined) caughtUp.resolve(); // F1
        for await (const record of reader.read(topic, partition, { from: next, ...(until && { until }), signal })) {
          onRecord(record);
          next = record.offset + 1n; // F2
          failures = 0;
        }
        if (until !== undefined && !signal.aborted) next = until;
      } catch (error) {
        if (signal.aborted) return;
        onReadFailed(partition, reasonOf(error));
        await clock.sleep(backoffMs(BACKOFF, failures++, random), signal).catch(() => {});
      }
    }
  };
  return { caughtUp: caughtUp.promise, ended: run() };
}
