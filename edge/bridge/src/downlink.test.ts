import { describe, expect, test } from "@jest/globals";
import { Codec, DeviceDesired, type DeviceReported, RoutingPolicy } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { seededRandom, systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { someAnswer, someDesired, somePolicy } from "@tributary/testing";
import { answersOfSentFrames, type DesiredTelling, DownlinkState, isSameTelling, NewestQueue } from "./downlink.ts";
import { follow } from "./follower.ts";

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
});

describe("the policy of a device", () => {
  test("is the newest of the model it reported; tombstones take it away (D1)", () => {
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
    state.applyPolicy("m1|other", undefined);
    expect(state.policyOf("d")?.policyVersion).toBe("a");
    state.applyReported("d", reported("m2"));
    expect(state.policyOf("d")).toBeUndefined();
    state.applyReported("d", undefined);
    expect(state.modelOf("d")).toBeUndefined();
  });

  test("is written in a schema the device announced, else in the oldest (D2)", () => {
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

describe("what a device shall run", () => {
  const [oldest] = DeviceDesired.versions as [(typeof DeviceDesired.versions)[number]];
  const record = (deviceId: string, generation: bigint) =>
    DeviceDesired.encodeConfluent(someDesired({ deviceId, generation }));
  const apply = (state: DownlinkState, deviceId: string, bytes: Buffer) =>
    state.applyDesired(deviceId, DeviceDesired.decodeConfluent(bytes), bytes);

  test("is told to those only that read it; a tombstone clears it (D3)", () => {
    const state = new DownlinkState();
    apply(state, "d", record("d", 7n));
    expect(state.desiredOf("d")).toBeUndefined();
    state.applyReported("d", reported("m", ["ffffffffffffffff"]));
    expect(state.desiredOf("d")).toBeUndefined();
    state.applyReported("d", { ...reported("m", [oldest.fingerprint]), slots: {} });
    const told = state.desiredOf("d") as DesiredTelling;
    expect(DeviceDesired.decodeSingleObject(state.encodedDesired(told))).toMatchObject({
      deviceId: "d",
      generation: 7n,
    });
    apply(state, "d", record("d", 7n));
    expect(isSameTelling(told, state.desiredOf("d") as DesiredTelling)).toBe(true);
    apply(state, "d", record("d", 8n));
    expect(isSameTelling(told, state.desiredOf("d") as DesiredTelling)).toBe(false);
    state.applyDesired("d", undefined, undefined);
    expect(state.encodedDesired(state.desiredOf("d") as DesiredTelling)).toHaveLength(0);
  });

  test("is refused under another device's key, and what was wanted before stays", () => {
    const state = new DownlinkState();
    state.applyReported("d", reported("m", [oldest.fingerprint]));
    apply(state, "d", record("d", 7n));
    expect(() => apply(state, "d", record("e", 9n))).toThrow(/it is of e/);
    const payload = state.encodedDesired(state.desiredOf("d") as DesiredTelling);
    expect(DeviceDesired.decodeSingleObject(payload).generation).toBe(7n);
  });
});

test("only answers of sent frames go back to the device", () => {
  const kept = someAnswer({ frameSeq: 1n });
  const sent = someAnswer({ frameSeq: 2n, reason: "SAMPLE" });
  const record = { deviceId: "d", bootId: 1n, answers: [kept, sent] };
  expect(answersOfSentFrames({ ...record, answers: [kept] })).toBeUndefined();
  expect(answersOfSentFrames(record)).toEqual({ ...record, answers: [sent] });
});

test("a full queue forgets its oldest and says so (G9)", () => {
  const queue = new NewestQueue<number>(2);
  expect([1, 2, 3].map((n) => queue.push(n))).toEqual([0, 0, 1]);
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([2, 3, undefined]);
});

test("a follower is caught up at the end it found, and survives failing reads without a gap or a repeat (F1, F2)", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const stop = new AbortController();
    const size = 20 + Math.floor(random() * 20);
    const started = Math.floor(random() * size);
    let end = started;
    const finished = new Set<number>();
    const reader: PartitionReader = {
      partitions: async () => [0, 1],
      offsets: async () => ({ earliest: 2n, next: BigInt(Math.max(2, end)) }),
      async *read(topic, partition, { from = 2n, until } = {}) {
        for (let offset = from; offset < (until ?? BigInt(size)); offset++) {
          if (random() < 0.1) throw new Error("away");
          if (offset === 7n) continue; // compacted away
          yield { topic, partition, offset, key: "k", value: null, headers: {}, timestamp: 0 } satisfies InRecord;
        }
        if (until === undefined && finished.add(partition).size === 2) stop.abort();
      },
      close: async () => {},
    };
    const seen: bigint[][] = [[], []];
    const following = await follow({
      reader,
      topic: "t",
      from: "start",
      onRecord: (record) => seen[record.partition]?.push(record.offset),
      signal: stop.signal,
      clock: { ...systemClock, sleep: async () => {} },
      random,
      telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
    });
    await following.caughtUp;
    end = size;
    for (const offsets of seen) {
      const wanted = Array.from({ length: Math.max(0, started - 2) }, (_, i) => BigInt(i + 2)).filter((o) => o !== 7n);
      expect([seed, offsets.slice(0, wanted.length)]).toEqual([seed, wanted]);
    }
    await following.ended;
    for (const offsets of seen) {
      expect([seed, offsets.every((o, i) => i === 0 || o > (offsets[i - 1] as bigint))]).toEqual([seed, true]);
    }
  }
});
