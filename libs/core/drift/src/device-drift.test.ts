import { describe, expect, test } from "@jest/globals";
import type { EdgeSketches } from "@tributary/contracts";
import { Failure, seededRandom } from "@tributary/kernel";
import { DeviceDrift, type DriftDocuments, driftReferenceOf } from "./index.ts";
import {
  type DeviceCase,
  DIGEST,
  deviceId,
  documents,
  foldSettings,
  predictions,
  reference,
  SimulatedDevice,
  START,
  truth,
  WINDOW_MS,
} from "./testing/drifting-fleet.ts";

const DAY = 86_400_000;

/** A device that has sent `windows` windows, and a way to send it more. */
function deviceAfter(windows: number, caseOf: (window: number) => DeviceCase = () => ({}), seed = 1) {
  const simulated = new SimulatedDevice(0, seed);
  const device = new DeviceDrift(deviceId(0));
  let now = START;
  const send = (change: Partial<EdgeSketches> = {}, endedAt?: number, what: DeviceCase = {}, at = device) => {
    const record = simulated.sketch(what, change);
    return at.sketch(record, endedAt ?? now, Math.max(now, START), reference, foldSettings);
  };
  const step = (what: DeviceCase = {}, change: Partial<EdgeSketches> = {}) => {
    now += WINDOW_MS;
    return send(change, now, what);
  };
  for (let window = 0; window < windows; window++) step(caseOf(window));
  return { device, send, step, simulated, now: () => now };
}

const drifting = () => deviceAfter(110, (window) => (window < 45 ? {} : { fault: "dark" }));

describe("a window that cannot be used is refused by name, and disturbs nothing", () => {
  const good = new SimulatedDevice(0, 1).sketch({});
  const [first, ...others] = good.histograms as [
    EdgeSketches["histograms"][number],
    ...EdgeSketches["histograms"][number][],
  ];
  const withCounts = (counts: readonly bigint[]) => ({ histograms: [{ ...first, counts: [...counts] }, ...others] });
  test.each<[string, Partial<EdgeSketches>, number]>([
    ["device-mismatch", { deviceId: "other" }, WINDOW_MS],
    ["package-unknown", { modelDigest: "ef".repeat(32) }, WINDOW_MS],
    ["window-length-invalid", { windowMs: 0 }, WINDOW_MS],
    ["window-length-invalid", { windowMs: Number.NaN }, WINDOW_MS],
    ["window-length-invalid", { windowMs: DAY + 1 }, WINDOW_MS],
    ["window-in-the-future", {}, WINDOW_MS + 1],
    ["window-in-the-future", { ageMs: -1 }, WINDOW_MS],
    ["window-in-the-future", { ageMs: Number.NaN }, WINDOW_MS],
    ["window-too-old", {}, WINDOW_MS - 7 * DAY - 1],
    ["window-overlaps", {}, WINDOW_MS * 0.4],
    ["temperature-invalid", { temperature: Number.NaN }, WINDOW_MS],
    ["feature-unknown", { histograms: [{ ...first, feature: "sharpness" }] }, WINDOW_MS],
    ["feature-unknown", { histograms: [first, first] }, WINDOW_MS],
    ["counts-invalid", withCounts(first.counts.slice(1)), WINDOW_MS],
    ["counts-invalid", withCounts(first.counts.map(() => -1n)), WINDOW_MS],
    ["counts-invalid", { labels: { cat: -1n } }, WINDOW_MS],
    ["class-unknown", { labels: { unicorn: 1n } }, WINDOW_MS],
    ["window-empty", { histograms: [], labels: {} }, WINDOW_MS],
  ])("%s", (outcome, change, endsAfter) => {
    const { device, step, simulated, now } = deviceAfter(3);
    const before = device.findings();
    const at = now() + WINDOW_MS;
    const record = simulated.sketch({}, change);
    expect(device.sketch(record, now() + endsAfter, at, reference, foldSettings)).toBe(outcome);
    expect(device.findings()).toEqual(before);
    expect(step()).toBe("folded");
  });

  test("a window that is delivered again changes nothing", () => {
    const { device, now } = deviceAfter(3);
    const record = new SimulatedDevice(0, 1).sketch({});
    expect(device.sketch(record, now() + WINDOW_MS, now() + WINDOW_MS, reference, foldSettings)).toBe("repeated");
  });

  test("1,000 windows at once are no more windows than there is time", () => {
    const { device, simulated, now } = deviceAfter(45);
    const record = simulated.sketch({ fault: "dark" });
    const at = now() + WINDOW_MS * 0.4;
    const outcomes = Array.from({ length: 1_000 }, (_, i) =>
      device.sketch({ ...record, seq: record.seq + BigInt(i) }, at, at, reference, foldSettings),
    );
    expect(outcomes.filter((outcome) => outcome === "folded")).toHaveLength(0);
    expect(device.findings().cameras[0]?.drift).toBeNull();
  });

  test("cameras come and go; more than 64 are refused until old ones have been silent for a week", () => {
    const { device, send, now } = deviceAfter(1);
    const outcomes = Array.from({ length: 80 }, (_, i) => send({ cameraId: `c${i}` }));
    expect(outcomes.filter((outcome) => outcome === "cameras-too-many")).toHaveLength(17);
    const later = now() + 8 * DAY;
    const record = new SimulatedDevice(0, 2).sketch({}, { cameraId: "new", seq: 1_000n });
    expect(device.sketch(record, later, later, reference, foldSettings)).toBe("folded");
    expect(device.findings().cameras.map(({ cameraId }) => cameraId)).toEqual(["new"]);
  });
});

describe("a camera", () => {
  test("is alarmed when it changes, with its onset and its shift", () => {
    const { device } = drifting();
    const { drift } = device.findings().cameras[0] as {
      drift: NonNullable<unknown> & {
        since: number;
        shifts: ArrayLike<number>;
        alarms: readonly { counts: ArrayLike<number> }[];
        history: readonly { at: number }[];
      };
    };
    expect(Math.abs(drift.since - (START + 45 * WINDOW_MS))).toBeLessThan(6 * WINDOW_MS);
    const luminance = reference.streams.findIndex(({ name }) => name === "luminance");
    expect(drift.shifts[luminance]).toBeLessThan(-0.2);
    expect(Array.from(drift.alarms[0]?.counts ?? [])).toHaveLength(32);
    expect(drift.history[0]?.at).toBeLessThan(drift.since);
  });

  test.each<[string, Partial<EdgeSketches>]>([
    ["temperature", { temperature: 2 }],
    ["preprocessing", { preprocessingDigest: "00".repeat(32) }],
  ])("starts its baseline again with another %s", (_, change) => {
    const { device, step } = drifting();
    expect(device.findings().cameras[0]?.drift).not.toBeNull();
    expect(step({}, change)).toBe("folded");
    expect(device.findings().cameras[0]).toMatchObject({ isCompared: false, drift: null });
  });
});

describe("labels", () => {
  test("a label counts whether it comes before or after its frame, and whether again", () => {
    const [early, late] = [new DeviceDrift(deviceId(0)), new DeviceDrift(deviceId(0))];
    expect(early.groundTruth(truth(0, 1, "dog"), reference)).toBe("frame-unknown");
    early.predictions(predictions(0, 1, "cat"), START, reference);
    late.predictions(predictions(0, 1, "cat"), START, reference);
    expect(late.predictions(predictions(0, 1, "cat"), START, reference)).toBe(0);
    expect(late.groundTruth(truth(0, 1, "dog"), reference)).toBe("used");
    expect(early.findings()).toEqual(late.findings());
    expect(late.findings().draws).toMatchObject([{ cameraId: "front", at: START, truth: 1, loss: true }]);
  });

  test("a correction holds, and a label without a class or of an unknown one is no evidence", () => {
    const device = new DeviceDrift(deviceId(0));
    device.predictions(predictions(0, 1, "cat"), START, reference);
    expect(device.groundTruth(truth(0, 1, "dog"), reference)).toBe("used");
    expect(device.groundTruth(truth(0, 1, "cat"), reference)).toBe("used");
    expect(device.findings().draws).toMatchObject([{ loss: false }]);
    expect(device.groundTruth(truth(0, 1, "unicorn"), reference)).toBe("class-unknown");
    expect(device.findings().draws).toEqual([]);
    expect(device.groundTruth(truth(0, 1, null), reference)).toBe("without-class");
    expect(device.groundTruth(truth(0, 1, "dog"), reference)).toBe("used");
    expect(device.findings().draws).toMatchObject([{ loss: true }]);
    expect(device.groundTruth(truth(0, 1, "cat"), undefined)).toBe("package-unknown"); // The one before does not hold any more.
    expect(device.findings().draws).toEqual([]);
    expect(device.predictions(predictions(0, 2, "unicorn"), START, reference)).toBe(0);
    expect(device.predictions({ ...predictions(0, 3, "cat"), modelDigest: "ef".repeat(32) }, START, reference)).toBe(0);
  });

  test("what is kept is bounded, and labelled frames stay longest", () => {
    const device = new DeviceDrift(deviceId(0));
    for (let seq = 1; seq <= 1_000; seq++) device.predictions(predictions(0, seq, "cat"), START + seq, reference);
    expect(device.groundTruth(truth(0, 1, "cat"), reference)).toBe("frame-unknown");
    expect(device.groundTruth(truth(0, 800, "cat"), reference)).toBe("used");
    for (let seq = 1_001; seq <= 2_000; seq++) device.predictions(predictions(0, seq, "cat"), START + seq, reference);
    expect(device.findings().draws).toMatchObject([{ at: START + 800 }]);
    expect(device.encode().length).toBeLessThan(8_000);
  });
});

describe("a stored state", () => {
  test("has the true class of each labelled frame", () => {
    const device = new DeviceDrift(deviceId(0));
    for (const seq of [1, 2, 3]) device.predictions(predictions(0, seq, "cat"), START + seq, reference);
    device.groundTruth(truth(0, 1, "fox"), reference);
    device.groundTruth(truth(0, 2, "cat"), reference);
    const bytes = device.encode();
    const expected = [
      { truth: 2, loss: true },
      { truth: 0, loss: false },
    ];
    expect(DeviceDrift.decode(deviceId(0), bytes).findings().draws).toMatchObject(expected);
  });

  test("continues as if nothing had happened", () => {
    const { device, simulated, now } = drifting();
    device.predictions(predictions(0, 1, "cat"), START, reference);
    device.groundTruth(truth(0, 1, "dog"), reference);
    device.groundTruth(truth(0, 9, "dog"), reference);
    const again = DeviceDrift.decode(device.deviceId, device.encode());
    expect(again.findings()).toEqual(device.findings());
    for (let window = 1; window <= 20; window++) {
      const record = simulated.sketch({});
      for (const one of [device, again])
        one.sketch(record, now() + window * WINDOW_MS, now() + DAY, reference, foldSettings);
    }
    expect(again.findings()).toEqual(device.findings());
    expect(again.encode()).toEqual(device.encode());
  });

  test("continues as if nothing had happened, in the middle of a day of several parts (camera-watch.ts K2)", () => {
    const settings = { ...foldSettings, detector: { ...foldSettings.detector, baselineWindows: 8, dayParts: 2 } };
    const simulated = new SimulatedDevice(0, 1);
    const device = new DeviceDrift(deviceId(0));
    const windowMs = DAY / 24;
    const sendTo = (devices: readonly DeviceDrift[], window: number) => {
      const record = simulated.sketch(window < 110 ? {} : { fault: "dark" }, { windowMs });
      const endedAt = START + window * windowMs;
      for (const one of devices) expect(one.sketch(record, endedAt, endedAt, reference, settings)).toBe("folded");
    };
    for (let window = 1; window <= 200; window++) sendTo([device], window);
    const again = DeviceDrift.decode(device.deviceId, device.encode());
    for (let window = 201; window <= 215; window++) sendTo([device, again], window);
    expect(again.encode()).toEqual(device.encode());
    const [camera] = again.findings().cameras;
    expect([camera, camera?.days?.last?.[3]]).toEqual([device.findings().cameras[0], expect.closeTo(-0.3, 1)]);
    expect(camera?.drift).not.toBeNull();
  });

  test("that is cut off, longer, of another format or damaged is refused, or is a state", () => {
    const bytes = drifting().device.encode();
    const decode = (of: Uint8Array) => () => DeviceDrift.decode(deviceId(0), of);
    const refused = expect.objectContaining({ code: "drift-state-invalid" });
    for (let length = 0; length < bytes.length; length += 67) expect(decode(bytes.slice(0, length))).toThrow(refused);
    expect(decode(Uint8Array.from([...bytes, 0]))).toThrow(refused);
    expect(decode(Uint8Array.from([9, ...bytes.slice(1)]))).toThrow(refused);
    const random = seededRandom(1);
    for (let i = 0; i < 100; i++) {
      const damaged = bytes.slice();
      damaged[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      try {
        DeviceDrift.decode(deviceId(0), damaged).findings();
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
      }
    }
  });
});

test.each<[string, Partial<DriftDocuments>]>([
  ["counts no frames", { sketch: { ...documents.sketch, frames: 0 } }],
  [
    "has no counts of confidence",
    {
      sketch: {
        ...documents.sketch,
        histograms: documents.sketch.histograms.map((histogram) => ({
          ...histogram,
          counts: new Array<number>(32).fill(0),
        })),
      },
    },
  ],
  ["more frames than", { golden: { frames: [] } }],
  ["confusion matrix is not 4 x 4", { confusion: { formatVersion: 1, counts: [[1]], means: {} } }],
])("a package whose reference %s is no reference", (why, change) => {
  expect(() => driftReferenceOf(DIGEST, { ...documents, ...change })).toThrow(why);
});
