/** Where the topics stood when a run began, and everything written since. */
import { type Classifications, type EdgeFrame, type EdgePredictions, type Topic, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";

/** Who is told what the topics hold, per device in the order of the log. */
export interface Records {
  classifications(record: Classifications, appendedAt: number): void;
  predictions(record: EdgePredictions, bytes: number): void;
  frame(record: EdgeFrame, bytes: number): void;
}

/** Next offset by topic and partition. */
export type Marks = { readonly [topic: string]: readonly bigint[] };

const watched: readonly Topic[] = [topics.classifications, topics.predictions, topics.frames];

export async function marksOf(reader: PartitionReader): Promise<Marks> {
  const marks: { [topic: string]: bigint[] } = {};
  for (const { name } of watched) {
    const partitions = await reader.partitions(name);
    marks[name] = await Promise.all(partitions.map(async (partition) => (await reader.offsets(name, partition)).next));
  }
  return marks;
}

/** Tells what was written between two marks, or, without `until`, what is written until `signal` aborts. */
export async function replay(
  reader: PartitionReader,
  told: Records,
  from: Marks,
  options: { readonly until?: Marks; readonly signal?: AbortSignal },
): Promise<void> {
  const reads = Object.entries(from).flatMap(([topic, offsets]) =>
    offsets.map(async (offset, partition) => {
      const until = options.until?.[topic]?.[partition];
      if (until !== undefined && until <= offset) return;
      const records = reader.read(topic, partition, {
        from: offset,
        ...(until !== undefined && { until }),
        ...(options.signal && { signal: options.signal }),
      });
      for await (const { value, timestamp } of records) {
        if (value === null) continue;
        if (topic === topics.classifications.name) {
          told.classifications(topics.classifications.codec.decodeConfluent(value), timestamp);
        } else if (topic === topics.predictions.name) {
          told.predictions(topics.predictions.codec.decodeConfluent(value), value.length);
        } else told.frame(topics.frames.codec.decodeConfluent(value), value.length);
      }
    }),
  );
  await Promise.all(reads);
}
