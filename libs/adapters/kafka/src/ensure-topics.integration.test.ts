/** Topics of a cluster of an earlier version are repaired, so that no acknowledged record is lost. */
import { afterAll, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { testKafka, waitFor } from "@tributary/testing";
import { KafkajsAdmin } from "./admin.ts";
import { ensureTributaryTopics } from "./ensure-topics.ts";
import { KafkaInspector } from "./inspector.ts";
import { driftOf } from "./topic-drift.ts";

const connection = { ...testKafka(), clientId: "ensure-test" };
const admin = new KafkajsAdmin(connection);
const inspector = new KafkaInspector(connection);
const { name } = topics.frames;

afterAll(async () => {
  await Promise.all([admin.close(), inspector.close()]);
});

test("settings that could lose records are repaired, other differences only on request, and nothing else is changed", async () => {
  const older = { "flush.messages": "10000", "message.timestamp.type": "CreateTime", "retention.ms": "77" };
  await admin.ensure([{ name, partitions: 2, config: { ...older, "compression.type": "lz4" } }]);
  const drift = () => inspector.facts([name]).then((facts) => driftOf(facts).filter(({ topic }) => topic === name));
  expect((await drift()).map(({ setting }) => setting)).toEqual(
    expect.arrayContaining(["flush.messages", "message.timestamp.type", "retention.ms", "retention.bytes"]),
  );

  const tightened = await ensureTributaryTopics(admin, { partitions: 2 });
  expect(tightened.map(({ topic, setting, want }) => `${topic} ${setting} ${want}`).sort()).toEqual([
    `${name} flush.messages 1`,
    `${name} message.timestamp.type LogAppendTime`,
  ]);
  // A broker shows a change a moment after the controller has it.
  const isTight = async () => (await drift()).every(({ risk }) => risk === "other");
  await waitFor(isTight, { what: "the tightened settings to show" });

  await ensureTributaryTopics(admin, { partitions: 2, repair: true });
  await waitFor(async () => (await drift()).length === 0, { what: "the repaired settings to show" });
  expect(await ensureTributaryTopics(admin, { partitions: 2, repair: true })).toEqual([]);
});

test("a cluster with fewer brokers than replicas is named as such, not as one that cannot be reached", async () => {
  const wanted = ["one", "two"].map((topic) => ({ name: topic, partitions: 1, replicationFactor: 3 }));
  await expect(admin.ensure(wanted)).rejects.toMatchObject({
    code: "kafka-topics-refused",
    message: `${connection.prefix}one and 1 more cannot be created: Replication-factor is invalid: it is 3, and Kafka's brokers are 1`,
  });
});
