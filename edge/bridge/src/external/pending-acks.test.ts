import { describe, expect, test } from "@jest/globals";
import { EdgeFrame } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import { someFrame } from "@tributary/testing";
import { PendingAcks, storedRecordOf } from "./pending-acks.ts";

const of = (deviceId: string, seq: bigint) => ({ deviceId, bootId: 5n, stream: "frames" as const, seq });

describe("pending acknowledgements", () => {
  test("over seeds: what was added, and nothing else, in ascending ranges that do not touch", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const pendingAcks = new PendingAcks(10_000);
      const added = new Map<string, Set<bigint>>();
      for (let i = 0; i < 500; i++) {
        const deviceId = `cam-${Math.floor(random() * 3)}`;
        const seq = BigInt(1 + Math.floor(random() * 400));
        pendingAcks.add(of(deviceId, seq));
        added.set(deviceId, (added.get(deviceId) ?? new Set()).add(seq));
      }
      const taken = new Map<string, Set<bigint>>();
      for (const { deviceId, ranges } of pendingAcks.take()) {
        const seqs = taken.get(deviceId) ?? new Set();
        taken.set(deviceId, seqs);
        let before = -1n;
        for (const { first, last } of ranges) {
          expect(first > before + 1n && last >= first).toBe(true);
          for (let seq = first; seq <= last; seq++) seqs.add(seq);
          before = last;
        }
      }
      expect({ seed, taken }).toEqual({ seed, taken: added });
      expect(pendingAcks.size).toBe(0);
      expect(pendingAcks.take()).toEqual([]);
    }
  });

  test("beyond its bound nothing is added; many ranges are several messages", () => {
    const pendingAcks = new PendingAcks(2_000);
    for (let i = 0; i < 2_000; i++) expect(pendingAcks.add(of("cam", BigInt(2 * i + 1)))).toBe(true);
    expect(pendingAcks.add(of("cam", 9_999n))).toBe(false);
    expect(pendingAcks.take().map(({ ranges }) => ranges.length)).toEqual([1_024, 976]);
  });
});

describe("the record of a message", () => {
  const payload = EdgeFrame.encodeSingleObject(someFrame({ deviceId: "cam", bootId: 5n, seq: 7n }));
  const uplink = { principal: "cam", topic: "tributary/v1/cam/up/frames", payload, qos: 1, retain: false };

  test("is read from its first fields, whatever follows them", () => {
    const id = { deviceId: "cam", bootId: 5n, seq: 7n, stream: "frames" };
    expect(storedRecordOf(uplink, "tributary")).toEqual(id);
    const spoilt = Buffer.concat([payload.subarray(0, 30), Buffer.from("not Avro")]);
    expect(storedRecordOf({ ...uplink, payload: spoilt }, "tributary")).toEqual(id);
  });

  test.each([
    ["another's", { principal: "other" }],
    ["of no stream", { topic: "tributary/v1/cam/up/nothing" }],
    ["JSON", { topic: "tributary/v1/cam/up/frames/json" }],
    ["malformed", { payload: Buffer.from("not Avro") }],
    ["empty", { payload: Buffer.alloc(0) }],
    ["cut off", { payload: payload.subarray(0, 11) }],
  ])("%s: none", (_, change) => {
    expect(storedRecordOf({ ...uplink, ...change }, "tributary")).toBeUndefined();
  });
});
