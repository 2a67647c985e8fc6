/** Topics as a cluster has them. */
import type { Admin } from "kafkajs";
import type { TopicFacts } from "./ports.ts";
import { settingsCompared } from "./topic-drift.ts";

/** As in the protocol; kafkajs has the name, but not for ESM. */
export const TOPIC_RESOURCE = 2;

/** Those of the names that exist; `internal` are Kafka's own, without a prefix. */
export async function topicFacts(
  admin: Admin,
  prefix: string,
  names: readonly string[],
  internal: readonly string[],
): Promise<readonly TopicFacts[]> {
  const existing = new Set(await admin.listTopics());
  const wanted = [...names.map((name) => prefix + name), ...internal].filter((name) => existing.has(name));
  if (wanted.length === 0) return [];
  const [{ topics }, { resources }] = await Promise.all([
    admin.fetchTopicMetadata({ topics: wanted }),
    admin.describeConfigs({
      includeSynonyms: false,
      resources: wanted.map((name) => ({ type: TOPIC_RESOURCE, name, configNames: [...settingsCompared] })),
    }),
  ]);
  const configs = new Map(resources.map(({ resourceName, configEntries }) => [resourceName, configEntries]));
  return topics.map(({ name, partitions }) => ({
    name: internal.includes(name) ? name : name.slice(prefix.length),
    partitions: partitions.length,
    replicationFactor: Math.min(...partitions.map(({ replicas }) => replicas.length)),
    config: Object.fromEntries(
      (configs.get(name) ?? []).map(({ configName, configValue }) => [configName, configValue]),
    ),
  }));
}
