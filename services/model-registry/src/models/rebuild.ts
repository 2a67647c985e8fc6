/** Reads both topics from the beginning to where they end now, and folds them (D1). */
import { ContractError, type Topic, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import type { Telemetry } from "@tributary/telemetry";
import { recordUnreadable } from "../events.ts";
import type { ModelTable } from "./model-table.ts";

export async function rebuild(
  reader: PartitionReader,
  table: ModelTable,
  telemetry: Telemetry,
  signal: AbortSignal,
): Promise<void> {
  await readAll(reader, topics.models, telemetry, signal, (model) => table.applyModel(model));
  await readAll(reader, topics.modelAliases, telemetry, signal, (aliases) => table.applyAliases(aliases));
}

async function readAll<T>(
  reader: PartitionReader,
  topic: Topic<T>,
  telemetry: Telemetry,
  signal: AbortSignal,
  apply: (value: T) => void,
): Promise<void> {
  for (const partition of await reader.partitions(topic.name)) {
    const { earliest, next } = await reader.offsets(topic.name, partition);
    for await (const record of reader.read(topic.name, partition, { from: earliest, until: next, signal })) {
      if (record.value === null) continue;
      try {
        apply(topic.codec.decodeConfluent(record.value));
      } catch (error) {
        if (!(error instanceof ContractError)) throw error;
        const { code } = error;
        telemetry.emit(recordUnreadable, { topic: topic.name, partition, offset: `${record.offset}`, code });
      }
    }
    signal.throwIfAborted();
  }
}
