import type { InRecord, SchemaIds } from "./ports.ts";

export async function withOurIds(record: InRecord, ids: SchemaIds): Promise<InRecord> {
  if (record.value === null) return record;
  const value = await ids.fromKafka(record.topic, record.value);
  return value === record.value ? record : { ...record, value };
}
