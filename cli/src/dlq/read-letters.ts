/** Reads dead letters from Kafka. Letters that arrive meanwhile are not read, so that a replay does not read its own failures. */
import type { KafkaReader } from "@tributary/kafka";
import { type DlqTopic, type Letter, letterOfRecord, type Place } from "./letter.ts";

/** Letters that are there now, oldest first within a partition. */
export async function* readLetters(reader: KafkaReader, place: Place, signal: AbortSignal): AsyncGenerator<Letter> {
  const { topic } = place;
  const partitions = place.partition === undefined ? await reader.partitions(topic.name) : [place.partition];
  // The ends of all before the first is read.
  const bounds = await Promise.all(partitions.map((partition) => reader.offsets(topic.name, partition)));
  for (const [index, partition] of partitions.entries()) {
    const { earliest = 0n, next = 0n } = bounds[index] ?? {};
    const from = place.offset ?? earliest;
    const until = place.offset === undefined ? next : place.offset + 1n;
    if (from < earliest || from >= next || from >= until) continue;
    for await (const record of reader.read(topic.name, partition, { from, until, signal })) {
      yield letterOfRecord(topic, record);
    }
  }
}

export type DlqSummary = DlqTopic & {
  readonly letters: number;
  /** Of the letters that were read. */
  readonly codes: Readonly<Record<string, number>>;
  readonly oldest: string | null;
  readonly newest: string | null;
  /** Not all were read: there were more than `lettersMax`. */
  readonly more: boolean;
};

export async function summaryOf(
  reader: KafkaReader,
  topic: DlqTopic,
  lettersMax: number,
  signal: AbortSignal,
): Promise<DlqSummary> {
  const partitions = await reader.partitions(topic.name);
  const bounds = await Promise.all(partitions.map((partition) => reader.offsets(topic.name, partition)));
  const letters = bounds.reduce((sum, { earliest, next }) => sum + Number(next - earliest), 0);
  const codes: Record<string, number> = {};
  let [read, oldest, newest] = [0, "", ""];
  if (letters > 0) {
    for await (const { code, at } of readLetters(reader, { topic }, signal)) {
      codes[code] = (codes[code] ?? 0) + 1;
      if (oldest === "" || at < oldest) oldest = at;
      if (at > newest) newest = at;
      if (++read >= lettersMax) break;
    }
  }
  return { ...topic, letters, codes, oldest: oldest || null, newest: newest || null, more: read >= lettersMax };
}
