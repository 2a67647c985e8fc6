/** A dead letter for display: its place, its source, and the reason. */
import { dlqOf, topics } from "@tributary/contracts";
import type { InRecord } from "@tributary/kafka";
// Not the whole adapter: its clients take most of a second to load on a small machine, and few commands need them.
import { deadLetterSources } from "@tributary/kafka/topics";

export const ERRORS = "__connect.errors.";

/** One dead letter topic of the contract. */
export type DlqTopic = { readonly name: string; readonly source: string; readonly group: string };

export const dlqTopics: readonly DlqTopic[] = Object.entries(deadLetterSources).flatMap(([group, sources]) =>
  sources.map(({ name: source }) => ({ name: dlqOf(source, group), source, group })),
);

export type Letter = {
  /** topic/partition@offset */
  readonly id: string;
  readonly topic: string;
  readonly source: string;
  readonly group: string;
  readonly key: string;
  readonly code: string;
  readonly message: string;
  /** Where it was read from; null when it never reached Kafka. */
  readonly sourcePosition: string | null;
  /** Bytes of the original. */
  readonly bytes: number;
  /** Only its first bytes are stored. */
  readonly cut: boolean;
  /** How often it was replayed before it failed (again). */
  readonly replays: number;
  readonly at: string;
  readonly record: InRecord;
};

/** Marks a replayed record: how often, and the letter it comes from. */
export const REPLAYS = "tributary.replays";
export const REPLAYED_FROM = "tributary.replayed.from";

export function letterOfRecord(topic: DlqTopic, record: InRecord): Letter {
  const { headers, partition, offset, value } = record;
  const length = headers[`${ERRORS}value.length`];
  const at = headers[`${ERRORS}offset`];
  return {
    id: `${topic.name}/${partition}@${offset}`,
    topic: topic.name,
    source: topic.source,
    group: topic.group,
    key: record.key ?? "",
    code: headers[`${ERRORS}exception.class.name`] ?? "unknown",
    message: headers[`${ERRORS}exception.message`] ?? "",
    sourcePosition: at === undefined ? null : `${topic.source}/${headers[`${ERRORS}partition`]}@${at}`,
    bytes: length === undefined ? (value?.length ?? 0) : Number(length),
    cut: length !== undefined,
    replays: Number(headers[REPLAYS] ?? 0) || 0,
    at: new Date(record.timestamp).toISOString(),
    record,
  };
}

export type Place = { readonly topic: DlqTopic; readonly partition?: number; readonly offset?: bigint };

/** A dead letter topic with or without the prefix, or one letter of it; undefined when it is neither. */
export function placeOf(text: string, prefix: string): Place | undefined {
  const bare = text.startsWith(prefix) ? text.slice(prefix.length) : text;
  const [, name, partition, offset] = /^([^/@]+)(?:\/(\d{1,9})@(\d{1,19}))?$/.exec(bare) ?? [];
  const topic = dlqTopics.find((one) => one.name === name);
  if (topic === undefined) return undefined;
  if (partition === undefined || offset === undefined) return { topic };
  return { topic, partition: Number(partition), offset: BigInt(offset) };
}

export const whereFields = ["code", "key", "source", "group"] as const;
export type Where = Partial<Record<(typeof whereFields)[number], string>>;

export const matchesWhere = (letter: Letter, where: Where): boolean =>
  whereFields.every((field) => where[field] === undefined || where[field] === letter[field]);

/** The contract's topic that a letter's source is, if it is one. */
export const sourceTopicOf = (source: string) => Object.values(topics).find(({ name }) => name === source);
