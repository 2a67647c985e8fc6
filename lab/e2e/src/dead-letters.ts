import { KafkaReader, readTopic } from "@tributary/kafka";

export type DeadLetter = { readonly headers: Readonly<Record<string, string>>; readonly value: Buffer | null };

/** Everything in a dead letter topic now, by time. */
export async function deadLettersOf(brokers: readonly string[], prefix: string, topic: string): Promise<DeadLetter[]> {
  const reader = new KafkaReader({ brokers, prefix, clientId: "e2e" });
  try {
    const letters: (DeadLetter & { readonly timestamp: number })[] = [];
    for await (const { headers, value, timestamp } of readTopic(reader, topic)) {
      letters.push({ headers, value, timestamp });
    }
    return letters.sort((a, b) => a.timestamp - b.timestamp);
  } finally {
    await reader.close();
  }
}
