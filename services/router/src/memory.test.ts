/** What a partition does when its memory cannot be written or read: owned-partition.ts O3, rebuild.ts R2. */
import { describe, expect, test } from "@jest/globals";
import { Classifications, type EdgePredictions, RouterState, topics } from "@tributary/contracts";
import type { OutRecord } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { Admission, SettlementPartition } from "@tributary/routing/settlement";
import { MemoryKafka, silentTelemetry, someAnswer, somePrediction, somePredictions } from "@tributary/testing";
import { PartitionWorker } from "./partition-worker.ts";
import { rebuild } from "./rebuild.ts";

const answered = (kafka: MemoryKafka): string[] =>
  kafka
    .values(topics.classifications)
    .flatMap(({ deviceId, answers }) => answers.map((answer) => `${deviceId}:${answer.frameSeq}`));

const empty = () => new SettlementPartition({ admission: new Admission(), target: "default" });

describe("a partition's memory", () => {
  test("is thrown away when it cannot be written: one record's fault costs no other its answers (O3, G2)", async () => {
    const log = new MemoryKafka();
    const worker = new PartitionWorker({
      number: 0,
      empty,
      reader: log,
      fence: log,
      clock: systemClock,
      telemetry: silentTelemetry(),
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
    expect(new Set(answered(log).filter((frame) => frame.startsWith("good")))).toEqual(
      new Set(["good-1:2", "good-2:2"]),
    );
    await worker.revoke();
  });

  test("is rebuilt without unreadable records (R2, G8)", async () => {
    const log = new MemoryKafka();
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
    log.write(state("good", whole("good")));
    log.write(state("torn", whole("torn").subarray(0, 20)));
    log.write({ topic: topics.classifications.name, key: "torn", value: whole("torn") });
    const telemetry = silentTelemetry();
    const signal = new AbortController().signal;
    const { partition, answers, known } = await rebuild({ reader: log, number: 0, empty, telemetry, signal });
    expect([partition.snapshot("good")?.frames.length, answers, known]).toEqual([1, 1, 1n]);
    expect(partition.snapshot("torn")?.frames).toMatchObject([{ settled: true }]); // known by its answer alone
    expect(await telemetry.metrics()).toMatch(/records_malformed_total\{.*topic="router.state.v1".*\} 1/);
  });
});
