/** What a partition stores, and what it knows after a kill: partition-worker.ts, rebuild.ts. */
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { DriftState, type EdgePredictions, type EdgeSketches, type GroundTruth, topics } from "@tributary/contracts";
import { DeviceDrift, type DriftReference, DriftReviews, detectorDefaults, fleetStreams } from "@tributary/drift";
import { systemClock } from "@tributary/kernel";
import type { DecodedRecord } from "@tributary/service-kit";
import {
  MemoryKafka,
  silentTelemetry,
  someBootId,
  someDriftReview,
  somePrediction,
  somePredictions,
} from "@tributary/testing";
import { someReference, someSketches } from "./drift-monitor.test-kit.ts";
import { PartitionWorker } from "./partition-worker.ts";

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;
let reference: DriftReference;
beforeAll(async () => {
  reference = await someReference();
});

function rig(kafka = new MemoryKafka(), telemetry = silentTelemetry(), reviews = new DriftReviews()) {
  const worker = new PartitionWorker({
    number: 0,
    reader: kafka,
    fence: kafka,
    clock: { ...systemClock, now: () => NOW },
    telemetry,
    packages: { get: (digest) => (digest === reference.modelDigest ? reference : undefined), fetched: async () => {} },
    settings: () => ({ streams: fleetStreams(2), detector: detectorDefaults, reviews }),
  });
  return { kafka, worker, telemetry };
}

const records = <T extends { deviceId: string }>(values: readonly T[], key?: string): DecodedRecord<T>[] =>
  values.map((value, i) => ({
    topic: topics.sketches.name,
    partition: 0,
    offset: BigInt(i),
    key: key ?? value.deviceId,
    headers: {},
    timestamp: NOW,
    value,
  }));
const sketched = (deviceId: string, windows: number, more: object = {}) =>
  records(someSketches({ deviceId, reference, windows, ...more }));
const stored = (kafka: MemoryKafka) =>
  new Map(
    kafka.records(topics.driftState).flatMap(({ key, value }) => {
      const state = value === null ? "gone" : DriftState.decodeConfluent(value).state.toString("hex");
      return [[key, state] as const];
    }),
  );

describe("a partition", () => {
  test.each([
    ["it knows what it stored", false],
    ["a baseline that a person accepted starts once", true],
  ])("killed before a batch is committed, %s: the same states as without kills (W1)", async (_, isAccepted) => {
    const reviews = new DriftReviews();
    const devices = [{ deviceId: "one", cameras: ["front"] }];
    if (isAccepted) reviews.take(someDriftReview({ devices }), { offset: 7n, at: NOW - 15_500 });
    const whole = rig(undefined, undefined, reviews);
    const batch = [...sketched("one", 90, { darkFrom: 70 }), ...sketched("two", 90)];
    await whole.worker.sketches(batch);

    const { kafka } = rig();
    for (const from of [0, 30, 60, 110, 150]) {
      const { worker } = rig(kafka, undefined, reviews);
      await worker.sketches(batch.slice(from, from + 60)); // half of it is delivered again
      await worker.revoke();
    }
    expect([...stored(kafka).keys()].sort()).toEqual(["one", "two"]);
    expect(isDeepStrictEqual(stored(kafka), stored(whole.kafka))).toBe(true); // without the bytes in a failure's message
    const { state } = DriftState.decodeConfluent(kafka.records(topics.driftState).at(-1)?.value as Buffer);
    expect(DeviceDrift.decode("two", state).findings().cameras[0]?.applied).toBeUndefined();
    const hex = stored(kafka).get("one") ?? "";
    const [camera] = DeviceDrift.decode("one", Buffer.from(hex, "hex")).findings().cameras;
    expect(camera?.applied?.offset).toBe(isAccepted ? 7n : undefined);
  });

  test("a write that fails discards what is not stored, and the batch is folded again (O3)", async () => {
    const whole = rig();
    const batch = sketched("one", 40);
    await whole.worker.sketches(batch);
    const { kafka, worker } = rig();
    await worker.sketches(batch.slice(0, 20));
    kafka.before = (call) => {
      if (call === "send") throw new Error("Kafka is away");
    };
    await expect(worker.sketches(batch.slice(20))).rejects.toMatchObject({ code: "partition-send-failed" });
    kafka.before = undefined;
    await worker.sketches(batch.slice(20));
    expect(stored(kafka)).toEqual(stored(whole.kafka));
  });

  test("what cannot be folded is refused by name, and its neighbours are folded", async () => {
    const { kafka, worker, telemetry } = rig();
    const [first, second] = someSketches({ deviceId: "one", reference, windows: 2 }) as [EdgeSketches, EdgeSketches];
    await worker.sketches([
      ...records([{ ...first, deviceId: "two" }], "one"),
      ...records([{ ...first, deviceId: "a/b" }]),
      ...records([
        { ...first, modelDigest: "0".repeat(64), bootId: 1n },
        { ...first, histograms: [{ feature: "luminance", counts: [1n] }], bootId: 2n },
        first,
        second,
        second,
      ]),
    ]);
    expect([...stored(kafka).keys()]).toEqual(["one"]);
    const lines = (await telemetry.metrics()).split("\n");
    const counted = lines.flatMap(
      (line) => /^tributary_drift_windows_.*outcome="([a-z-]+)".* (\d+)$/.exec(line)?.slice(1) ?? [],
    );
    expect(counted.join(" ")).toBe("device-mismatch 2 package-unknown 1 counts-invalid 1 folded 2 repeated 1");
  });

  test("drawn frames that wait for a label survive a kill", async () => {
    const { kafka, worker } = rig();
    const batch = somePredictions({
      deviceId: "one",
      modelDigest: reference.modelDigest,
      predictions: [1n, 2n].map((frameSeq) => somePrediction({ frameSeq, label: "cat", sampleDrawn: true })),
    });
    await worker.predictions(records<EdgePredictions>([batch]));
    await worker.revoke();
    const next = rig(kafka).worker;
    const truth = { deviceId: "one", bootId: someBootId, cameraId: "cam", frameSeq: 2n, label: "dog" } as GroundTruth;
    await next.labels(records([truth]));
    await next.labels(records([truth], "two"));
    const { value } = kafka.records(topics.driftState).at(-1) as { value: Buffer };
    const { draws } = DeviceDrift.decode("one", DriftState.decodeConfluent(value).state).findings();
    expect(draws).toMatchObject([{ loss: true, cameraId: "cam" }]);
  });

  test("a state that cannot be read is skipped and counted: its device starts anew (R2)", async () => {
    const { kafka, worker, telemetry } = rig();
    kafka.put(topics.driftState, "torn", { deviceId: "torn", savedAt: NOW, state: Buffer.from([9, 9]) });
    await worker.sketches([...sketched("torn", 2), ...sketched("one", 2)]);
    expect([...stored(kafka).keys()]).toEqual(["torn", "one"]);
    expect(await telemetry.metrics()).toMatch(/records_malformed_total\{.*topic="drift.state.v1".*\} 1/);
  });

  test("devices that are silent for long are forgotten", async () => {
    const { kafka, worker } = rig();
    await worker.sketches(sketched("one", 2));
    const { state } = DriftState.decodeConfluent(kafka.records(topics.driftState)[0]?.value as Buffer);
    kafka.put(topics.driftState, "old", { deviceId: "old", savedAt: NOW - 31 * DAY_MS, state });
    const next = rig(kafka).worker;
    await next.prune(30 * DAY_MS);
    expect(stored(kafka).get("old")).toBe("gone");
    expect(stored(kafka).get("one")).not.toBe("gone");
  });
});
