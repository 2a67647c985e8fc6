/** Creates and repairs a cluster's topics for the services. */
import type { TopicAdmin, TopicChange } from "./ports.ts";
import { driftOf, type TopicDrift } from "./topic-drift.ts";
import { INTERNAL_TOPICS, type TopicSettings, tributaryTopics } from "./tributary-topics.ts";

export type EnsureSettings = TopicSettings & {
  /** Also changes settings that only differ, like retention. */
  readonly repair?: boolean;
};

/**
 * Creates missing topics of Tributary, and repairs in existing ones, Kafka's own included, settings that could lose records.
 * Returns what it changed. The admin adds its prefix.
 */
export async function ensureTributaryTopics(
  admin: TopicAdmin,
  settings: EnsureSettings = {},
): Promise<readonly TopicDrift[]> {
  const specs = tributaryTopics(settings);
  const created = new Set(await admin.ensure(specs));
  const older = specs.map(({ name }) => name).filter((name) => !created.has(name));
  const facts = await admin.describe(older, INTERNAL_TOPICS);
  const drift = driftOf(facts, settings).filter(({ risk }) => settings.repair === true || risk === "lost-records");
  await admin.alter(changesOf(drift));
  return drift;
}

const changesOf = (drift: readonly TopicDrift[]): TopicChange[] =>
  [...Map.groupBy(drift, ({ topic }) => topic)].map(([topic, ofTopic]) => ({
    topic,
    isInternal: (INTERNAL_TOPICS as readonly string[]).includes(topic),
    config: Object.fromEntries(ofTopic.map(({ setting, want }) => [setting, want])),
  }));
