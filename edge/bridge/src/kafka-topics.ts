/** Waits until Kafka is there with every topic a bridge needs: a missing one would show as devices that wait for ever. */
import { topics, uplinkStreams } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import { backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { deadLetterTopics } from "./dead-letter.ts";
import { waitsForKafka } from "./events.ts";
import type { Routes } from "./routes.ts";

export type TopicsWait = {
  readonly reader: PartitionReader;
  readonly routes?: Routes;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly startMsMax: number;
  readonly signal: AbortSignal;
};

export async function awaitTopics(wait: TopicsWait): Promise<void> {
  const { clock, random, telemetry, signal } = wait;
  const givesUpAt = clock.monotonicMs() + wait.startMsMax;
  for (let attempt = 0; ; attempt++) {
    const problems = await topicProblems(wait);
    if (problems.length === 0) return;
    const reason = problems.join("; ");
    if (clock.monotonicMs() >= givesUpAt) {
      throw new Failure("topics-unusable", "ask-a-person", `Kafka or its topics cannot be used: ${reason}`);
    }
    telemetry.emit(waitsForKafka, { reason });
    await clock.sleep(backoffMs({ minMs: 200, maxMs: 2_000 }, attempt, random), signal);
  }
}

/** One line for each reason, naming the topics it holds for. */
async function topicProblems({ reader, routes }: TopicsWait): Promise<string[]> {
  const followed = [topics.registry, topics.policies, topics.desired, topics.classifications].map(({ name }) => name);
  const needed = [...Object.values(uplinkStreams).map(({ name }) => name), ...deadLetterTopics, ...followed];
  const all = [
    ...needed.map((topic) => ({ topic, by: reader })),
    ...(routes?.list.map(({ config: { topic } }) => ({ topic, by: routes.reader })) ?? []),
  ];
  const byReason = new Map<string, string[]>();
  await Promise.all(
    all.map(async ({ topic, by }) => {
      const reason = await by.partitions(topic).then(
        (partitions) => (partitions.length > 0 ? undefined : "no such topic"),
        (error) => (/unknown topic/i.test(reasonOf(error)) ? "no such topic" : reasonOf(error)),
      );
      if (reason !== undefined) byReason.set(reason, [...(byReason.get(reason) ?? []), topic]);
    }),
  );
  return [...byReason].map(([reason, names]) => `${reason} (${names.join(", ")})`);
}
