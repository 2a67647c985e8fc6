import { expect, test } from "@jest/globals";
import { type DeviceReported, topics } from "@tributary/contracts";
import { DeviceSlots } from "@tributary/rollouts";
import { followContext, MemoryKafka, someReported } from "@tributary/testing";
import { FleetTable } from "./fleet-table.ts";
import { ObservedStates } from "./observed-states.ts";

const digest = "1b".repeat(32);
const model = { modelDigest: digest, modelName: "edge", modelVersion: "1" };

/** The observed state of the device after these reports, slot by slot. */
async function observedAfter(...reports: readonly Partial<DeviceReported>[]) {
  const kafka = new MemoryKafka();
  for (const [i, change] of reports.entries())
    kafka.put(topics.reported, "d", someReported({ deviceId: "d", seq: BigInt(i), ...change }), { timestamp: i });
  const stop = new AbortController();
  const [fleet, devices] = [new FleetTable(), new DeviceSlots(1)];
  const observed = new ObservedStates({ fleet, devices, byFrames: () => undefined, inconsistentAfterMs: 1 });
  await (await observed.follow(followContext(kafka, stop.signal))).caughtUp;
  stop.abort();
  return (slot: string) => devices.entriesOf(slot, ["d"])[0]?.state ?? null;
}

test("a device that no longer reports a slot runs nothing there", async () => {
  const both = { perception: model, world: model };
  expect((await observedAfter({ slots: both }))("world")).toMatchObject({ modelDigest: digest });
  const state = await observedAfter({ slots: both }, { slots: { perception: model } });
  expect([state("world")?.modelDigest, state("perception")?.modelDigest]).toEqual(["", digest]);
});
