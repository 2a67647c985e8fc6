import { describe, expect, test } from "@jest/globals";
import {
  Classifications,
  type EdgeFrame,
  type EdgePrediction,
  type FinalAnswer,
  RouterState,
} from "@tributary/contracts";
import { Admission, admissionDefaults } from "./admission.ts";
import { Effects } from "./effects.ts";
import { SettlementPartition } from "./partition.ts";
import { aFrame, aPrediction, aResult, batchOf } from "./samples.test-kit.ts";
import { assertUsableFrame, assertUsablePredictions, assertUsableResult } from "./usable.ts";

const KEY = "device-1";
const codeOf = (check: () => void): string => {
  try {
    check();
    return "usable";
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
};

/** Every frame is sent, so that all stay open. */
const openHanded = () =>
  new Admission({
    ...admissionDefaults,
    budget: { ...admissionDefaults.budget, share: 1, burstMs: 3_600_000, eta: 0 },
  });

describe("a record that decodes", () => {
  test("is refused where it could not be written again (usable.ts U1, G8)", () => {
    const frames: [Partial<EdgeFrame>, string][] = [
      [{}, "usable"],
      [{ ageMs: 1e17 }, "duration-malformed"],
      [{ ageMs: Number.NaN }, "duration-malformed"],
      [{ capturedAt: 9e15 }, "captured-at-malformed"],
      [{ label: "x".repeat(129) }, "text-oversized"],
      [{ label: "\u4e2d".repeat(43) }, "text-oversized"],
      [{ modelDigest: "a".repeat(65) }, "text-oversized"],
      [{ traceparent: "a".repeat(65) }, "text-oversized"],
      [{ score: Number.NaN }, "number-malformed"],
      [{ confidence: Number.POSITIVE_INFINITY }, "number-malformed"],
      [{ cameraId: "../x" }, "camera-id-malformed"],
      [{ seq: 0n }, "seq-out-of-range"],
      [{ seq: 1n << 60n }, "seq-out-of-range"],
      [{ bootId: 0n, seq: 1n << 62n, frameSeq: 1n << 62n }, "usable"],
      [{ bootId: 0n, seq: 0n, frameSeq: 0n }, "seq-out-of-range"],
      [{ bootId: 0n, seq: 1n << 62n, frameSeq: 17n }, "seq-out-of-range"],
    ];
    for (const [change, code] of frames)
      expect([change, codeOf(() => assertUsableFrame(aFrame(change), KEY))]).toEqual([change, code]);
    const predictions: [Partial<EdgePrediction>, string][] = [
      [{}, "usable"],
      [{ capturedAt: -9e15 }, "captured-at-malformed"],
      [{ ageMs: 1e300 }, "duration-malformed"],
      [{ samplePropensity: Number.NaN }, "number-malformed"],
    ];
    for (const [change, code] of predictions) {
      expect(codeOf(() => assertUsablePredictions(batchOf([aPrediction(), aPrediction(change)]), KEY))).toBe(code);
    }
    expect(codeOf(() => assertUsableResult(aResult({ label: "x".repeat(200) }), KEY))).toBe("text-oversized");
    expect(codeOf(() => assertUsableResult(aResult({ label: null, confidence: null }), KEY))).toBe("usable");
    expect(codeOf(() => assertUsableFrame(aFrame(), "other"))).toBe("key-mismatch");
  });

  test("can, at the worst that passes, be written as answers and as one state (usable.ts U1)", () => {
    const long = {
      label: "l".repeat(128),
      cameraId: "c".repeat(64),
      capturedAt: 8.64e15,
      ageMs: 3e11,
      deadlineMs: 2_000,
    };
    const shared = {
      modelDigest: "d".repeat(64),
      policyVersion: "p".repeat(64),
      arm: "a".repeat(64),
      traceparent: "t".repeat(64),
    };
    const batch = batchOf(
      Array.from({ length: 1_024 }, (_, i) => aPrediction({ ...long, frameSeq: BigInt(i) })),
      shared,
    );
    assertUsablePredictions(batch, KEY);
    const partition = new SettlementPartition({ admission: openHanded(), target: "t".repeat(64) });
    const effects = new Effects();
    partition.predictions(batch, 1e12, 1e12, effects);
    for (const record of effects.answers)
      expect(Classifications.encodeConfluent(record).length).toBeLessThan(4_000_000);

    for (let seq = 1n; seq <= 4_096n; seq++) {
      const frame = aFrame({ ...long, ...shared, seq, frameSeq: 10_000n + seq, ageMs: 0, sampleDrawn: true });
      assertUsableFrame(frame, KEY);
      partition.frame(frame, 1e12, 1e12, effects);
    }
    const snapshot = partition.snapshot(KEY);
    expect(snapshot?.frames.length).toBe(4_096);
    const stored = RouterState.encodeConfluent({
      deviceId: KEY,
      classificationsOffset: 0n,
      replayFrom: 0n,
      savedAt: 1e12,
      windows: [],
      frames: (snapshot?.frames ?? []).map((open) => ({
        ...open,
        answer: Classifications.encodeConfluent({ deviceId: KEY, bootId: 7n, answers: [open.answer as FinalAnswer] }),
      })),
    });
    expect(stored.length).toBeLessThan(4_000_000);
  });
});
