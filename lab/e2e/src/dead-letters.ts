import { recordsIn } from "@tributary/testing";

export type DeadLetter = { readonly headers: Readonly<Record<string, string>>; readonly value: Buffer | null };

/** Everything in a dead letter topic now, by time. */
export async function deadLettersOf(
  brokers: readonly string[],
  prefix: string,
  topic: string,
): Promise<readonly DeadLetter[]> {
  return (await recordsIn({ brokers, prefix }, topic)).toSorted((a, b) => a.timestamp - b.timestamp);
}
