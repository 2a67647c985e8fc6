import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { someAnswer, someFrame, somePrediction, somePredictions } from "@tributary/testing";
import { Accountant, lossesOf, reportOf } from "./account.ts";
import type { Shown } from "./ledger.ts";

const shown = (n: number, change: Partial<Shown> = {}): Shown => ({
  deviceId: "device-1",
  boot: "7",
  n,
  photo: n - 1,
  label: "cat",
  capturedAt: 1_000 * n,
  bytes: 4_000,
  ...change,
});
const answersOf = (...answers: ReturnType<typeof someAnswer>[]) => ({ deviceId: "device-1", bootId: 7n, answers });

describe("the verifier's account", () => {
  test.each([1, 2, 3, 4, 5])("finds exactly the frames without an answer (seed %d)", (seed) => {
    const random = seededRandom(seed);
    const frames = Array.from({ length: 200 }, (_, i) => shown(i + 1));
    const dropped = new Set(frames.filter(() => random() < 0.1).map(({ n }) => n));
    const accountant = new Accountant(frames);
    for (const { n } of frames) {
      if (!dropped.has(n)) accountant.classifications(answersOf(someAnswer({ frameSeq: BigInt(n) })), 0);
    }
    const { lost } = lossesOf(accountant.account());
    expect(new Set(lost.map(({ n }) => n))).toEqual(dropped);
  });

  test("takes the record of the lowest offset and counts later ones, differing ones apart", () => {
    const accountant = new Accountant([shown(1)]);
    accountant.classifications(answersOf(someAnswer({ label: "dog", source: "CLOUD" })), 10);
    accountant.classifications(answersOf(someAnswer({ label: "dog", source: "CLOUD" })), 20);
    accountant.classifications(answersOf(someAnswer({ label: "cat" })), 30);
    const account = accountant.account();
    expect(account).toMatchObject({ duplicates: 2, contradictions: 1 });
    expect(account.answered.get("device-1:7:1")).toMatchObject({ appendedAt: 10, answer: { label: "dog" } });
  });

  test("separates the uncommitted tail of a killed boot from a loss, and a gap is a loss", () => {
    const accountant = new Accountant([1, 2, 3, 4].map((n) => shown(n)));
    for (const n of [1n, 3n]) accountant.classifications(answersOf(someAnswer({ frameSeq: n })), 0);
    const numbers = (frames: readonly Shown[]) => frames.map(({ n }) => n);
    const { lost, uncommitted } = lossesOf(accountant.account(), { killed: new Set(["device-1:7"]) });
    expect([numbers(lost), numbers(uncommitted)]).toEqual([[2], [4]]);
    expect(numbers(lossesOf(accountant.account()).lost)).toEqual([2, 4]);
  });

  test("reports accuracies, latencies from capture to append, bytes and cost", () => {
    const accountant = new Accountant([shown(1), shown(2, { label: "dog" })]);
    accountant.predictions(somePredictions({ predictions: [somePrediction({ frameSeq: 1n, latencyMs: 9 })] }), 100);
    accountant.predictions(somePredictions({ bootId: 7n, predictions: [somePrediction({ frameSeq: 2n })] }), 100);
    accountant.frame(someFrame({ bootId: 7n, frameSeq: 2n, reason: "AMBIGUOUS" }), 4_300);
    // A light device's: beside those whose frames are counted.
    accountant.frame(someFrame({ deviceId: "light-1", frameSeq: 1n }), 9_000);
    accountant.predictions(somePredictions({ deviceId: "light-1" }), 1_000);
    accountant.classifications(answersOf(someAnswer({ frameSeq: 1n, edgeLabel: "cat", label: "cat" })), 1_250);
    const cloud = {
      source: "CLOUD",
      settledBy: "CLOUD_ANSWER",
      label: "dog",
      edgeLabel: "cat",
      costMicros: 120n,
    } as const;
    accountant.classifications(answersOf(someAnswer({ frameSeq: 2n, ...cloud })), 2_090);
    const report = reportOf(accountant.account(), 1);
    expect(report).toMatchObject({
      frames: 2,
      lost: 0,
      accuracy: {
        edge: { share: 0.5, frames: 2, photos: 2 },
        hybrid: { share: 1, frames: 2 },
        onCloudAnswers: { edge: { share: 0, frames: 1 }, cloud: { share: 1, frames: 1 } },
      },
      sent: 1,
      sentShare: 0.5,
      escalated: { ambiguous: 1, priority: 0, sample: 0 },
      cloudAnswers: 1,
      cloudShareOfSent: 1,
      agreementShare: 0,
      bytes: { sent: 4_500, ifAllSent: 8_000 },
      latencyMs: { kept: { p50: 250 }, sent: { p50: 90 } },
      costPerThousandFrames: 0.06,
    });
  });

  test("knows no accuracy without labels, and a photo shown again narrows no interval", () => {
    const of = (frames: readonly Shown[]) => {
      const accountant = new Accountant(frames);
      for (const { n } of frames)
        accountant.classifications(answersOf(someAnswer({ frameSeq: BigInt(n), label: "cat" })), 0);
      return reportOf(accountant.account(), 1).accuracy;
    };
    const { label: _, ...unlabelled } = shown(1);
    expect(of([unlabelled])).toBeNull();
    const once = Array.from({ length: 10 }, (_, i) => shown(i + 1));
    const often = Array.from({ length: 1_000 }, (_, i) => shown(i + 1, { photo: i % 10 }));
    expect(of(often)?.hybrid).toEqual({ ...of(once)?.hybrid, frames: 1_000 });
  });

  test("without a ledger, a number that no prediction names is a frame all the same", () => {
    const accountant = new Accountant([], ["device-1"]);
    const named = [1n, 2n, 4n].map((frameSeq) => somePrediction({ frameSeq, capturedAt: 1_000 }));
    accountant.predictions(somePredictions({ bootId: 7n, predictions: named }), 100);
    accountant.predictions(somePredictions({ deviceId: "light-1", predictions: named }), 100);
    for (const n of [1n, 2n, 4n]) accountant.classifications(answersOf(someAnswer({ frameSeq: n })), 1_100);
    const account = accountant.account();
    expect(lossesOf(account).lost.map(({ n }) => n)).toEqual([3]);
    expect(reportOf(account, 1)).toMatchObject({ frames: 4, lost: 1, accuracy: null, bytes: { ifAllSent: null } });
  });
});
