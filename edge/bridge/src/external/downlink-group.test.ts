import { expect, test } from "@jest/globals";
import { DeviceDesired, RoutingPolicy } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { someDesired, somePolicy, someReported } from "@tributary/testing";
import { DownlinkState } from "../downlink.ts";
import { DownlinkGroup } from "./downlink-group.ts";

type Hooks = { onAssigned(partitions: readonly number[]): Promise<void> };

function world(publish: (topic: string, payload: Buffer) => boolean) {
  const state = new DownlinkState();
  const checks = new Map<string, number>();
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
    checkRequestedAt: (deviceId) => checks.get(deviceId) ?? null,
    prefix: "tributary",
    publish: async (topic, payload) => publish(topic, payload),
    isOnline: () => true,
    clock: systemClock,
    telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
  });
  void group.run();
  return { state, checks, group, assign: () => hooks?.onAssigned([0]) };
}
const settle = () => new Promise((later) => setTimeout(later, 20));

test("a request to check golden frames is retained once; a device without one gets nothing", async () => {
  const published: string[] = [];
  const { checks, group, assign } = world((topic, payload) => {
    if (topic.endsWith("/check")) published.push(`${topic} ${payload}`);
    return true;
  });
  await assign();
  checks.set("cam-1", 1_700_000_000_000);
  for (const deviceId of ["cam-1", "cam-2", "cam-1"]) {
    group.reported(deviceId, 0);
    await settle();
  }
  checks.set("cam-1", 1_700_000_000_001);
  group.due("cam-1");
  await settle();
  const topic = "tributary/v1/cam-1/down/check";
  expect(published).toEqual([`${topic} 1700000000000`, `${topic} 1700000000001`]);
});

test("the policy that a desired state names is retained when either is known, and the one in force again afterwards", async () => {
  const published: string[] = [];
  const { state, group, assign } = world((topic, payload) => {
    const device = topic.split("/")[2] ?? "";
    if (!topic.endsWith("/policy")) return true;
    published.push(
      `${device} ${payload.length === 0 ? "none" : RoutingPolicy.decodeSingleObject(payload).policyVersion}`,
    );
    return true;
  });
  await assign();
  const slots = { perception: { modelDigest: "m", modelName: "m", modelVersion: "1" } };
  const desire = async (policyVersion: string | null) => {
    const bytes = DeviceDesired.encodeConfluent(someDesired({ deviceId: "cam-1", policyVersion }));
    state.applyDesired("cam-1", DeviceDesired.decodeConfluent(bytes), bytes);
    group.due("cam-1");
    await settle();
  };
  const named = somePolicy({ modelDigest: "m", policyVersion: "named" });
  state.applyPolicy("m|default", somePolicy({ modelDigest: "m", policyVersion: "in-force" }));
  for (const deviceId of ["cam-1", "cam-2"]) {
    state.applyReported(deviceId, someReported({ deviceId, slots }));
    group.reported(deviceId, 0);
    await settle();
  }
  await desire("named");
  group.modelDue(state.applyPolicyVersion("named", named));
  await settle();
  await desire(null);
  await desire("named");
  group.modelDue(state.applyPolicyVersion("named", null));
  await settle();
  expect(published).toEqual([
    "cam-1 in-force",
    "cam-2 in-force",
    "cam-1 named",
    "cam-1 in-force",
    "cam-1 named",
    "cam-1 in-force",
  ]);
});

test("a device to which the broker permits no publish delays no other; it is retried with the next change (downlink-group.ts X1)", async () => {
  const published: string[] = [];
  const { state, group, assign } = world((topic) => {
    const device = topic.split("/")[2] ?? "";
    published.push(device);
    return device !== "cam-0";
  });
  state.applyPolicy("m|default", somePolicy({ modelDigest: "m", policyVersion: "p1" }));
  for (let i = 0; i < 200; i++) {
    const deviceId = `cam-${i}`;
    state.applyReported(
      deviceId,
      someReported({ deviceId, slots: { perception: { modelDigest: "m", modelName: "m", modelVersion: "1" } } }),
    );
    group.reported(deviceId, 0);
  }
  await settle();
  await assign();
  await settle();
  expect(new Set(published).size).toBe(200);
  expect(published.filter((device) => device === "cam-0").length).toBeLessThan(10); // It is no loop.
  published.splice(0);
  group.due("cam-1");
  await settle();
  expect(published).toEqual(["cam-0"]);
});
