/** Waits until Kafka has every topic that a service needs: readers of a missing one would wait forever. */
import type { PartitionReader } from "@tributary/kafka";
import { backoffMs, type Clock, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { waitsForKafka } from "./events.ts";

export type TopicsWait = {
  readonly topics: readonly string[];
  readonly reader: Pick<PartitionReader, "partitions" | "offsetsAt">;
  /** Gets the reason at each try that fails. */
  readonly onWait: (reason: string) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
};

const BACKOFF = { minMs: 200, maxMs: 2_000 };
/** A reason that stays the same is logged this often. */
const LOG_EVERY_MS = 30_000;

/** However long that takes: a restart would not bring Kafka or its topics back sooner. Throws the signal's reason. */
export async function awaitTopics(wait: TopicsWait): Promise<void> {
  const { clock, random, telemetry, signal, onWait } = wait;
  let logged = { reason: "", atMs: 0 };
  for (let attempt = 0; ; attempt++) {
    const problems = await problemsOf(wait);
    if (problems.length === 0) return;
    const reason = problems.join("; ");
    onWait(reason);
    const nowMs = clock.monotonicMs();
    if (reason !== logged.reason || nowMs - logged.atMs >= LOG_EVERY_MS) {
      logged = { reason, atMs: nowMs };
      telemetry.emit(waitsForKafka, { reason });
    }
    await clock.sleep(backoffMs(BACKOFF, attempt, random), signal);
  }
}

/** One line for each reason, with its topics. */
async function problemsOf({ topics, reader }: TopicsWait): Promise<string[]> {
  const byReason = new Map<string, string[]>();
  await Promise.all(
    topics.map(async (topic) => {
      const reason = await problemOf(topic, reader);
      if (reason !== undefined) byReason.set(reason, [...(byReason.get(reason) ?? []), topic]);
    }),
  );
  return [...byReason].map(([reason, names]) => {
    if (names.length === topics.length && reason !== MISSING) return `Kafka cannot be used: ${reason}`;
    return `Kafka: ${reason} (${names.join(", ")})`;
  });
}

/** A topic that was just created is listed before its partitions can be read. */
async function problemOf(topic: string, reader: TopicsWait["reader"]): Promise<string | undefined> {
  try {
    if ((await reader.partitions(topic)).length === 0) return MISSING;
    await reader.offsetsAt(topic, 0);
    return undefined;
  } catch (error) {
    const reason = reasonOf(error);
    return /unknown topic/i.test(reason) ? MISSING : reason;
  }
}

const MISSING = "no such topic; create it with: tributary topics create";
