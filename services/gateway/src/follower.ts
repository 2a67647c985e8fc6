/** Follows a topic as the service kit does, F1 to F3; tombstones are told apart, and what is skipped is counted by its code. */
import { ContractError, type Topic } from "@tributary/contracts";
import type { InRecord } from "@tributary/kafka";
import { type FollowContext, type Following, followRecords } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { readFailed, recordUnreadable } from "./events.ts";

export type { FollowContext, Following } from "@tributary/service-kit";

export type FollowOptions<T> = {
  readonly topic: Topic<T>;
  /** Begin this many records before the end of each partition; all that is retained when absent. */
  readonly newest?: number;
  readonly onRecord: (value: T, record: InRecord) => void;
  /** Of a compacted topic: the key is no more. */
  readonly onTombstone?: (key: string) => void;
};

export function follow<T>(context: FollowContext, options: FollowOptions<T>): Promise<Following> {
  const { telemetry } = context;
  const { newest } = options;
  const topic = options.topic.name;
  return followRecords(context, {
    topic,
    ...(newest !== undefined && { newest }),
    onRecord: (record) => handle(telemetry, options, record),
    onReadFailed: (partition, reason) => telemetry.emit(readFailed, { topic, partition, reason }),
  });
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
