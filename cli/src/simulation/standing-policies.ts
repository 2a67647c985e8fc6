/** The policies in force, from routing.policies.v1. */
import { RoutingPolicy, topics } from "@tributary/contracts";
import type { KafkaReader } from "@tributary/kafka";

export async function standingPolicies(reader: KafkaReader, signal: AbortSignal): Promise<readonly RoutingPolicy[]> {
  const standing = new Map<string, RoutingPolicy>();
  const { name } = topics.policies;
  for (const partition of await reader.partitions(name)) {
    const { earliest, next: until } = await reader.offsets(name, partition);
    for await (const { key, value } of reader.read(name, partition, { from: earliest, until, signal })) {
      if (key === null) continue;
      if (value === null) standing.delete(key);
      else standing.set(key, RoutingPolicy.decodeConfluent(value));
    }
  }
  return [...standing.values()];
}
