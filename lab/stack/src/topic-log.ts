/**
 * The topics' offsets at the start of a run, and everything written since.
 *
 * A record that does not decode is counted and skipped (G8): otherwise any producer of a topic could crash its readers.
 */
import { type Classifications, type EdgeFrame, type EdgePredictions, type Topic, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";

/** Receives the records of the topics, per device in the order of the log. */
export interface Records {
  classifications(record: Classifications, appendedAt: number): void;
  predictions(record: EdgePredictions, bytes: number): void;
  frame(record: EdgeFrame, bytes: number): void;
  unreadable(topic: string): void;
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

/** Passes what was written between two marks to `records`. */
export async function replay(
  reader: PartitionReader,
  records: Records,
  marks: { from: Marks; until: Marks },
): Promise<void> {
  const reads = Object.entries(marks.from).flatMap(([topic, offsets]) =>
    offsets.map(async (from, partition) => {
      const until = marks.until[topic]?.[partition] ?? 0n;
      if (until <= from) return;
      for await (const { value, timestamp } of reader.read(topic, partition, { from, until })) {
        if (value === null) continue;
        const deliver = decoded(topic, value, timestamp);
        if (deliver === undefined) records.unreadable(topic);
        else deliver(records);
      }
    }),
  );
  await Promise.all(reads);
}

/** The decoded record; undefined if it does not decode. */
function decoded(topic: string, value: Buffer, appendedAt: number): ((records: Records) => void) | undefined {
  try {
    if (topic === topics.classifications.name) {
      const record = topics.classifications.codec.decodeConfluent(value);
      return (records) => records.classifications(record, appendedAt);
    }
    if (topic === topics.predictions.name) {
      const record = topics.predictions.codec.decodeConfluent(value);
      return (records) => records.predictions(record, value.length);
    }
    const record = topics.frames.codec.decodeConfluent(value);
    return (records) => records.frame(record, value.length);
  } catch {
    return undefined;
  }
}
