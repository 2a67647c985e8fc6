import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { testKafka, waitFor } from "@tributary/testing";
import kafkajs from "kafkajs";
import { KafkajsAdmin } from "./admin.ts";
import { KafkajsSource } from "./kafkajs-source.ts";
import { loadingCoordinator } from "./testing/loading-coordinator.ts";

const kafka = { ...testKafka(), clientId: "coordinator-test" };
const [broker = ""] = kafka.brokers;
const REFUSALS = 12;

describe("given a broker whose coordinator is still loading the groups", () => {
  const admin = new KafkajsAdmin(kafka);
  beforeAll(() => admin.ensure([{ name: "a", partitions: 2 }]));
  afterAll(() => admin.close());

  test("a source joins once it has loaded, and its consumer meets no refusal", async () => {
    const loading = await loadingCoordinator(broker, REFUSALS);
    const held = new Set<number>();
    const source = new KafkajsSource({ ...kafka, brokers: [loading.address], group: "waits", topics: ["a"] });
    const onAssigned = async (partitions: readonly number[]) => {
      for (const partition of partitions) held.add(partition);
    };
    const ended = source.run(async ({ records }) => ({ processed: records.length }), { onAssigned });
    try {
      await Promise.race([waitFor(() => held.size === 2, { what: "both partitions" }), ended]);
      expect(loading.refusals()).toBe(REFUSALS);
      await source.close();
      await ended;
    } finally {
      await loading.close();
    }
  });

  test("control: kafkajs alone gives its consumer up", async () => {
    const loading = await loadingCoordinator(broker, 1);
    const retry = { initialRetryTime: 100, retries: 40, restartOnFailure: async () => false };
    const client = new kafkajs.Kafka({ brokers: [loading.address], logLevel: kafkajs.logLevel.NOTHING, retry });
    const consumer = client.consumer({ groupId: `${kafka.prefix}alone`, retry });
    const crashed = new Promise<string>((resolve) =>
      consumer.on("consumer.crash", ({ payload }) => resolve(String((payload.error as { type?: unknown }).type))),
    );
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [`${kafka.prefix}a`] });
      const started = consumer.run({ eachMessage: async () => {} }).then(
        () => "joined",
        (error: { type?: unknown }) => String(error.type),
      );
      expect(await Promise.race([crashed, started])).toBe("GROUP_LOAD_IN_PROGRESS");
    } finally {
      await consumer.disconnect();
      await loading.close();
    }
  });
});
