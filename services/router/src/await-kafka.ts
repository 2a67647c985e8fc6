/** A router that starts before Kafka, or before its topics are made, waits for both, as the bridge does. */
import { topics } from "@tributary/contracts";
import { KafkaReader } from "@tributary/kafka";
import { awaitTopics, type ServiceContext } from "@tributary/service-kit";
import type { RouterConfig } from "./config.ts";

const NEEDED = [
  ...[topics.predictions, topics.frames, topics.results, topics.policies, topics.routerState],
  ...[topics.requestsHigh, topics.requestsNormal, topics.classifications],
] as const;

/** Throws Failure `topics-unusable` after `limits.startMsMax`. */
export async function awaitKafka(context: ServiceContext<RouterConfig>, signal: AbortSignal): Promise<void> {
  const { config, telemetry, clock, health, schemaIds } = context;
  const reader = new KafkaReader({ ...config.kafka, clientId: "tributary-router-start", telemetry, clock, schemaIds });
  let isThere = false;
  health.add("kafka", () => isThere || "Kafka or its topics cannot be used yet");
  try {
    const needed = NEEDED.map(({ name: topic }) => ({ topic, reader }));
    const { startMsMax } = config.limits;
    await awaitTopics({ needed, startMsMax, clock, random: Math.random, telemetry, signal });
    isThere = true;
  } finally {
    await reader.close();
  }
}
