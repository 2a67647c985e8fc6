/** The Kafka of the test run. `npm test` starts one and names it in TRIBUTARY_TEST_KAFKA; every suite takes its own
 * topic prefix, so suites do not see each other. */
import { randomBytes } from "node:crypto";
import { type InRecord, KafkaReader, readTopic } from "@tributary/kafka";
import { Failure } from "@tributary/kernel";

export const TEST_KAFKA_VARIABLE = "TRIBUTARY_TEST_KAFKA";

export type TestKafka = {
  readonly brokers: readonly string[];
  /** Fresh for each call, ends with a dot. */
  readonly prefix: string;
};

/** All records of a topic. */
export async function recordsIn({ brokers, prefix }: TestKafka, topic: string): Promise<readonly InRecord[]> {
  const reader = new KafkaReader({ brokers, prefix, clientId: "test-reader" });
  try {
    const records: InRecord[] = [];
    for await (const record of readTopic(reader, topic)) records.push(record);
    return records;
  } finally {
    await reader.close();
  }
}

export function testKafka(): TestKafka {
  const brokers = process.env[TEST_KAFKA_VARIABLE];
  if (!brokers) {
    throw new Failure(
      "test-kafka-missing",
      "ask-a-person",
      `${TEST_KAFKA_VARIABLE} is not set: run \`npm test\`, or start a Kafka (node tools/kafka.mjs start --port 19092) ` +
        `and set ${TEST_KAFKA_VARIABLE}=127.0.0.1:19092`,
    );
  }
  return { brokers: brokers.split(","), prefix: `t${randomBytes(5).toString("hex")}.` };
}
