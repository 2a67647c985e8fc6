import type { KafkaMessage } from "kafkajs";
import type { InRecord } from "./ports.ts";

export const inRecordOf = (topic: string, partition: number, message: KafkaMessage): InRecord => ({
  topic,
  partition,
  offset: BigInt(message.offset),
  key: message.key === null ? null : message.key.toString(),
  value: message.value,
  headers: headersOf(message.headers),
  timestamp: Number(message.timestamp),
});

function headersOf(headers: KafkaMessage["headers"]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    // A repeated header is a list; its first value counts.
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) out[name] = first.toString();
  }
  return out;
}
