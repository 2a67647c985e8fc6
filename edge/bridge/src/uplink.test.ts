import { describe, expect, test } from "@jest/globals";
import {
  type Codec,
  EdgeFrame,
  EdgePredictions,
  frameSingleObject,
  openConfluent,
  openSingleObject,
  type UplinkStream,
  uplinkStreams,
} from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { someFrame, somePrediction, somePredictions } from "@tributary/testing";
import { deadLetterOf, deadLetterTopics } from "./dead-letter.ts";
import { readIdentity } from "./identity.ts";
import { jpegFault } from "./jpeg.ts";
import { judgeUplink, type Refusal, type RefusalReason, type Uplink } from "./uplink.ts";

/** Structure of a JPEG: SOI, APP0, SOF0 of 16 x 16, SOS, three bytes of scan, EOI. */
const JPEG = Buffer.from(
  "ffd8 ffe0 0004 0000 ffc0 000b 08 0010 0010 01 01 11 00 ffda 0008 01 01 00 00 3f 00 123456 ffd9".replaceAll(" ", ""),
  "hex",
);
const LIMITS = { frameBytesMax: 4_096, recordBytesMax: 1_024 };
const judge = (change: Partial<Uplink> = {}) =>
  judgeUplink(
    {
      principal: "device-1",
      topic: "tributary/v1/device-1/up/frames",
      payload: EdgeFrame.encodeSingleObject(someFrame({ jpeg: JPEG })),
      qos: 1,
      retain: false,
      ...change,
    },
    LIMITS,
    "tributary",
  );

describe("the outcome of a published message", () => {
  test("a frame is stored as the device's own bytes behind the registry's id", () => {
    const payload = EdgeFrame.encodeSingleObject(someFrame({ jpeg: JPEG }));
    const verdict = judge({ payload });
    if (verdict.kind !== "store") throw new Error(JSON.stringify(verdict));
    expect(verdict.stream).toBe("frames");
    expect(verdict.id).toEqual({ deviceId: "device-1", bootId: someFrame().bootId, seq: 1n });
    const stored = openConfluent(verdict.value);
    expect(stored.id).toBe(EdgeFrame.versionByFingerprint(EdgeFrame.current.fingerprint).id);
    expect(Buffer.from(stored.payload)).toEqual(Buffer.from(openSingleObject(payload).payload));
  });

  test("availability is the device's own, online or offline", () => {
    const topic = "tributary/v1/device-1/availability";
    expect(judge({ topic, payload: Buffer.from("online"), retain: true, qos: 0 })).toEqual({
      kind: "availability",
      state: "online",
    });
    expect(judge({ topic, payload: Buffer.from("perhaps") })).toMatchObject({ reason: "availability-malformed" });
  });

  const encoded = (change: Parameters<typeof someFrame>[0]) =>
    EdgeFrame.encodeSingleObject(someFrame({ jpeg: JPEG, ...change }));
  /** deviceId, bootId and seq of a prediction batch, then an array that announces 2^31 items. */
  const bomb = frameSingleObject(
    EdgePredictions.current.fingerprint,
    Buffer.concat([
      EdgePredictions.encode(somePredictions({ predictions: [], traceparent: null })).subarray(0, -2),
      Buffer.from([0x80, 0x80, 0x80, 0x80, 0x10]),
    ]),
  );
  const cases: readonly [RefusalReason, string, Partial<Uplink>][] = [
    ["topic-malformed", "unknown", { topic: "tributary/v1/device-1/up/frames\0" }],
    ["topic-malformed", "unknown", { topic: "tributary/v1/device-1\0/up/frames" }],
    ["topic-malformed", "unknown", { topic: "tributary/v1/device-1/up/fr\ufffdmes" }],
    ["topic-malformed", "unknown", { topic: "tributary/v1/device-1/up/frames\n" }],
    ["topic-unknown", "unknown", { topic: "somewhere/else" }],
    ["topic-unknown", "unknown", { topic: "$SYS/broker" }],
    ["topic-unknown", "unknown", { topic: "tributary/v1/device-1/up/frames/json/more" }],
    ["topic-of-another-device", "frames", { topic: "tributary/v1/device-2/up/frames" }],
    ["topic-of-another-device", "unknown", { topic: "tributary/v1/device-2/availability" }],
    ["topic-not-uplink", "unknown", { topic: "tributary/v1/device-1/down/policy" }],
    ["stream-unknown", "unknown", { topic: "tributary/v1/device-1/up/constructor" }],
    ["qos-not-1", "frames", { qos: 0 }],
    ["qos-not-1", "frames", { qos: 2 }],
    ["retained", "frames", { retain: true }],
    ["payload-oversized", "frames", { payload: encoded({ jpeg: Buffer.alloc(5_000) }) }],
    ["framing-unknown", "frames", { payload: Buffer.from("{}") }],
    ["framing-unknown", "frames", { payload: Buffer.alloc(0) }],
    ["schema-unknown-fingerprint", "frames", { payload: frameSingleObject("0123456789abcdef", Buffer.alloc(9)) }],
    ["schema-wrong-record", "frames", { payload: EdgePredictions.encodeSingleObject(somePredictions()) }],
    ["record-block-count", "predictions", { topic: "tributary/v1/device-1/up/predictions", payload: bomb }],
    ["record-truncated", "frames", { payload: encoded({}).subarray(0, -1) }],
    ["record-trailing-bytes", "frames", { payload: Buffer.concat([encoded({}), Buffer.from([0])]) }],
    ["payload-of-another-device", "frames", { payload: encoded({ deviceId: "device-2" }) }],
    ["identity-malformed", "frames", { payload: encoded({ bootId: -1n }) }],
    ["identity-malformed", "frames", { payload: encoded({ seq: 0n }) }],
    ["frame-malformed", "frames", { payload: encoded({ cameraId: "../etc" }) }],
    ["value-out-of-range", "frames", { payload: encoded({ deadlineMs: 0 }) }],
    ["value-out-of-range", "frames", { payload: encoded({ confidence: 7 }) }],
    ["jpeg-corrupt", "frames", { payload: encoded({ jpeg: JPEG.subarray(0, -2) }) }],
    ["jpeg-corrupt", "frames", { payload: encoded({ jpeg: Buffer.from("GIF89a") }) }],
  ];
  test.each(cases)("refused: %s (%s)", (reason, stream, change) => {
    expect(judge(change)).toMatchObject({ kind: "refuse", reason, stream });
  });

  test.each<[UplinkStream, string, object, string]>([
    ["frames", "confidence", { confidence: 7 }, "confidence: 7 is not 0 to 1"],
    ["frames", "samplePropensity", { samplePropensity: -0.1 }, "samplePropensity: -0.1 is not 0 to 1"],
    ["predictions", "confidence", { confidence: 7 }, "predictions[1].confidence: 7 is not 0 to 1"],
    ["predictions", "score", { score: -1.5 }, "predictions[1].score: -1.5 is not -1 to 1"],
    ["predictions", "frameSeq", { frameSeq: 0n }, "predictions[1].frameSeq: 0 is not at least 1"],
  ])(
    "%s: %s out of its range is refused in the same words, whether it came as Avro or as JSON",
    (stream, _, change, message) => {
      const batch = somePredictions({ predictions: [somePrediction(), somePrediction(change)] });
      const { jpeg, ...frame } = someFrame({ jpeg: JPEG, ...change });
      const json = stream === "frames" ? { ...frame, image: jpeg.toString("base64") } : batch;
      const avro = stream === "frames" ? encoded(change) : EdgePredictions.encodeSingleObject(batch);
      const text = JSON.stringify(json, (_key, value) => (typeof value === "bigint" ? String(value) : value));
      const topic = `tributary/v1/device-1/up/${stream}`;
      for (const uplink of [
        { topic, payload: avro },
        { topic: `${topic}/json`, payload: Buffer.from(text) },
      ]) {
        expect(judge(uplink)).toEqual({ kind: "refuse", stream, reason: "value-out-of-range", message });
      }
    },
  );

  test("whatever is changed in a message, it has one end and nothing is thrown (uplink.ts U1)", () => {
    for (let seed = 1; seed <= 4_000; seed++) {
      const random = seededRandom(seed);
      const payload = mutated(encoded({ bootId: BigInt(seed) }), random);
      const topic = random() < 0.2 ? `tributary/v1/${mutated(Buffer.from("device-1"), random)}/up/frames` : undefined;
      const verdict = judge({ payload, ...(topic !== undefined && { topic }) });
      if (verdict.kind === "store") {
        const stored = EdgeFrame.decodeConfluent(verdict.value);
        if (stored.deviceId !== "device-1" || jpegFault(stored.jpeg) !== undefined) throw new Error(`seed ${seed}`);
      } else if (verdict.kind === "refuse" && verdict.message.length > 300) {
        throw new Error(`seed ${seed}: ${verdict.message}`);
      }
    }
  });
});

test("every landed version of every uplink record starts with deviceId, bootId and seq", () => {
  for (const { codec } of Object.values(uplinkStreams) as { codec: Codec<unknown> }[]) {
    for (const { schema } of codec.versions) {
      const names = schema.fields.slice(0, 3).map((field: { name: string }) => field.name);
      expect([codec.name, ...names]).toEqual([codec.name, "deviceId", "bootId", "seq"]);
    }
  }
  const big = someFrame({ deviceId: "d".repeat(64), bootId: 2n ** 62n + 3n, seq: 2n ** 40n });
  expect(readIdentity(EdgeFrame.encode(big))).toEqual({ deviceId: big.deviceId, bootId: big.bootId, seq: big.seq });
});

describe("dead letters", () => {
  const uplink = {
    principal: "device-1",
    topic: "t".repeat(5_000),
    payload: Buffer.alloc(300_000, 7),
    qos: 1,
    retain: false,
  };
  const refusal = (reason: RefusalReason): Refusal => ({ kind: "refuse", reason, stream: "frames", message: "why" });

  test("keep the bytes, with their reason and origin", () => {
    const record = deadLetterOf(uplink, refusal("framing-unknown"), 17, 1_000_000);
    expect(record).toMatchObject({ topic: "edge.frames.v1.bridge.dlq", key: "device-1", timestamp: 17 });
    expect(record.value).toEqual(uplink.payload);
    expect(record.headers).toMatchObject({ "__connect.errors.exception.class.name": "framing-unknown" });
    expect(record.headers?.["tributary.mqtt.topic"]).toHaveLength(1_024);
    expect(deadLetterTopics).toContain("edge.unknown.v1.bridge.dlq");
    expect(deadLetterTopics).toContain("devices.reported.v1.bridge.dlq");
  });

  test("of an oversized message: the first 64 KiB, its length and digest", () => {
    const record = deadLetterOf(uplink, refusal("payload-oversized"), 17, 1_000_000);
    expect(record.value).toHaveLength(65_536);
    expect(record.headers?.["__connect.errors.value.length"]).toBe("300000");
    expect(record.headers?.["__connect.errors.value.sha256"]).toMatch(/^[0-9a-f]{64}$/);
  });
});

function mutated(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const times = Math.floor(random() * 4);
  for (let i = 0; i < times; i++) copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
  return random() < 0.2 ? copy.subarray(0, Math.floor(random() * copy.length)) : copy;
}
