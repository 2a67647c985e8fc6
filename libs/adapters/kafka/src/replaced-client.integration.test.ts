import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { testKafka, waitFor } from "@tributary/testing";
import kafkajs, { type ProducerRecord } from "kafkajs";
import { KafkajsAdmin } from "./admin.ts";
import { KafkajsSink } from "./kafkajs-sink.ts";
import { KafkajsSource } from "./kafkajs-source.ts";
import { Lease } from "./lease.ts";
import { loadingCoordinator } from "./testing/loading-coordinator.ts";

const kafka = { ...testKafka(), clientId: "replaced-test" };
const [broker = ""] = kafka.brokers;
const REFUSALS = 3;
const admin = new KafkajsAdmin(kafka);
beforeAll(() => admin.ensure(["a", "b"].map((name) => ({ name, partitions: 2 }))));
afterAll(() => admin.close());

test("kafkajs gives its consumer up when a broker that still loads refuses its first join: a new one joins (kafkajs-source.ts C5)", async () => {
  const loading = await loadingCoordinator(broker, REFUSALS);
  const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
  const held = new Set<number>();
  const address = { ...kafka, brokers: [loading.address] };
  const source = new KafkajsSource({ ...address, group: "waits", topics: ["a"], telemetry });
  const onAssigned = async (partitions: readonly number[]) => {
    for (const partition of partitions) held.add(partition);
  };
  expect(source.problem).toMatch(/has not joined its group at Kafka yet/);
  const onRevoked = async (partitions: readonly number[]) => {
    for (const partition of partitions) held.delete(partition);
  };
  const ended = source.run(async ({ records }) => ({ processed: records.length }), { onAssigned, onRevoked });
  try {
    await Promise.race([waitFor(() => held.size === 2, { what: "both partitions" }), ended]);
    expect(loading.refusals()).toBe(REFUSALS);
    expect(await telemetry.metrics()).toContain(`tributary_kafka_consumers_replaced_total{group="waits"} ${REFUSALS}`);
    expect(source.problem).toBeUndefined();

    // A member of before whose join is refused while the coordinator loads is one again without a join; kafkajs goes on with it.
    loading.restart();
    await waitFor(() => held.size === 0, { what: "the partitions to be given up" });
    await waitFor(() => held.size === 2, { what: "both partitions again" });
    expect(loading.refusals()).toBe(REFUSALS + 1);
    expect(source.problem).toBeUndefined();
    await source.close();
    await ended;
    expect(source.problem).toMatch(/closed/);
  } finally {
    await loading.close();
  }
});

test("what was processed when Kafka vanished, and markers that came since, are committed without a new join (kafkajs-source.ts C3)", async () => {
  const proxy = await loadingCoordinator(broker, 0);
  // Given up long before the group gives the member up.
  const lease = Object.assign(new Lease({ sessionMs: 45_000 }), { leaseMs: 5_000 });
  const source = new KafkajsSource({ ...kafka, brokers: [proxy.address], group: "returns", topics: ["b"], lease });
  const sink = new KafkajsSink(kafka);
  let joins = 0;
  const held = new Set<number>();
  const ended = source.run(
    async ({ records }) => {
      proxy.vanishes();
      return { processed: records.length };
    },
    {
      onAssigned: async (partitions) => {
        joins++;
        for (const partition of partitions) held.add(partition);
      },
      onRevoked: async () => held.clear(),
    },
  );
  const client = new kafkajs.Kafka({ brokers: [...kafka.brokers], logLevel: kafkajs.logLevel.NOTHING });
  const aborted = async (record: ProducerRecord) => {
    const producer = client.producer({ transactionalId: `${kafka.prefix}aborts` });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send(record);
    await transaction.abort();
    await producer.disconnect();
  };
  const committed = async () => {
    const { fetchOffsets, disconnect, connect } = client.admin();
    await connect();
    const [topic] = await fetchOffsets({ groupId: `${kafka.prefix}returns`, topics: [`${kafka.prefix}b`] });
    await disconnect();
    return topic?.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
  };
  try {
    await waitFor(() => held.size === 2, { what: "both partitions" });
    await sink.send([{ topic: "b", key: "device", value: Buffer.from("1") }]);
    await waitFor(() => held.size === 0, { what: "the partitions to be given up" });
    await aborted({ topic: `${kafka.prefix}b`, messages: [{ key: "device", value: "aborted" }] });
    await systemClock.sleep(1_000); // its marker is fetched, though the member seems to be lost
    proxy.returns();
    await waitFor(() => held.size === 2, { what: "both partitions again" });
    const all = 1 + 2; // a record, one that was aborted, and the marker that says so
    await waitFor(async () => (await committed()) === all, { what: "the commit", everyMs: 250, timeoutMs: 15_000 });
    expect(joins).toBe(2);
    await source.close();
    await ended;
  } finally {
    await sink.close();
    await proxy.close();
  }
});
