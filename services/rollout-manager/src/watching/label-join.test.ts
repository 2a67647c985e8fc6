import { describe, expect, test } from "@jest/globals";
import { formatFrameId } from "@tributary/kernel";
import { someBootId, someDigest, somePrediction } from "@tributary/testing";
import { LabelJoin } from "./label-join.ts";

const batch = { deviceId: "d", bootId: someBootId, modelDigest: someDigest };
const { sampleCorrectness: expected } = somePrediction({});
const drawn = (frameSeq: bigint, change: object = {}) =>
  somePrediction({ frameSeq, label: "cat", sampleDrawn: true, samplePropensity: 0.02, ...change });
const truth = (frameSeq: bigint, label: string | null) => ({
  deviceId: "d",
  bootId: someBootId,
  cameraId: "cam",
  frameSeq,
  label,
  source: "PERSON" as const,
  labelledBy: "ann",
  labelledAt: 1,
  labelSet: null,
  comment: null,
  frameAt: null,
});
const limits = { drawnFramesMax: 100, labelsWaitingMax: 100, labelledFramesMax: 100 };
let offset = 0n;
const place = () => ({ timestamp: 20, offset: offset++ });
/** Takes everything, as a round does. */
const join = (change: object = {}) => {
  const one = new LabelJoin({ ...limits, ...change }, 0.02);
  const label = (frameSeq: bigint, name: string | null) => one.labelled(truth(frameSeq, name), place());
  const take = () =>
    one
      .take(100)
      .map(({ frame: _, isRetracted, ...judgement }) => ({ ...judgement, ...(isRetracted && { isRetracted }) }));
  return {
    predicted: one.predicted.bind(one),
    answered: one.answered.bind(one),
    label,
    take,
    outcomes: () => Object.fromEntries(one.takeOutcomes()),
  };
};

describe("accuracy from labels", () => {
  test("weighs a frame by how rarely its like is drawn; a missing label is missing (A1, A2)", () => {
    const one = join();
    one.predicted(batch, drawn(1n), 10);
    one.predicted(batch, drawn(2n, { samplePropensity: 0.04 }), 11);
    one.predicted(batch, drawn(3n), 12);
    one.label(1n, "cat");
    one.label(2n, "dog");
    expect(one.take()).toEqual([
      { deviceId: "d", metric: "accuracy", digest: someDigest, good: 1, frames: 1, at: 10, label: "cat", expected },
      { deviceId: "d", metric: "accuracy", digest: someDigest, good: 0, frames: 0.5, at: 11, label: "dog", expected },
    ]);
    expect(one.take()).toEqual([]);
  });

  test("is the system's as well, once its answer is known, before or after the label (A5)", () => {
    const one = join();
    const [first, second] = [1n, 2n].map((frameSeq) => formatFrameId({ ...batch, cameraId: "cam", frameSeq }));
    one.predicted(batch, drawn(1n), 10);
    one.answered(first as string, { policyVersion: "v", label: "dog" });
    one.predicted(batch, drawn(2n), 11);
    for (const frameSeq of [1n, 2n]) one.label(frameSeq, "dog");
    const ofDevice = {
      deviceId: "d",
      metric: "accuracy",
      digest: someDigest,
      good: 0,
      frames: 1,
      label: "dog",
      expected,
    };
    const ofSystem = { deviceId: "d", metric: "system-accuracy", digest: "v", frames: 1, label: "dog", expected };
    expect(one.take()).toEqual([
      { ...ofDevice, at: 10 },
      { ...ofSystem, good: 1, at: 10 },
      { ...ofDevice, at: 11 },
    ]);
    one.answered(second as string, { policyVersion: "v", label: "cat" });
    one.answered(second as string, { policyVersion: "v", label: "dog" });
    expect(one.take()).toEqual([{ ...ofSystem, good: 0, at: 11 }]);
  });

  test("of a frame that LITE answered is the system's alone", () => {
    const one = join();
    one.predicted(batch, drawn(1n, { level: "LITE" }), 10);
    one.answered(formatFrameId({ ...batch, cameraId: "cam", frameSeq: 1n }), { policyVersion: "v", label: "cat" });
    one.label(1n, "cat");
    expect(one.take().map(({ metric, good }) => [metric, good])).toEqual([["system-accuracy", 1]]);
  });

  test.each([
    ["not drawn", { sampleDrawn: false }],
    ["an absurd propensity", { samplePropensity: 0 }],
    ["more than certain", { samplePropensity: 1.5 }],
    ["none at all", { samplePropensity: Number.NaN }],
  ])("%s counts for nothing", (_, change) => {
    const one = join();
    one.predicted(batch, drawn(1n, change), 10);
    one.label(1n, "cat");
    expect(one.take()).toEqual([]);
  });

  test("labels may come first, the newest holds, one without a class takes its frame out (A2, A3)", () => {
    const one = join();
    one.label(1n, "dog");
    one.label(1n, "cat");
    one.label(2n, "cat");
    one.label(2n, null);
    one.predicted(batch, drawn(1n), 10);
    one.predicted(batch, drawn(2n), 10);
    expect(one.take().map(({ good }) => good)).toEqual([1]);
    one.label(1n, "dog");
    one.predicted(batch, drawn(1n), 10);
    expect(one.take().map(({ good, label, isRetracted }) => [good, label, isRetracted === true])).toEqual([
      [1, "cat", true],
      [0, "dog", false],
    ]);
    expect(one.outcomes()).toEqual({ counted: 1, "without-class": 1, corrected: 1 });
    one.label(1n, null);
    one.label(2n, "cat");
    expect(one.take().map(({ good, label, isRetracted }) => [good, label, isRetracted === true])).toEqual([
      [0, "dog", true],
      [1, "cat", false],
    ]);
    one.label(2n, "cat");
    expect(one.take()).toEqual([]);
  });

  test("waiting frames and labels are bounded, and the oldest is dropped (A4)", () => {
    const one = join({ drawnFramesMax: 2, labelsWaitingMax: 2 });
    for (const seq of [1n, 2n, 3n]) one.predicted(batch, drawn(seq), 10);
    for (const seq of [7n, 8n, 1n, 2n]) one.label(seq, "cat");
    expect(one.take()).toHaveLength(1);
    expect(one.outcomes()).toMatchObject({ counted: 1, "frame-unknown": 1 });
  });
});
