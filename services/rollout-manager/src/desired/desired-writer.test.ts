/** Which desired states an instance writes over those of others. */
import { expect, test } from "@jest/globals";
import { type DeviceDesired, POLICY, topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { followContext, MemoryKafka, silentTelemetry, someDesired, waitFor } from "@tributary/testing";
import { experimentSpecOf } from "../creation/plan-experiment.ts";
import { DesiredWriter } from "./desired-writer.ts";

const [first, second] = ["a", "b"].map((digit) => digit.repeat(64)) as [string, string];
const spec = experimentSpecOf({
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name: "e" },
  spec: {
    arms: [
      { name: "control", policy: first },
      { name: "other", policy: second },
    ],
    utility: { correct: 1, escalated: 0, late: 1, currency: "EUR" },
    rope: 0.01,
  },
});

/** An instance that has read generation 5: device d0 is in the control. `stored`: what another one wrote since. */
async function writtenOver(stored: Partial<DeviceDesired>): Promise<readonly DeviceDesired[]> {
  const controller = new RolloutController(new FleetMetrics());
  const change = {
    kind: "experiment-created",
    spec,
    arms: [first, second].map((policyVersion) => ({ policyVersion, devices: 1 })),
    order: ["d0", "d1"],
    modelDigest: "e".repeat(64),
    cloudTarget: "cloud",
    deadlineMs: 300,
  } as const;
  controller.applied({ uid: "u", version: 1, at: 1, by: "ann", change }, 5n);
  const kafka = new MemoryKafka();
  kafka.put(topics.desired, "d0", someDesired({ deviceId: "d0", slots: {}, ...stored }));
  const writer = new DesiredWriter({
    controller,
    models: new ModelTable(),
    settings: { shadowFrames: 0, probationFrames: 0 },
    isRevoked: (deviceId) => deviceId === "d1",
    nextGeneration: () => 6n,
    sink: kafka,
    clock: systemClock,
    telemetry: silentTelemetry(),
  });
  const stop = new AbortController();
  await (await writer.follow(followContext(kafka, stop.signal))).caughtUp;
  const [device] = controller.devices.entriesOf(POLICY, ["d0"]);
  await waitFor(() => device?.written !== null, { what: "its reading" });
  await writer.write(stop.signal);
  stop.abort();
  return kafka.written.slice(1).map(({ value }) => topics.desired.codec.decodeConfluent(value as Buffer));
}

test("what another instance wrote of a newer decision is left alone, also where it lets go of what is wanted here", async () => {
  expect(await writtenOver({ generation: 9n, policyVersion: null })).toEqual([]);
  expect(await writtenOver({ generation: 5n, policyVersion: first })).toEqual([]);
});

test("an older state, and one that names another policy for the same decision, are overwritten", async () => {
  const wanted = [expect.objectContaining({ generation: 5n, policyVersion: first, arm: "control" })];
  expect(await writtenOver({ generation: 4n, policyVersion: first })).toEqual(wanted);
  expect(await writtenOver({ generation: 5n, policyVersion: null })).toEqual(wanted);
});
