/** Reads both topics from the beginning to where they end now, and folds them. */
import { topics } from "@tributary/contracts";
import { handOver, type PartitionReader, readTopic } from "@tributary/kafka";
import type { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";

export async function rebuild(
  reader: PartitionReader,
  table: ModelTable,
  telemetry: Telemetry,
  signal: AbortSignal,
): Promise<void> {
  for await (const record of readTopic(reader, topics.models.name, signal))
    handOver(telemetry, topics.models, record, table.onModel);
  for await (const record of readTopic(reader, topics.modelAliases.name, signal))
    handOver(telemetry, topics.modelAliases, record, table.onAliases);
}
