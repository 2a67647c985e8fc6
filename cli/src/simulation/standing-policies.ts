/** The current policies, from routing.policies.v1. */
import { RoutingPolicy, topics } from "@tributary/contracts";
import { type PartitionReader, readTopic } from "@tributary/kafka";

export async function standingPolicies(
  reader: PartitionReader,
  signal: AbortSignal,
): Promise<readonly RoutingPolicy[]> {
  const standing = new Map<string, RoutingPolicy>();
  for await (const { key, value } of readTopic(reader, topics.policies.name, signal)) {
    if (key === null) continue;
    if (value === null) standing.delete(key);
    else standing.set(key, RoutingPolicy.decodeConfluent(value));
  }
  return [...standing.values()];
}
