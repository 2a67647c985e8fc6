import type { InRecord, PartitionReader } from "./ports.ts";

/** The present records of a topic, partition by partition, without those that arrive meanwhile. Throws the signal's reason. */
export async function* readTopic(
  reader: PartitionReader,
  topic: string,
  signal?: AbortSignal,
): AsyncGenerator<InRecord, void> {
  const partitions = await reader.partitions(topic);
  const bounds = await Promise.all(partitions.map((partition) => reader.offsets(topic, partition)));
  for (const [i, partition] of partitions.entries()) {
    const { earliest: from = 0n, next: until = 0n } = bounds[i] ?? {};
    if (from < until) yield* reader.read(topic, partition, { from, until, ...(signal && { signal }) });
    signal?.throwIfAborted();
  }
}
