/** Reads both topics from the beginning to where they end now, and folds them (D1). */
import { type Topic, topics } from "@tributary/contracts";
import { type PartitionReader, readTopic, takeOrSkip } from "@tributary/kafka";
import type { Telemetry } from "@tributary/telemetry";
import type { ModelTable } from "./model-table.ts";

export async function rebuild(
  reader: PartitionReader,
  table: ModelTable,
  telemetry: Telemetry,
  signal: AbortSignal,
): Promise<void> {
  const fold = async <T>({ name, codec }: Topic<T>, apply: (value: T) => void) => {
    for await (const record of readTopic(reader, name, signal)) {
      const { value } = record;
      if (value !== null) takeOrSkip(telemetry, record, () => apply(codec.decodeConfluent(value)));
    }
  };
  await fold(topics.models, (model) => table.applyModel(model));
  await fold(topics.modelAliases, (aliases) => table.applyAliases(aliases));
}
