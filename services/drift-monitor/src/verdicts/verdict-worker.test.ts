/** Who decides verdicts, and from what: verdict-worker.ts. Causes are the core's tests. */
import { describe, expect, test } from "@jest/globals";
import { type DriftVerdict, topics } from "@tributary/contracts";
import { DriftReviews, verdictDefaults } from "@tributary/drift";
import { systemClock } from "@tributary/kernel";
import {
  MemoryKafka,
  silentTelemetry,
  someDigest,
  someDriftReview,
  someRegistration,
  someReported,
} from "@tributary/testing";
import { VerdictWorker } from "./verdict-worker.ts";

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;

/** A fleet of three devices; golden frames of the first one fail. */
function rig(kafka = new MemoryKafka({ now: () => NOW - 1_000 }), reviews = new DriftReviews()) {
  const at = { now: NOW, lag: 0n };
  const worker = new VerdictWorker({
    fence: kafka,
    reader: kafka,
    reviews,
    referenceOf: () => undefined,
    lag: async () => at.lag,
    settings: { ...verdictDefaults, settleMs: 0 },
    closedMsMax: DAY_MS,
    clock: { ...systemClock, now: () => at.now },
    random: () => 0.5,
    telemetry: silentTelemetry(),
  });
  return { kafka, worker, at };
}

function report(kafka: MemoryKafka, deviceId: string, failed: number): void {
  kafka.put(topics.registry, deviceId, someRegistration({ deviceId }));
  const golden = { at: NOW - 2_000, modelDigest: someDigest, frames: 8, failed, logits: [] };
  kafka.put(topics.reported, deviceId, someReported({ deviceId, golden, goldenPassed: failed === 0 }));
}

const written = (kafka: MemoryKafka): readonly string[] =>
  kafka.values(topics.driftVerdicts).map((one: DriftVerdict) => `${one.cause} ${one.state} v${one.version}`);

describe("the verdict writer", () => {
  test("writes a verdict once, whoever looks, and closes it when its evidence is gone (V2)", async () => {
    const { kafka, worker, at } = rig();
    for (const [i, deviceId] of ["one", "two", "three"].entries()) report(kafka, deviceId, i === 0 ? 3 : 0);
    await worker.look();
    await worker.look();
    expect([...worker.open.unexpected]).toEqual([["PREPROCESSING", 1]]);
    await worker.revoke();
    const next = rig(kafka).worker;
    await next.look();
    expect(written(kafka)).toEqual(["PREPROCESSING OPEN v1"]);

    report(kafka, "one", 0);
    await new Promise(setImmediate);
    await next.look();
    expect(written(kafka)).toEqual(["PREPROCESSING OPEN v1", "PREPROCESSING CLOSED v2"]);
    await next.revoke();

    at.now = NOW + 2 * DAY_MS; // closed verdicts are deleted
    const late = rig(kafka);
    late.at.now = at.now;
    await late.worker.look();
    await late.worker.revoke();
    expect(kafka.records(topics.driftVerdicts).at(-1)?.value).toBeNull();
  });

  test("what a person answered holds for whoever decides, also before its log is read again", async () => {
    const reviews = new DriftReviews();
    const { kafka, worker, at } = rig(undefined, reviews);
    report(kafka, "one", 3);
    await worker.look();
    const { verdictId, openedAt, version, cause: found } = kafka.values(topics.driftVerdicts)[0] as DriftVerdict;
    const about = { verdictId, openedAt, version, found, devices: [] };
    reviews.take(someDriftReview({ ...about, kind: "KNOWN", until: NOW + DAY_MS }), { offset: 0n, at: NOW });
    await worker.look();
    expect(kafka.values(topics.driftVerdicts)[1]).toMatchObject({ version: 2n, review: { kind: "KNOWN", by: "ann" } });
    expect([[...worker.open.unexpected], [...worker.open.known]]).toEqual([[], [["PREPROCESSING", 1]]]);
    await worker.revoke();
    const next = rig(kafka);
    await next.worker.look();
    expect([...next.worker.open.known]).toEqual([["PREPROCESSING", 1]]);
    at.now = next.at.now = NOW + DAY_MS;
    expect([...next.worker.open.unexpected]).toEqual([["PREPROCESSING", 1]]);
    await next.worker.look();
    expect(written(kafka)).toHaveLength(2);
    await next.worker.revoke();
  });

  test("after a write that failed, everything is claimed and read again (V1)", async () => {
    const { kafka, worker } = rig();
    report(kafka, "one", 3);
    kafka.before = (call) => {
      if (call === "send") throw new Error("Kafka is away");
    };
    await expect(worker.look()).rejects.toMatchObject({ code: "partition-send-failed" });
    expect([worker.isReady, written(kafka)]).toEqual([false, []]);
    kafka.before = undefined;
    await worker.inTurn(async () => {});
    await worker.look();
    expect(written(kafka)).toEqual(["PREPROCESSING OPEN v1"]);
    await worker.revoke();
    await expect(worker.inTurn(async () => {})).rejects.toMatchObject({ code: "partition-revoked" });
  });

  test("does not look before the sketches that piled up are folded (V3)", async () => {
    const { kafka, worker, at } = rig();
    report(kafka, "one", 3);
    at.lag = 100_000n;
    await worker.look();
    expect(written(kafka)).toEqual([]);
    at.lag = 10n;
    await worker.look();
    at.lag = 100_000n; // later it does not ask any more
    report(kafka, "one", 0);
    await new Promise(setImmediate);
    await worker.look();
    expect(written(kafka)).toHaveLength(2);
    await worker.revoke();
  });
});
