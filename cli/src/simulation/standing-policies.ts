/** The policies of a compacted topic as they stand: those in force, or those that experiments may name. */
import type { RoutingPolicy, Topic } from "@tributary/contracts";
import { type PartitionReader, readTopic } from "@tributary/kafka";

export async function standingPolicies(
  reader: PartitionReader,
  { name, codec }: Topic<RoutingPolicy>,
  signal: AbortSignal,
): Promise<readonly RoutingPolicy[]> {
  const standing = new Map<string, RoutingPolicy>();
  for await (const { key, value } of readTopic(reader, name, signal)) {
    if (key === null) continue;
    if (value === null) standing.delete(key);
    else standing.set(key, codec.decodeConfluent(value));
  }
  return [...standing.values()];
}
