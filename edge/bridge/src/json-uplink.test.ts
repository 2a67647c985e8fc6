import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import {
  type Codec,
  jsonDownlinkSchemas,
  jsonUplinkSchema,
  openConfluent,
  type UplinkStream,
  uplinkStreams,
} from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { someAnswer, someFrame, somePredictions } from "@tributary/testing";
import { Ajv } from "ajv";
import { jsonResults } from "./json-results.ts";
import { JSON_CAMERA, JSON_DEADLINE_MS } from "./json-uplink.ts";
import { judgeUplink, type Verdict } from "./uplink.ts";

/** Structure of a JPEG: SOI, APP0, SOF0 of 16 x 16, SOS, three bytes of scan, EOI. */
const JPEG = Buffer.from(
  "ffd8 ffe0 0004 0000 ffc0 000b 08 0010 0010 01 01 11 00 ffda 0008 01 01 00 00 3f 00 123456 ffd9".replaceAll(" ", ""),
  "hex",
);
const image = JPEG.toString("base64");
const LIMITS = { frameBytesMax: 4_096, recordBytesMax: 8_192 };

const judge = (stream: UplinkStream, payload: unknown): Verdict =>
  judgeUplink(
    {
      principal: "device-1",
      topic: `tributary/v1/device-1/up/${stream}/json`,
      payload: Buffer.isBuffer(payload)
        ? payload
        : Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload)),
      qos: 1,
      retain: false,
    },
    LIMITS,
    "tributary",
  );

function recordOf(stream: UplinkStream, payload: unknown): Record<string, unknown> {
  const verdict = judge(stream, payload);
  if (verdict.kind !== "store") throw new Error(JSON.stringify(verdict));
  const codec = uplinkStreams[stream].codec as Codec<unknown>;
  const record = codec.decode(openConfluent(verdict.value).payload) as Record<string, unknown>;
  expect(verdict.id).toEqual({ deviceId: "device-1", bootId: record.bootId, seq: record.seq });
  return record;
}

const bigints = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);

describe("a device that speaks only JSON", () => {
  test("is refused at a bound that is named, before its values are read", () => {
    const wide = { frameBytesMax: 2 ** 21, recordBytesMax: 2 ** 20 };
    const refusal = (text: string) => {
      const topic = "tributary/v1/device-1/up/predictions/json";
      const uplink = { principal: "device-1", topic, payload: Buffer.from(text), qos: 1, retain: false };
      const verdict = judgeUplink(uplink, wide, "tributary");
      return verdict.kind === "refuse" ? `${verdict.reason}: ${verdict.message}` : verdict.kind;
    };
    const predictions = (count: number) =>
      `{"predictions":[${Array.from({ length: count }, () => '{"label":"a","confidence":0.5}')}]}`;
    expect(refusal("[".repeat(1_000_000))).toBe("json-malformed: nested deeper than 64");
    expect(refusal(`{"predictions":[${"[],".repeat(100_000)}[]]}`)).toBe(
      "json-malformed: it has more than 65536 values",
    );
    expect(refusal(predictions(1_025))).toBe("json-wrong-type: predictions: expected at most 1024 items, found 1025");
    expect(refusal(predictions(1_024))).toBe("store");
  });

  test("sends a photo and nothing else: the cloud is to answer, under the payload's own digest (json-uplink.ts N1, N3)", () => {
    const payload = Buffer.from(JSON.stringify({ image }));
    const digest = createHash("sha256").update(payload).digest().readBigUInt64BE() >> 1n;
    expect(recordOf("frames", payload)).toEqual({
      deviceId: "device-1",
      bootId: 0n,
      seq: digest,
      cameraId: JSON_CAMERA,
      frameSeq: digest,
      reason: "FALLBACK",
      deadlineMs: JSON_DEADLINE_MS,
      ageMs: 0,
      capturedAt: null,
      clockState: "UNKNOWN",
      jpeg: JPEG,
      label: "",
      confidence: 0,
      margin: 0,
      entropy: 0,
      score: 1,
      modelDigest: "",
      preprocessingDigest: "",
      policyVersion: "",
      arm: "default",
      sampleCorrectness: 0,
      samplePropensity: 0,
      sampleDrawn: false,
      traceparent: null,
      level: "FULL",
    });
    expect(recordOf("frames", payload).seq).toBe(digest);
    expect(recordOf("frames", { image, capturedAt: 1 }).seq).not.toBe(digest);
  });

  test("sends a photo with an answer of its own, which stands unless the cloud knows better", () => {
    const frame = recordOf("frames", { image, label: "cat", confidence: 0.75, cameraId: "yard", deadlineMs: 1_500 });
    expect(frame).toMatchObject({ label: "cat", confidence: 0.75, reason: "AMBIGUOUS", score: 0.25 });
    expect(frame).toMatchObject({ cameraId: "yard", deadlineMs: 1_500, sampleCorrectness: 0.75 });
  });

  test("expresses everything that an agent sends: numbers of 64 bits as numbers or strings, unions bare, bytes as base64", () => {
    const { jpeg: _, ...frame } = someFrame({ bootId: (1n << 62n) + 7n, seq: 5n, capturedAt: 1_700_000_000_000 });
    const text = JSON.stringify({ ...frame, image }, bigints);
    expect(recordOf("frames", text)).toEqual({ ...frame, jpeg: JPEG });
    const batch = somePredictions({ seq: 17n, traceparent: null });
    expect(recordOf("predictions", JSON.stringify(batch, bigints))).toEqual(batch);
    const moments = { n: 3, sum: 1.5, sumSq: 1 };
    const metrics = { windowMs: 10_000, device: { cpu: moments, __proto__x: moments }, models: [] };
    expect(recordOf("metrics", metrics)).toMatchObject({ windowMs: 10_000, device: { cpu: { n: 3n, sum: 1.5 } } });
    const sketches = { windowMs: 1, histograms: [{ feature: "confidence", counts: [1, "2"] }], labels: { cat: 3 } };
    expect(recordOf("sketches", sketches)).toMatchObject({ histograms: [{ counts: [1n, 2n] }], labels: { cat: 3n } });
    const slots = { perception: { modelDigest: "d", modelName: "n", modelVersion: "1" } };
    const filled = { bootId: 0n, acceptedSchemas: [], generation: 0n, golden: null };
    expect(recordOf("reported", { slots })).toMatchObject({ ...filled, slots });
    const golden = { at: 1_700_000_000_000, modelDigest: "d", frames: 16, failed: 1, logits: [0.5, -2] };
    expect(recordOf("reported", { golden })).toMatchObject({ golden });
  });

  test("reports its own answers, each with its own number (json-uplink.ts N1)", () => {
    const kept = { label: "cat", confidence: 0.9 };
    const { predictions } = recordOf("predictions", { predictions: [kept, kept] }) as never as {
      readonly predictions: readonly { readonly frameSeq: bigint; readonly escalation: string }[];
    };
    expect(new Set(predictions.map(({ frameSeq }) => frameSeq)).size).toBe(2);
    expect(predictions[0]).toMatchObject({ escalation: "NONE", reason: "NONE", sampleCorrectness: 0.9 });
  });
});

describe("an error is reported with its path", () => {
  const whole = { image, bootId: 5, seq: 1, frameSeq: 1 };
  const kept = { label: "cat", confidence: 0.9 };
  const cases: [string, UplinkStream, unknown, string, string][] = [
    ["nothing", "frames", "", "json-malformed", "not JSON"],
    ["half of it", "frames", `{"image": "${image.slice(0, 9)}`, "json-malformed", "not JSON"],
    ["Avro", "frames", Buffer.from("c301aabbccddeeff0011", "hex"), "json-malformed", "not UTF-8"],
    ["UTF-16", "frames", Buffer.from(JSON.stringify({ image }), "utf16le"), "json-malformed", "not JSON"],
    ["NaN", "frames", `{"image":"${image}","label":"a","confidence":NaN}`, "json-malformed", "not JSON"],
    ["an array", "frames", [{ image }], "json-malformed", "expected an object, found an array"],
    ["a bare image", "frames", JSON.stringify(image), "json-malformed", "expected an object, found"],
    ["null", "frames", "null", "json-malformed", "expected an object, found null"],
    ["depth", "frames", `{"image":${"[".repeat(9_000)}`, "json-malformed", "nested deeper than 64"],
    ["no image", "frames", {}, "json-missing-field", "image: missing"],
    ["Avro's name", "frames", { jpeg: image }, "json-unknown-field", "jpeg: unknown field (known: deviceId"],
    ["a typo", "frames", { image, cameraID: "a" }, "json-unknown-field", "cameraID: unknown field"],
    ["a prototype", "frames", `{"image":"${image}","__proto__":{}}`, "json-unknown-field", "__proto__: unknown field"],
    ["bytes as numbers", "frames", { image: [...JPEG] }, "json-wrong-type", "image: expected base64 in a string"],
    ["base64url", "frames", { image: "_-8=" }, "json-wrong-type", "image: expected base64"],
    ["base64 of a line each", "frames", { image: "AAAA\nAAAA" }, "json-wrong-type", "image: expected base64"],
    ["base64 cut off", "frames", { image: image.slice(0, 10) }, "json-wrong-type", "image: expected base64"],
    ["a data URL", "frames", { image: `data:image/jpeg;base64,${image}` }, "json-wrong-type", "image: expected base64"],
    ["no JPEG", "frames", { image: "AAAA" }, "jpeg-corrupt", "not a whole JPEG"],
    ["half a JPEG", "frames", { image: JPEG.subarray(0, 30).toString("base64") }, "jpeg-corrupt", "not a whole JPEG"],
    ["per cent", "frames", { image, label: "a", confidence: 95 }, "value-out-of-range", "confidence: 95 is not 0 to 1"],
    ["confidence alone", "frames", { image, confidence: 0.4 }, "json-missing-field", "label: missing"],
    ["label alone", "frames", { image, label: "cat" }, "json-missing-field", "confidence: missing"],
    ["a label of null", "frames", { image, label: null, confidence: 0 }, "json-wrong-type", "label: expected a string"],
    ["infinity", "frames", `{"image":"${image}","ageMs":1e999}`, "json-wrong-type", "ageMs: expected a number"],
    ["an enum's number", "frames", { image, reason: 4 }, "json-wrong-type", "reason: expected one of UNKNOWN, NONE"],
    ["another enum", "frames", { image, reason: "fallback" }, "json-wrong-type", 'found "fallback"'],
    [
      "a wrapped union",
      "frames",
      { image, capturedAt: { long: 1 } },
      "json-wrong-type",
      "capturedAt: expected an integer",
    ],
    ["no date", "frames", { image, capturedAt: "9000000000000000" }, "json-wrong-type", "capturedAt: expected millis"],
    [
      "half a surrogate",
      "frames",
      `{"image":"${image}","cameraId":"\\ud800"}`,
      "json-wrong-type",
      "cameraId: expected",
    ],
    ["a path", "frames", { image, cameraId: "../x" }, "frame-malformed", 'cameraId: "../x"'],
    ["no time", "frames", { image, deadlineMs: 0 }, "value-out-of-range", "deadlineMs: 0 is not at least 1"],
    [
      "half an integer",
      "frames",
      { image, deadlineMs: 1.5 },
      "json-wrong-type",
      "deadlineMs: expected an integer of 32",
    ],
    ["a wide integer", "frames", { image, deadlineMs: 2 ** 31 }, "json-wrong-type", "deadlineMs: expected an integer"],
    [
      "a rounded long",
      "frames",
      `{"image":"${image}","bootId":9007199254740993}`,
      "json-wrong-type",
      "bootId: expected",
    ],
    [
      "65 bits",
      "frames",
      { ...whole, bootId: "9223372036854775808" },
      "json-wrong-type",
      "bootId: expected an integer",
    ],
    ["hex", "frames", { ...whole, bootId: "0x5" }, "json-wrong-type", "bootId: expected an integer of 64 bits"],
    ["boot 0", "frames", { ...whole, bootId: 0 }, "json-wrong-type", "bootId: expected positive"],
    ["seq 0", "frames", { ...whole, seq: 0 }, "json-wrong-type", "seq: expected 1 to"],
    ["seq of 63 bits", "frames", { ...whole, seq: `${1n << 60n}` }, "json-wrong-type", "seq: expected 1 to"],
    ["no seq", "frames", { image, bootId: 5, frameSeq: 1 }, "json-missing-field", "seq: missing"],
    ["no frameSeq", "frames", { image, bootId: 5, seq: 1 }, "json-missing-field", "frameSeq: missing"],
    [
      "a count without boot",
      "frames",
      { image, frameSeq: 7 },
      "json-missing-field",
      "bootId: missing; frameSeq counts",
    ],
    ["seq without boot", "metrics", { windowMs: 1, seq: 7 }, "json-missing-field", "bootId: missing; seq counts"],
    ["another's id", "frames", { image, deviceId: "device-2" }, "payload-of-another-device", '"device-2"'],
    [
      "a long label",
      "frames",
      { image, label: "x".repeat(129), confidence: 1 },
      "record-unusable",
      "label has 129 bytes",
    ],
    ["a large image", "frames", { image: Buffer.alloc(4_097).toString("base64") }, "payload-oversized", "a record of"],
    ["a large payload", "frames", { image: "A".repeat(40_000) }, "payload-oversized", "at most"],
    ["an old frame", "frames", { image, ageMs: 1e15 }, "record-unusable", "duration-malformed"],
    ["no predictions", "predictions", {}, "json-missing-field", "predictions: missing"],
    ["one prediction", "predictions", { predictions: kept }, "json-wrong-type", "predictions: expected an array"],
    [
      "a bare label",
      "predictions",
      { predictions: [kept, "cat"] },
      "json-wrong-type",
      "predictions[1]: expected an object",
    ],
    ["no label", "predictions", { predictions: [{}] }, "json-missing-field", "predictions[0].label: missing"],
    [
      "a number",
      "predictions",
      { predictions: [kept, { ...kept, label: 7 }] },
      "json-wrong-type",
      "predictions[1].label",
    ],
    [
      "a typo within",
      "predictions",
      { predictions: [{ ...kept, lable: 1 }] },
      "json-unknown-field",
      "predictions[0].lable",
    ],
    [
      "a frame to come",
      "predictions",
      { predictions: [{ ...kept, escalation: "QUEUED" }] },
      "json-wrong-type",
      "NONE or",
    ],
    ["a camera", "predictions", { predictions: [{ ...kept, cameraId: "" }] }, "record-unusable", "camera-id-malformed"],
    [
      "map of numbers",
      "metrics",
      { windowMs: 1, device: { cpu: 3 } },
      "json-wrong-type",
      "device.cpu: expected an object",
    ],
    [
      "within a map",
      "metrics",
      { windowMs: 1, device: { cpu: { n: 1, sum: 1 } } },
      "json-missing-field",
      "device.cpu.sumSq",
    ],
    [
      "within both",
      "metrics",
      { windowMs: 1, models: [{ modelDigest: "d" }] },
      "json-missing-field",
      "models[0].metrics",
    ],
    ["no window", "sketches", {}, "json-missing-field", "windowMs: missing"],
    [
      "half a count",
      "sketches",
      { windowMs: 1, labels: { cat: 0.5 } },
      "json-wrong-type",
      "labels.cat: expected an integer",
    ],
    [
      "logits of no number",
      "reported",
      { golden: { at: 1, modelDigest: "d", frames: 1, failed: 0, logits: [1, null] } },
      "json-wrong-type",
      "golden.logits[1]: expected a number",
    ],
    ["slots as a list", "reported", { slots: [] }, "json-wrong-type", "slots: expected an object, found an array"],
    [
      "no version",
      "reported",
      { slots: { a: { modelDigest: "d", modelName: "n" } } },
      "json-missing-field",
      "slots.a.model",
    ],
  ];

  test.each(cases)("%s", (_name, stream, payload, reason, message) => {
    const verdict = judge(stream, payload);
    expect(verdict).toMatchObject({ kind: "refuse", stream, reason });
    if (verdict.kind === "refuse") {
      expect(verdict.message).toContain(message);
      expect(verdict.message.length).toBeLessThan(400);
      expect(verdict.message).toMatch(/^[\x20-\x7e…]*$/);
    }
  });

  test("down to and unknown streams of JSON are refused like others", () => {
    const topics = {
      "up/other/json": "stream-unknown",
      "down/results/json": "topic-not-uplink",
      "up/json": "stream-unknown",
    };
    for (const [rest, reason] of Object.entries(topics)) {
      const uplink = {
        principal: "device-1",
        topic: `tributary/v1/device-1/${rest}`,
        payload: JPEG,
        qos: 1,
        retain: false,
      };
      expect(judgeUplink(uplink, LIMITS, "tributary")).toMatchObject({ kind: "refuse", reason });
    }
  });
});

/** Something else of JSON, or nothing. */
function spoiled(value: unknown, random: Random): unknown {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  if (random() < 0.15) {
    return pick([null, true, -1, 1e300, "", "x", "9".repeat(30), [], {}, [[]], { a: { b: 1 } }, "\ud800", undefined]);
  }
  if (Array.isArray(value)) return value.map((item) => spoiled(item, random));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [
    random() < 0.03 ? pick(["", "__proto__", "constructor", "a.b", "\ud800"]) : key,
    spoiled(item, random),
  ]);
  return Object.fromEntries(entries);
}

test("brackets and quotes within texts do not nest", () => {
  const label = `"\\${"[{".repeat(40)}\\`;
  expect(recordOf("frames", { image, label, confidence: 1 })).toMatchObject({ label });
  expect(judge("frames", `{"image":"${image}","label":"\\"[`)).toMatchObject({ reason: "json-malformed" });
});

test("over seeds, whatever the JSON, it is stored as a record of its stream or refused, and never thrown (uplink.ts U1)", () => {
  const { jpeg: _, ...frame } = someFrame();
  const moments = { n: 3, sum: 1.5, sumSq: 1 };
  const good: Record<UplinkStream, object> = {
    frames: { ...frame, image },
    predictions: somePredictions(),
    metrics: { windowMs: 1, device: { cpu: moments }, models: [{ modelDigest: "d", metrics: { a: moments } }] },
    sketches: { windowMs: 1, histograms: [{ feature: "a", counts: [1, 2] }], labels: { cat: 1 } },
    reported: { slots: { a: { modelDigest: "d", modelName: "n", modelVersion: "1" } }, cameras: ["a"] },
  };
  const ends = new Map<string, number>();
  for (let seed = 1; seed <= 3_000; seed++) {
    const random = seededRandom(seed);
    const stream = (Object.keys(good) as UplinkStream[])[seed % 5] as UplinkStream;
    const value = JSON.parse(JSON.stringify(good[stream], bigints));
    const text = JSON.stringify(spoiled(value, random)) ?? "";
    const at = Math.floor(random() * text.length);
    const bytes = Buffer.from(random() < 0.1 ? text.slice(0, at) + text.slice(at + 1) : text);
    const verdict = judge(stream, bytes);
    if (verdict.kind === "store") recordOf(stream, bytes);
    const end = verdict.kind === "refuse" ? verdict.reason : verdict.kind;
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  expect([...ends.keys()]).toEqual(
    expect.arrayContaining(["store", "json-malformed", "json-unknown-field", "json-missing-field", "json-wrong-type"]),
  );
});

/** The published JSON Schemas of what devices send and receive. */
describe("the JSON Schema", () => {
  const moments = { n: "7", sum: 1.5, sumSq: 2 };
  const least: { readonly [stream in UplinkStream]: Record<string, unknown> } = {
    frames: { image },
    predictions: { predictions: [{ label: "cat", confidence: 0.5 }] },
    metrics: { windowMs: 1_000 },
    sketches: { windowMs: 1_000 },
    reported: {},
  };
  const more: { readonly [stream in UplinkStream]: Record<string, unknown> } = {
    frames: { image, label: "cat", confidence: 0.5, bootId: "9", seq: 1, frameSeq: 1, capturedAt: null },
    predictions: { predictions: [{ label: "cat", confidence: 0.5, wouldSend: true, reason: "NONE" }], arm: "default" },
    metrics: { windowMs: 0, device: { load: moments }, models: [{ modelDigest: "m", metrics: { x: moments } }] },
    sketches: { windowMs: 0, histograms: [{ feature: "margin", counts: [1, "2"] }], labels: { cat: 3 } },
    reported: {
      slots: { perception: { modelDigest: "m", modelName: "n", modelVersion: "1" } },
      golden: { at: 1, modelDigest: "m", frames: 1, failed: 0, logits: [0.5, -2] },
    },
  };
  const faults: readonly (readonly [UplinkStream, Record<string, unknown>])[] = [
    ["frames", {}],
    ["frames", { image, confidence: 7 }],
    ["frames", { image, nonsense: 1 }],
    ["frames", { image, reason: "BECAUSE" }],
    ["predictions", { predictions: [{ confidence: 0.5 }] }],
    ["metrics", { windowMs: -1 }],
    ["metrics", { windowMs: 1, device: { load: { n: 1 } } }],
    ["sketches", { windowMs: 1, labels: { cat: -3 } }],
    ["reported", { cameras: "front" }],
    ["reported", { golden: { at: 1, modelDigest: "m", frames: 1, failed: -1, logits: [] } }],
  ];
  const ajv = new Ajv({ strict: false });
  const validators = Object.fromEntries(
    Object.keys(uplinkStreams).map((stream) => [stream, ajv.compile(jsonUplinkSchema(stream as UplinkStream))]),
  );
  const taken = (stream: UplinkStream, payload: unknown) => judge(stream, payload).kind === "store";

  test("of an answer has each field of an answer", () => {
    const [answer] = jsonResults({ deviceId: "cam", bootId: 7n, answers: [someAnswer()] });
    const written = JSON.parse(String(answer)) as object;
    expect(ajv.validate(jsonDownlinkSchemas.results, written)).toBe(true);
    expect(Object.keys(written).sort()).toEqual([...jsonDownlinkSchemas.results.required].sort());
  });

  test("of an uplink accepts and refuses the same input as the bridge", () => {
    const streams = Object.keys(uplinkStreams) as UplinkStream[];
    const good = streams.flatMap((stream) =>
      [least[stream], more[stream]].map((payload) => [stream, payload] as const),
    );
    for (const [cases, expected] of [[good, true] as const, [faults, false] as const]) {
      for (const [stream, payload] of cases) {
        const accepted = { schema: validators[stream]?.(payload), bridge: taken(stream, payload) };
        expect([stream, payload, accepted]).toEqual([stream, payload, { schema: expected, bridge: expected }]);
      }
    }
  });
});
