/** What a partition does where its memory cannot be written or read: partition-worker.ts W3, rebuild.ts R2. */
import { describe, expect, test } from "@jest/globals";
import { Classifications, type EdgePredictions, RouterState, topics } from "@tributary/contracts";
import type { InRecord, OutRecord, PartitionFence, PartitionReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { Fleet, SettlementPartition } from "@tributary/settlement";
import { createTelemetry } from "@tributary/telemetry";
import { someAnswer, somePrediction, somePredictions } from "@tributary/testing";
import { PartitionWorker } from "./partition-worker.ts";
import { rebuild } from "./rebuild.ts";

/** One partition of every topic, in memory. */
class Log implements PartitionReader, PartitionFence {
  readonly records = new Map<string, InRecord[]>();

  of(topic: string): InRecord[] {
    const records = this.records.get(topic) ?? [];
    this.records.set(topic, records);
    return records;
  }

  put({ topic, key, value }: OutRecord) {
    const offset = BigInt(this.of(topic).length);
    this.of(topic).push({ topic, partition: 0, offset, key, value, headers: {}, timestamp: Date.now() });
    return { topic, partition: 0, offset };
  }

  claim = async () => ({ send: async (records: readonly OutRecord[]) => records.map((record) => this.put(record)) });
  partitions = async () => [0];
  offsets = async (topic: string) => ({ earliest: 0n, next: BigInt(this.of(topic).length) });
  async *read(topic: string, _partition: number, { from = 0n }: { from?: bigint } = {}) {
    yield* this.of(topic).slice(Number(from));
  }
  close = async () => {};

  get answered(): string[] {
    return this.of(topics.classifications.name).flatMap((record) => {
      const { deviceId, answers } = Classifications.decodeConfluent(record.value as Buffer);
      return answers.map((answer) => `${deviceId}:${answer.frameSeq}`);
    });
  }
}

const telemetryOf = () => createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
const empty = () => new SettlementPartition({ fleet: new Fleet(), target: "default" });

describe("a partition's memory", () => {
  test("is thrown away when it cannot be written: one record's fault costs no other its answers (W3, G2)", async () => {
    const log = new Log();
    const worker = new PartitionWorker({
      number: 0,
      empty,
      reader: log,
      fence: log,
      clock: systemClock,
      telemetry: telemetryOf(),
      onUnfair: () => {},
    });
    const batch = (deviceId: string, capturedAt: number): EdgePredictions =>
      somePredictions({
        deviceId,
        predictions: [
          somePrediction({ capturedAt, escalation: "QUEUED", reason: "SAMPLE" }),
          somePrediction({ capturedAt, frameSeq: 2n }),
        ],
      });
    // As if `usable.ts` did not refuse it: no timestamp of ours is so far away.
    const items = [batch("good-1", 1e12), batch("poison", 1e16), batch("good-2", 1e12)];
    const handle = (some: readonly EdgePredictions[]) =>
      worker.handle(some, (partition, item, now, effects) => partition.predictions(item, now, now, effects), 1_024);
    await expect(handle(items)).rejects.toThrow("Classifications");
    // What the service kit does then: one by one.
    await handle(items.slice(0, 1));
    await expect(handle(items.slice(1, 2))).rejects.toThrow("Classifications");
    await handle(items.slice(2));
    expect(new Set(log.answered.filter((frame) => frame.startsWith("good")))).toEqual(
      new Set(["good-1:2", "good-2:2"]),
    );
    await worker.revoke();
  });

  test("is rebuilt without what cannot be read (R2, G8)", async () => {
    const log = new Log();
    const state = (deviceId: string, answer: Buffer): OutRecord => ({
      topic: topics.routerState.name,
      key: deviceId,
      value: RouterState.encodeConfluent({
        deviceId,
        classificationsOffset: 1n,
        replayFrom: 0n,
        savedAt: Date.now(),
        windows: [],
        frames: [
          {
            bootId: 1n,
            cameraId: "cam",
            frameSeq: 1n,
            settled: false,
            predictionSeen: true,
            frameSeen: false,
            deadlineAt: Date.now() + 2_000,
            target: null,
            capturedAtEstimate: Date.now(),
            answer,
          },
        ],
      }),
    });
    const whole = (deviceId: string) =>
      Classifications.encodeConfluent({ deviceId, bootId: 1n, answers: [someAnswer()] });
    log.put(state("good", whole("good")));
    log.put(state("torn", whole("torn").subarray(0, 20)));
    log.put({ topic: topics.classifications.name, key: "torn", value: whole("torn") });
    const telemetry = telemetryOf();
    const signal = new AbortController().signal;
    const { partition, answers, known } = await rebuild({ reader: log, number: 0, empty, telemetry, signal });
    expect([partition.snapshot("good")?.frames.length, answers, known]).toEqual([1, 1, 1n]);
    expect(partition.snapshot("torn")?.frames).toMatchObject([{ settled: true }]); // known by its answer alone
    expect(await telemetry.metrics()).toContain("tributary_router_states_unreadable_total 1");
  });
});
