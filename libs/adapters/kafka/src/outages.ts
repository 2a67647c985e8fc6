/**
 * How long each consumer group may be away before retention deletes what it has not read, by what Kafka has now.
 *
 * Of a topic it is the partition that allows least: (retention.bytes - unread bytes) / rate, at most retention.ms. The current rate is the
 * mean of the last ten minutes; the permitted one is that and what one device may send, all of it to this partition.
 */
import { uplinkStreams } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { outageMsAllowed, type Retention, unreadBytesOf } from "./outage.ts";
import { type Committed, type PartitionExtent, type ProgressReader, partitionKey } from "./progress.ts";
import { deadLetterSources } from "./tributary-topics.ts";

export type Outage = {
  readonly group: string;
  readonly topic: string;
  /** Infinite if nothing is written and nothing expires. */
  readonly currentMs: number;
  readonly permittedMs: number;
  /** Of the partition with the highest rate. */
  readonly bytesPerSecond: number;
};

const WINDOW_MS = 600_000;
const UPLINK_TOPICS: ReadonlySet<string> = new Set(Object.values(uplinkStreams).map(({ name }) => name));
/** Of a record whose size Kafka does not say. */
const RECORD_BYTES_UNKNOWN = 64 * 1_024;

const topicsByGroup: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(deadLetterSources)
    .filter(([group]) => group !== "bridge")
    .map(([group, sources]) => [group, sources.map(({ name }) => name)]),
);

/** Of groups that have committed something, topic by topic. `deviceBytesPerSecond`: what one device may send. */
export async function readOutages(
  progress: ProgressReader,
  now: Instant,
  deviceBytesPerSecond: number,
): Promise<readonly Outage[]> {
  const topics = [...new Set([...topicsByGroup.values()].flat())];
  const retention = await progress.retention(topics);
  const extents = await progress.extents(topics);
  const since = await progress.offsetsAt(extents, now - WINDOW_MS);
  const outages = [...topicsByGroup].map(async ([group, ofGroup]) => {
    const committed = await progress.committed(group);
    if (committed.size === 0) return [];
    return ofGroup.flatMap((topic) => {
      const bounds = retention.get(topic);
      const ofTopic = extents.filter((extent) => extent.topic === topic);
      if (bounds === undefined || ofTopic.length === 0) return [];
      const permitted = UPLINK_TOPICS.has(topic) ? deviceBytesPerSecond : 0;
      return [{ group, topic, ...outageOf(ofTopic, bounds, committed, since, permitted) }];
    });
  });
  return (await Promise.all(outages)).flat();
}

function outageOf(
  extents: readonly PartitionExtent[],
  retention: Retention,
  committed: Committed,
  since: ReadonlyMap<string, bigint>,
  permitted: number,
): Pick<Outage, "currentMs" | "permittedMs" | "bytesPerSecond"> {
  const partitions = extents.map((extent) => {
    const key = partitionKey(extent.topic, extent.partition);
    const records = Number(extent.end - extent.start);
    const bytes = extent.bytes ?? records * RECORD_BYTES_UNKNOWN;
    const recent = Number(extent.end - (since.get(key) ?? extent.end));
    const bytesPerSecond = records === 0 ? 0 : ((bytes / records) * recent * 1_000) / WINDOW_MS;
    const unreadBytes = unreadBytesOf({ ...extent, bytes }, committed.get(key));
    const allowed = (rate: number) => outageMsAllowed(retention, { unreadBytes, bytesPerSecond: rate });
    return { bytesPerSecond, currentMs: allowed(bytesPerSecond), permittedMs: allowed(bytesPerSecond + permitted) };
  });
  return {
    bytesPerSecond: Math.max(...partitions.map((one) => one.bytesPerSecond)),
    currentMs: Math.min(...partitions.map((one) => one.currentMs)),
    permittedMs: Math.min(...partitions.map((one) => one.permittedMs)),
  };
}
