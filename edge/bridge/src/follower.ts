/**
 * Reads a topic without a group, all partitions: what is there first, then what comes.
 *
 * F1. `caughtUp` resolves once every record that existed at the start was handed over.
 * F2. A read that fails goes on behind the last record handed over; nothing is skipped or handed over twice.
 */
import type { Topic } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { readFailed, recordUnusable } from "./events.ts";

export type FollowOptions = {
  readonly reader: PartitionReader;
  readonly topic: string;
  readonly from: "start" | "now";
  readonly onRecord: (record: InRecord) => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

export type Following = { readonly caughtUp: Promise<void>; readonly ended: Promise<void> };

const BACKOFF: Backoff = { minMs: 100, maxMs: 5_000 };

export async function follow(options: FollowOptions): Promise<Following> {
  const partitions = await options.reader.partitions(options.topic);
  const followed = partitions.map((partition) => followPartition(options, partition));
  return {
    caughtUp: Promise.all(followed.map((f) => f.caughtUp)).then(() => {}),
    ended: Promise.all(followed.map((f) => f.ended)).then(() => {}),
  };
}

type Apply<T> = (record: InRecord, value: T | undefined) => void;
export type Handling<T> = [apply: Apply<T>, wants?: (record: InRecord) => boolean];

/** Decoded; a tombstone is undefined, and a record that cannot be used is named, counted and skipped. */
export function followTopic<T>(
  options: Omit<FollowOptions, "topic" | "onRecord"> & { readonly topic: Topic<T> },
  ...[apply, wants = () => true]: Handling<T>
): Promise<Following> {
  const { topic, telemetry } = options;
  return follow({
    ...options,
    topic: topic.name,
    onRecord: (record) => {
      if (!wants(record)) return;
      try {
        apply(record, record.value === null ? undefined : topic.codec.decodeConfluent(record.value));
      } catch (error) {
        telemetry.emit(recordUnusable, { topic: topic.name, key: record.key ?? "", reason: reasonOf(error) });
      }
    },
  });
}

function followPartition(options: FollowOptions, partition: number): Following {
  const { reader, topic, signal, clock, random, telemetry } = options;
  const { promise, resolve: caughtUp, reject } = Promise.withResolvers<void>();
  promise.catch(() => {}); // who stops us need not have waited
  const run = async (): Promise<void> => {
    let next: bigint | undefined;
    let goal: bigint | undefined;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const { earliest, next: end } = await reader.offsets(topic, partition);
        goal ??= end;
        next ??= options.from === "start" ? earliest : end;
        if (next < earliest) next = earliest; // retention was faster than we
        // The last offsets may hold no record any more (compaction), so the reader tells when `goal` is reached.
        const until: bigint | undefined = next < goal ? goal : undefined;
        if (until === undefined) caughtUp(); // F1
        for await (const record of reader.read(topic, partition, { from: next, ...(until && { until }), signal })) {
          options.onRecord(record);
          next = record.offset + 1n; // F2
          failures = 0;
        }
        if (until !== undefined) next = until;
      } catch (error) {
        if (signal.aborted) return;
        telemetry.emit(readFailed, { topic, partition, reason: reasonOf(error) });
        await clock.sleep(backoffMs(BACKOFF, failures++, random), signal).catch(() => {});
      }
    }
  };
  const ended = run().finally(() =>
    reject(new Failure("follower-stopped", "give-up", `${topic} is not followed any more`)),
  );
  return { caughtUp: promise, ended };
}
