import { describe, expect, test } from "@jest/globals";
import { Codec, DeviceDesired, type DeviceReported, RoutingPolicy } from "@tributary/contracts";
import { someAnswer, someDesired, somePolicy } from "@tributary/testing";
import { answersOfSentFrames, type DesiredMessage, DownlinkState, isSameDesired, NewestQueue } from "./downlink.ts";

const reported = (modelDigest: string, acceptedSchemas: readonly string[] = []): DeviceReported => ({
  deviceId: "d",
  bootId: 1n,
  seq: 1n,
  agentVersion: "0",
  hardwareClass: "x64",
  clockState: "SYNCHRONIZED",
  generation: 0n,
  slots: { perception: { modelDigest, modelName: "m", modelVersion: "1" } },
  policyVersion: "",
  acceptedSchemas,
  cameras: [],
  update: null,
  goldenPassed: null,
  golden: null,
  driving: null,
});

describe("the policy of a device", () => {
  test("is the newest of the model it reported; tombstones take it away (downlink.ts D1)", () => {
    const state = new DownlinkState();
    state.applyReported("d", reported("m1"));
    expect(state.policyOf("d")).toBeUndefined();
    expect(
      state.applyPolicy("m1|default", somePolicy({ modelDigest: "m1", policyVersion: "a", createdAt: 10 })),
    ).toEqual(["m1"]);
    expect(state.applyPolicy("m1|other", somePolicy({ modelDigest: "m1", policyVersion: "b", createdAt: 20 }))).toEqual(
      ["m1"],
    );
    expect(state.policyOf("d")?.policyVersion).toBe("b");
    state.applyPolicy("m1|other", null);
    expect(state.policyOf("d")?.policyVersion).toBe("a");
    state.applyReported("d", reported("m2"));
    expect(state.policyOf("d")).toBeUndefined();
    state.applyReported("d", null);
    expect(state.modelOf("d")).toBeUndefined();
  });

  test("is the one that its desired state names, once it is known and of the model it reported (downlink.ts D1)", () => {
    const state = new DownlinkState();
    const named = somePolicy({ modelDigest: "m1", policyVersion: "named", createdAt: 1 });
    const desire = (policyVersion: string | null) => {
      const bytes = DeviceDesired.encodeConfluent(someDesired({ deviceId: "d", policyVersion }));
      state.applyDesired("d", DeviceDesired.decodeConfluent(bytes), bytes);
    };
    const version = () => state.policyOf("d")?.policyVersion;
    state.applyPolicy("m1|default", somePolicy({ modelDigest: "m1", policyVersion: "in-force", createdAt: 10 }));
    state.applyPolicy("m2|default", somePolicy({ modelDigest: "m2", policyVersion: "other", createdAt: 10 }));
    state.applyReported("d", reported("m1"));
    desire("named");
    expect(version()).toBe("in-force"); // Its record is not here yet.
    expect(() => state.applyPolicyVersion("another", named)).toThrow(/it is of version named/);
    expect(state.applyPolicyVersion("named", named)).toEqual(["m1"]);
    expect(version()).toBe("named");
    state.applyReported("d", reported("m2"));
    expect(version()).toBe("other");
    state.applyReported("d", reported("m1"));
    desire(null);
    expect(version()).toBe("in-force");
    desire("named");
    expect(state.applyPolicyVersion("named", null)).toEqual(["m1"]);
    expect(version()).toBe("in-force");
    expect(state.applyPolicyVersion("named", null)).toEqual([]);
    state.applyPolicyVersion("named", named);
    expect(version()).toBe("named");
    state.applyDesired("d", null, null);
    expect(version()).toBe("in-force");
    state.applyPolicy("m1|default", null);
    expect(version()).toBeUndefined();
  });

  test("is written in a schema the device announced, else in the oldest (downlink.ts D2)", () => {
    const [v1] = RoutingPolicy.versions as [(typeof RoutingPolicy.versions)[number]];
    const v2 = { ...v1, version: 2, id: 99, fingerprint: "00000000000000ff" };
    const codec = new Codec<RoutingPolicy>("RoutingPolicy", [v1, v2]);
    const state = new DownlinkState();
    expect(state.versionFor("d", codec)).toBe(v1);
    state.applyReported("d", reported("m", [v1.fingerprint, v2.fingerprint]));
    expect(state.versionFor("d", codec)).toBe(v2);
    state.applyReported("d", reported("m", ["unknown"]));
    expect(state.versionFor("d", codec)).toBe(v1);
  });
});

describe("a desired state", () => {
  const [oldest] = DeviceDesired.versions as [(typeof DeviceDesired.versions)[number]];
  const record = (deviceId: string, generation: bigint) =>
    DeviceDesired.encodeConfluent(someDesired({ deviceId, generation }));
  const apply = (state: DownlinkState, deviceId: string, bytes: Buffer) =>
    state.applyDesired(deviceId, DeviceDesired.decodeConfluent(bytes), bytes);

  test("is published to those only that read it; a tombstone clears it (downlink.ts D3)", () => {
    const state = new DownlinkState();
    apply(state, "d", record("d", 7n));
    expect(state.desiredOf("d")).toBeUndefined();
    state.applyReported("d", reported("m", ["ffffffffffffffff"]));
    expect(state.desiredOf("d")).toBeUndefined();
    state.applyReported("d", { ...reported("m", [oldest.fingerprint]), slots: {} });
    const published = state.desiredOf("d") as DesiredMessage;
    expect(DeviceDesired.decodeSingleObject(state.encodedDesired(published))).toMatchObject({
      deviceId: "d",
      generation: 7n,
    });
    apply(state, "d", record("d", 7n));
    expect(isSameDesired(published, state.desiredOf("d") as DesiredMessage)).toBe(true);
    apply(state, "d", record("d", 8n));
    expect(isSameDesired(published, state.desiredOf("d") as DesiredMessage)).toBe(false);
    state.applyDesired("d", null, null);
    expect(state.encodedDesired(state.desiredOf("d") as DesiredMessage)).toHaveLength(0);
  });

  test("is refused under another device's key, and the one before stays", () => {
    const state = new DownlinkState();
    state.applyReported("d", reported("m", [oldest.fingerprint]));
    apply(state, "d", record("d", 7n));
    expect(() => apply(state, "d", record("e", 9n))).toThrow(/it is of e/);
    const payload = state.encodedDesired(state.desiredOf("d") as DesiredMessage);
    expect(DeviceDesired.decodeSingleObject(payload).generation).toBe(7n);
  });
});

test("only answers of sent frames are published to the device", () => {
  const kept = someAnswer({ frameSeq: 1n });
  const sent = someAnswer({ frameSeq: 2n, reason: "SAMPLE" });
  const record = { deviceId: "d", bootId: 1n, answers: [kept, sent] };
  expect(answersOfSentFrames({ ...record, answers: [kept] })).toBeUndefined();
  expect(answersOfSentFrames(record)).toEqual({ ...record, answers: [sent] });
});

test("a full queue drops its oldest and reports it (G9)", () => {
  const queue = new NewestQueue<number>(2);
  expect([1, 2, 3].map((n) => queue.push(n))).toEqual([0, 0, 1]);
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([2, 3, undefined]);
});
