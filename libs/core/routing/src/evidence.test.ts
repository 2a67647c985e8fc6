import { describe, expect, test } from "@jest/globals";
import type { CloudResult, EdgePrediction, EdgePredictions, GroundTruth } from "@tributary/contracts";
import { EvidenceLedger, evidenceLimits, relearn } from "./index.ts";
import { SeenFrames } from "./seen-frames.ts";
import { complete, learnWorld } from "./testing/world.ts";

const policy = complete(learnWorld(1));
const frame = { deviceId: "device-1", bootId: 7n, cameraId: "cam" } as const;

const batch = (predictions: readonly Partial<EdgePrediction>[]): EdgePredictions => ({
  ...frame,
  seq: 1n,
  modelDigest: policy.modelDigest,
  preprocessingDigest: "p",
  policyVersion: policy.policyVersion,
  arm: "default",
  clockState: "SYNCHRONIZED",
  traceparent: null,
  predictions: predictions.map((change) => ({
    wouldSend: null,
    worldDigest: null,
    context: null,
    level: "FULL",
    cameraId: "cam",
    frameSeq: 1n,
    label: "class-1",
    confidence: 0.6,
    margin: 0.3,
    entropy: 0.8,
    score: 0.1,
    ageMs: 1,
    latencyMs: 1,
    capturedAt: null,
    reason: "SAMPLE",
    deadlineMs: 2_000,
    escalation: "QUEUED",
    dropReason: "NONE",
    sampleCorrectness: 0.6,
    samplePropensity: 0.02,
    sampleDrawn: true,
    ...change,
  })),
});
const answer = (frameSeq: bigint, change: Partial<CloudResult> = {}): CloudResult => ({
  ...frame,
  frameSeq,
  target: "default",
  arm: "default",
  outcome: "ANSWERED",
  label: "class-2",
  confidence: 0.9,
  margin: 0.8,
  failureCode: null,
  modelDigest: null,
  latencyMs: 1,
  costMicros: 1n,
  attempts: 1,
  answeredBy: null,
  servedBy: null,
  traceparent: null,
  ...change,
});
const truth = (frameSeq: bigint, label: string | null): GroundTruth => ({
  ...frame,
  frameSeq,
  label,
  source: "PERSON",
  labelledBy: "",
  labelledAt: 0,
  labelSet: null,
  comment: null,
  frameAt: null,
});

describe("evidence", () => {
  test("evidence.ts E1: each label has an outcome with a name, and only labelled, drawn, answered frames are evidence", () => {
    const ledger = new EvidenceLedger();
    ledger.predictions(
      batch([{ frameSeq: 1n }, { frameSeq: 2n, sampleDrawn: false }, { frameSeq: 3n }, { frameSeq: 4n }]),
      0,
    );
    for (const seq of [1n, 2n, 3n]) ledger.result(answer(seq));
    ledger.result(answer(4n, { outcome: "FAILED", label: null }));
    for (const seq of [1n, 2n, 4n, 9n]) ledger.label(truth(seq, "class-2"), 0);
    ledger.label(truth(3n, "unicorn"), 0);
    const { evidence, changed } = ledger.judge([policy]);
    expect(changed.map(({ frameId, outcome }) => [frameId, outcome])).toEqual([
      ["device-1:7:cam:1", "used"],
      ["device-1:7:cam:2", "frame-not-sampled"],
      ["device-1:7:cam:4", "cloud-silent"],
      ["device-1:7:cam:9", "frame-unknown"],
      ["device-1:7:cam:3", "class-unknown"],
    ]);
    expect(evidence[0]).toEqual([expect.objectContaining({ edgeRight: false, cloudRight: true, propensity: 0.02 })]);
    expect(ledger.judge([policy]).changed).toEqual([]); // each is returned once
    expect(ledger.judge([]).changed).toHaveLength(3); // drawn frames of a model without a policy
  });

  test("evidence.ts E2, E3: whatever the order of arrival the evidence is one; the last label holds, none takes the frame out", () => {
    const steps: ((ledger: EvidenceLedger) => void)[] = [
      (ledger) => ledger.predictions(batch([{ frameSeq: 1n }]), 0),
      (ledger) => ledger.result(answer(1n)),
      (ledger) => ledger.label(truth(1n, "class-1"), 0),
    ];
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      const ledger = new EvidenceLedger();
      for (const i of order) {
        steps[i]?.(ledger);
        ledger.judge([policy]);
      }
      expect(ledger.judge([policy]).evidence[0]).toEqual([
        expect.objectContaining({ edgeRight: true, cloudRight: false }),
      ]);
      ledger.label(truth(1n, "class-2"), 0);
      expect(ledger.judge([policy]).evidence[0]?.[0]).toMatchObject({ edgeRight: false, cloudRight: true });
      ledger.label(truth(1n, null), 0);
      expect(ledger.judge([policy])).toEqual({ evidence: [[]], changed: [] });
    }
  });

  test("agreement with the cloud alone is no evidence, however much of it there is", () => {
    const ledger = new EvidenceLedger();
    for (let seq = 1n; seq <= 5_000n; seq++) {
      ledger.predictions(batch([{ frameSeq: seq }]), 0);
      ledger.result(answer(seq, { label: "class-1" }));
    }
    const { evidence } = ledger.judge([policy]);
    expect(evidence).toEqual([[]]);
    expect(relearn(policy, evidence[0] ?? [])).toMatchObject({ kind: "no-data", labels: 0 });
  });

  test("evidence.ts E4: everything kept is bounded; a label whose frame was let go is found by reading the logs again", () => {
    const ledger = new EvidenceLedger({ ...evidenceLimits, drawnMax: 100, labelsMax: 50, answersWaitingMax: 10 });
    const logs = () => {
      for (let seq = 1n; seq <= 500n; seq++) ledger.predictions(batch([{ frameSeq: seq }]), Number(seq));
      for (let seq = 1n; seq <= 500n; seq++) ledger.result(answer(seq));
    };
    logs();
    expect(ledger.drawn).toBe(100);
    for (const seq of [3n, 450n]) ledger.label(truth(seq, "class-2"), 600, 7);
    expect(ledger.judge([policy]).changed.map(({ outcome }) => outcome)).toEqual(["frame-sought", "used"]);
    expect(ledger.seek()).toEqual(new Set([7]));
    logs();
    ledger.sought(7);
    expect(ledger.judge([policy]).changed).toEqual([expect.objectContaining({ outcome: "used" })]);
    expect(ledger.judge([policy]).evidence[0]).toHaveLength(2);
    expect(ledger.seek()).toEqual(new Set());

    for (let seq = 100n; seq <= 400n; seq++) ledger.label(truth(seq, "class-2"), 700 + Number(seq), 7);
    expect(ledger.labels).toBeLessThanOrEqual(55);
    expect(ledger.seek()).toEqual(new Set([7]));
    logs();
    ledger.sought(7);
    expect(ledger.judge([policy]).evidence[0]).toHaveLength(50);
    ledger.prune(2_000);
    expect([ledger.drawn, ledger.labels]).toEqual([0, 0]);
  });

  test("a device that draws without end, and invents cameras, leaves the others their frames", () => {
    const limits = { ...evidenceLimits, drawnMax: 100, answersWaitingMax: 10, camerasMax: 20 };
    const ledger = new EvidenceLedger(limits);
    const rogue = (frameSeq: bigint, cameraId: string) =>
      ledger.predictions({ ...batch([{ frameSeq, cameraId }]), deviceId: "rogue" }, 0);
    ledger.result(answer(9n)); // it comes before its prediction
    for (let seq = 1n; seq <= 5n; seq++) ledger.predictions(batch([{ frameSeq: seq }]), 0);
    for (let seq = 1n; seq <= 5n; seq++) ledger.result(answer(seq));
    for (let i = 1n; i <= 500n; i++) {
      rogue(i, `cam-${i}`);
      ledger.result({ ...answer(1_000n + i), deviceId: "rogue" });
    }
    ledger.predictions(batch([{ frameSeq: 9n }]), 0);
    expect(ledger.drawn).toBe(100);
    for (const seq of [1n, 5n, 9n]) ledger.label(truth(seq, "class-2"), 600);
    expect(ledger.judge([policy]).changed.map(({ outcome }) => outcome)).toEqual(["used", "used", "used"]);
    expect(ledger.seek()).toEqual(new Set());
  });

  test("frames are remembered as ranges, in whatever order they come", () => {
    const seen = new SeenFrames(2);
    for (const n of [5n, 3n, 4n, 9n, 1n, 4n, 8n]) seen.add("a", n);
    expect([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n].filter((n) => seen.has("a", n))).toEqual([
      1n,
      3n,
      4n,
      5n,
      8n,
      9n,
    ]);
    seen.add("b", 1n);
    seen.add("c", 1n);
    expect([seen.has("a", 5n), seen.has("b", 1n), seen.has("c", 1n)]).toEqual([false, true, true]);
    for (let n = 1n; n <= 6_000n; n += 2n) seen.add("c", n);
    expect(seen.has("c", 5_999n)).toBe(true);
    expect(seen.has("c", 1n)).toBe(true);
  });
});
