import { expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { somePolicy, someReported } from "@tributary/testing";
import { DownlinkState } from "../downlink.ts";
import { DownlinkGroup } from "./downlink-group.ts";

type Hooks = { onAssigned(partitions: readonly number[]): Promise<void> };

test("a device to which the broker permits no publish delays no other; it is retried with the next change (downlink-group.ts X1)", async () => {
  const state = new DownlinkState();
  state.applyPolicy("m|default", somePolicy({ modelDigest: "m", policyVersion: "p1" }));
  const published: string[] = [];
  let hooks: Hooks | undefined;
  const group = new DownlinkGroup({
    source: {
      run: (_handle: unknown, given: Hooks) => {
        hooks = given;
        return new Promise(() => {});
      },
      close: async () => {},
    } as never,
    state,
    isRevoked: () => false,
    prefix: "tributary",
    publish: async (topic) => {
      const device = topic.split("/")[2] ?? "";
      published.push(device);
      return device !== "cam-0";
    },
    isOnline: () => true,
    clock: systemClock,
    telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
  });
  void group.run();
  for (let i = 0; i < 200; i++) {
    const deviceId = `cam-${i}`;
    state.applyReported(
      deviceId,
      someReported({ deviceId, slots: { perception: { modelDigest: "m", modelName: "m", modelVersion: "1" } } }),
    );
    group.reported(deviceId, 0);
  }
  const settle = () => new Promise((later) => setTimeout(later, 20));
  await settle();
  await hooks?.onAssigned([0]);
  await settle();
  expect(new Set(published).size).toBe(200);
  expect(published.filter((device) => device === "cam-0").length).toBeLessThan(10); // It is no loop.
  published.splice(0);
  group.due("cam-1");
  await settle();
  expect(published).toEqual(["cam-0"]);
});
