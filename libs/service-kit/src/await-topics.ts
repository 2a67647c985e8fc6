/** Waits until Kafka has every topic that a service needs: readers of a missing one would wait forever. */
import type { PartitionReader } from "@tributary/kafka";
import { backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { waitsForKafka } from "./events.ts";

export type NeededTopic = { readonly topic: string; readonly reader: Pick<PartitionReader, "partitions"> };

export type TopicsWait = {
  readonly needed: readonly NeededTopic[];
  readonly startMsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
};

/** Throws Failure `topics-unusable` after `startMsMax`, and the signal's reason. */
export async function awaitTopics(wait: TopicsWait): Promise<void> {
  const { needed, startMsMax, clock, random, telemetry, signal } = wait;
  const givesUpAt = clock.monotonicMs() + startMsMax;
  for (let attempt = 0; ; attempt++) {
    const problems = await problemsOf(needed);
    if (problems.length === 0) return;
    const reason = problems.join("; ");
    if (clock.monotonicMs() >= givesUpAt) {
      const what = `Kafka or its topics cannot be used: ${reason}; create missing topics with: tributary topics create`;
      throw new Failure("topics-unusable", "ask-a-person", what);
    }
    telemetry.emit(waitsForKafka, { reason });
    await clock.sleep(backoffMs({ minMs: 200, maxMs: 2_000 }, attempt, random), signal);
  }
}

/** One line for each reason, with its topics. */
async function problemsOf(needed: readonly NeededTopic[]): Promise<string[]> {
  const byReason = new Map<string, string[]>();
  await Promise.all(
    needed.map(async ({ topic, reader }) => {
      const reason = await reader.partitions(topic).then(
        (partitions) => (partitions.length > 0 ? undefined : "no such topic"),
        (error) => (/unknown topic/i.test(reasonOf(error)) ? "no such topic" : reasonOf(error)),
      );
      if (reason !== undefined) byReason.set(reason, [...(byReason.get(reason) ?? []), topic]);
    }),
  );
  return [...byReason].map(([reason, names]) => `${reason} (${names.join(", ")})`);
}
