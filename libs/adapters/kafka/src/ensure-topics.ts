/** Brings a cluster's topics to where the services can rely on them. */
import type { TopicAdmin, TopicChange } from "./ports.ts";
import { driftOf, type TopicDrift } from "./topic-drift.ts";
import { INTERNAL_TOPICS, type TopicSettings, tributaryTopics } from "./tributary-topics.ts";

export type EnsureSettings = TopicSettings & {
  /** Also changes what is merely different, like how much is retained. */
  readonly repair?: boolean;
};

/**
 * Creates what is missing of Tributary's topics, and tightens in those that are there, Kafka's own included, whatever could
 * lose records. Returns what it changed. The admin adds its prefix.
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
