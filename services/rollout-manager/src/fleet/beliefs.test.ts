import { expect, test } from "@jest/globals";
import { type DeviceReported, topics } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { DeviceTable } from "@tributary/rollouts";
import { createTelemetry } from "@tributary/telemetry";
import { someReported } from "@tributary/testing";
import { Beliefs } from "./beliefs.ts";
import { FleetTable } from "./fleet-table.ts";

const digest = "1b".repeat(32);
const model = { modelDigest: digest, modelName: "edge", modelVersion: "1" };

/** What is believed of the device after these reports, slot by slot. */
async function believed(...reports: readonly Partial<DeviceReported>[]) {
  const records = reports.map((change, i): InRecord => {
    const value = topics.reported.codec.encodeConfluent(someReported({ deviceId: "d", seq: BigInt(i), ...change }));
    return { topic: topics.reported.name, partition: 0, offset: BigInt(i), key: "d", value, headers: {}, timestamp: i };
  });
  const of = (topic: string) => (topic === topics.reported.name ? records : []);
  const reader: PartitionReader = {
    partitions: async () => [0],
    offsets: async (topic) => ({ earliest: 0n, next: BigInt(of(topic).length) }),
    async *read(topic, _partition, { from = 0n } = {}) {
      yield* of(topic).slice(Number(from));
    },
    close: async () => {},
  };
  const stop = new AbortController();
  const [fleet, devices] = [new FleetTable(), new DeviceTable(1)];
  const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
  const beliefs = new Beliefs({ fleet, devices, byFrames: () => undefined, lieAfterMs: 1 });
  const context = { reader, telemetry, clock: systemClock, random: () => 0, signal: stop.signal };
  const followings = await beliefs.follow(context);
  await Promise.all(followings.map(({ caughtUp }) => caughtUp));
  stop.abort();
  return (slot: string) => devices.entriesOf(slot, ["d"])[0]?.state ?? null;
}

test("a device that names a slot no more runs nothing there", async () => {
  const both = { perception: model, world: model };
  expect((await believed({ slots: both }))("world")).toMatchObject({ modelDigest: digest });
  const state = await believed({ slots: both }, { slots: { perception: model } });
  expect([state("world")?.modelDigest, state("perception")?.modelDigest]).toEqual(["", digest]);
});
