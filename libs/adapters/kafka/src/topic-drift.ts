/** How the topics of a cluster differ from the contract's: pure. A setting that keeps more than is asked for is no drift. */
import type { TopicFacts } from "./ports.ts";
import { INTERNAL_TOPICS, internalTopicConfig, type TopicSettings, tributaryTopics } from "./tributary-topics.ts";

export type TopicDrift = {
  readonly topic: string;
  readonly setting: string;
  readonly have: string;
  readonly want: string;
  /** Records that were acknowledged may be lost, or be refused forever. */
  readonly risk: "lost-records" | "other";
};

const LOSES_RECORDS = new Set(["flush.messages", "min.insync.replicas", "message.timestamp.type"]);

/** By the replicas that a topic has, whatever it would be created with. Missing topics are no drift. */
export function driftOf(facts: readonly TopicFacts[], settings: TopicSettings = {}): TopicDrift[] {
  return facts.flatMap(({ name, config, replicationFactor, partitions }) => {
    const want = wantedOf(name, { ...settings, replicationFactor, partitions });
    return Object.entries(want ?? {}).flatMap(([setting, wanted]) => {
      const have = config[setting];
      if (have === undefined || suffices(setting, have, wanted)) return [];
      const risk = LOSES_RECORDS.has(setting) ? "lost-records" : "other";
      return [{ topic: name, setting, have, want: wanted, risk } satisfies TopicDrift];
    });
  });
}

/** Names of every setting that is compared. */
export const settingsCompared: readonly string[] = [
  ...new Set(tributaryTopics().flatMap(({ config = {} }) => Object.keys(config))),
];

function wantedOf(name: string, settings: TopicSettings): Readonly<Record<string, string>> | undefined {
  if ((INTERNAL_TOPICS as readonly string[]).includes(name))
    return internalTopicConfig(settings.replicationFactor ?? 1);
  return tributaryTopics(settings).find((spec) => spec.name === name)?.config;
}

function suffices(setting: string, have: string, want: string): boolean {
  const [had, wanted] = [Number(have), Number(want)];
  switch (setting) {
    case "retention.ms":
      return had < 0 || (wanted >= 0 && had >= wanted);
    case "max.message.bytes":
    case "min.insync.replicas":
      return had >= wanted;
    case "flush.messages":
      return had <= wanted;
    case "retention.bytes":
      // The operator chooses the size; only a missing bound is drift.
      return wanted < 0 ? had < 0 : had >= 0;
    case "segment.bytes":
    case "min.cleanable.dirty.ratio":
      return had <= wanted;
    default:
      return have === want;
  }
}
