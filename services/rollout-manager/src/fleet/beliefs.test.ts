import { expect, test } from "@jest/globals";
import { type DeviceReported, topics } from "@tributary/contracts";
import { DeviceSlots } from "@tributary/rollouts";
import { followContext, MemoryKafka, someReported } from "@tributary/testing";
import { Beliefs } from "./beliefs.ts";
import { FleetTable } from "./fleet-table.ts";

const digest = "1b".repeat(32);
const model = { modelDigest: digest, modelName: "edge", modelVersion: "1" };

/** What is believed of the device after these reports, slot by slot. */
async function believed(...reports: readonly Partial<DeviceReported>[]) {
  const kafka = new MemoryKafka();
  for (const [i, change] of reports.entries())
    kafka.put(topics.reported, "d", someReported({ deviceId: "d", seq: BigInt(i), ...change }), { timestamp: i });
  const stop = new AbortController();
  const [fleet, devices] = [new FleetTable(), new DeviceSlots(1)];
  const beliefs = new Beliefs({ fleet, devices, byFrames: () => undefined, lieAfterMs: 1 });
  await (await beliefs.follow(followContext(kafka, stop.signal))).caughtUp;
  stop.abort();
  return (slot: string) => devices.entriesOf(slot, ["d"])[0]?.state ?? null;
}

test("a device that names a slot no more runs nothing there", async () => {
  const both = { perception: model, world: model };
  expect((await believed({ slots: both }))("world")).toMatchObject({ modelDigest: digest });
  const state = await believed({ slots: both }, { slots: { perception: model } });
  expect([state("world")?.modelDigest, state("perception")?.modelDigest]).toEqual(["", digest]);
});
