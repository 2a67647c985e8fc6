import { describe, expect, test } from "@jest/globals";
import type { CloudResult, EdgeFrame, EdgePrediction, EdgePredictions } from "@tributary/contracts";
import { Admission, admissionDefaults } from "./admission.ts";
import { Effects } from "./effects.ts";
import { settlementLimits } from "./limits.ts";
import { SettlementPartition } from "./partition.ts";
import { aFrame, aPrediction, aResult, batchOf } from "./samples.test-kit.ts";

const T0 = 1_000_000;

type Step = (partition: SettlementPartition, effects: Effects) => void;
const frameAt =
  (at: number, change: Partial<EdgeFrame> = {}): Step =>
  (p, e) =>
    p.frame(aFrame(change), at, at, e);
const predictionAt =
  (at: number, change: Partial<EdgePrediction> = {}, batch: Partial<EdgePredictions> = {}): Step =>
  (p, e) =>
    p.predictions(batchOf([aPrediction(change)], batch), at, at, e);
const resultAt =
  (at: number, change: Partial<CloudResult> = {}): Step =>
  (p, e) =>
    p.result(aResult(change), at, at, e);
const tickAt =
  (at: number): Step =>
  (p, e) =>
    p.tick(at, e);

function run(
  steps: readonly Step[],
  options: { admission?: Admission; limits?: Partial<typeof settlementLimits> } = {},
) {
  const admission = options.admission ?? new Admission();
  const partition = new SettlementPartition({
    admission,
    target: "default",
    limits: { ...settlementLimits, ...options.limits },
  });
  const effects = new Effects();
  for (const step of steps) step(partition, effects);
  const answers = effects.answers.flatMap((record) => record.answers);
  const settled = answers.map((a) => `${a.frameSeq}:${a.source}/${a.settledBy}/${a.label}`);
  return { partition, effects, admission, answers, settled, kinds: effects.notes.map((note) => note.kind) };
}

const queued = { escalation: "QUEUED", reason: "AMBIGUOUS" } as const;

describe("who answers a frame", () => {
  test("the prediction answers what was kept or dropped, one record a batch", () => {
    const batch = batchOf([
      aPrediction({ frameSeq: 1n }),
      aPrediction({ frameSeq: 2n, escalation: "DROPPED", dropReason: "EXPIRED", reason: "AMBIGUOUS" }),
    ]);
    const { effects, settled, partition } = run([(p, e) => p.predictions(batch, T0, T0, e)]);
    expect(settled).toEqual(["1:EDGE/KEPT/cat", "2:EDGE/DEVICE_DROPPED/cat"]);
    expect(effects.answers).toHaveLength(1);
    expect(effects.answers[0]?.answers[0]?.latencyMs).toBe(100);
    expect(partition.snapshot("device-1")?.frames).toEqual([]);
  });

  test("the cloud answers a sent frame, whichever of its records comes first, and then nothing is remembered", () => {
    for (const steps of [
      [predictionAt(T0, queued), frameAt(T0 + 5), resultAt(T0 + 90)],
      [frameAt(T0), predictionAt(T0 + 5, queued), resultAt(T0 + 90)],
      [frameAt(T0), resultAt(T0 + 90), predictionAt(T0 + 95, queued)],
    ]) {
      const { settled, effects, partition, answers } = run(steps);
      expect(settled).toEqual(["1:CLOUD/CLOUD_ANSWER/dog"]);
      expect(answers[0]).toMatchObject({
        edgeLabel: "cat",
        cloudLabel: "dog",
        cloudTarget: "default",
        costMicros: 120n,
      });
      expect(answers[0]?.latencyMs).toBe(190);
      expect(effects.requests).toHaveLength(1);
      expect(partition.snapshot("device-1")?.frames).toEqual([]);
      expect(partition.openFrames).toBe(0);
    }
  });

  test("PRIORITY takes the high lane, and the request ends when the clock does", () => {
    const { effects } = run([frameAt(T0, { reason: "PRIORITY" })]);
    expect(effects.requests).toMatchObject([
      { lane: "high", request: { deadlineAt: T0 - 100 + 2_000, target: "default" } },
    ]);
  });

  test("each result of a cloud other than an answer has its cause", () => {
    const causes = (["EXPIRED", "REFUSED", "OVERLOADED", "FAILED", "UNKNOWN"] as const).map(
      (outcome) => run([frameAt(T0), resultAt(T0 + 9, { outcome, label: null, confidence: null })]).settled[0],
    );
    expect(causes).toEqual([
      "1:EDGE/DEADLINE/cat",
      "1:EDGE/FRAME_REFUSED/cat",
      "1:EDGE/CLOUD_UNHEALTHY/cat",
      "1:EDGE/CLOUD_FAILED/cat",
      "1:EDGE/CLOUD_FAILED/cat",
    ]);
    expect(run([frameAt(T0), resultAt(T0 + 9, { label: null })]).settled).toEqual(["1:EDGE/CLOUD_FAILED/cat"]);
  });
});

describe("the clock", () => {
  const deadline = T0 - 100 + 2_000;

  test("settles at the deadline, not before, with or without the frame; a late answer is ignored and counted", () => {
    for (const opening of [frameAt(T0), predictionAt(T0, queued)]) {
      const { settled, kinds } = run([
        opening,
        tickAt(deadline - 1),
        (_, e) => expect(e.answers).toEqual([]),
        tickAt(deadline),
        resultAt(deadline + 5),
      ]);
      expect(settled).toEqual(["1:EDGE/DEADLINE/cat"]);
      expect(kinds).toContain("resultIgnored");
    }
  });

  test("an answer written in time counts although it is read late; one written late does not", () => {
    const read =
      (writtenAt: number): Step =>
      (p, e) =>
        p.result(aResult(), writtenAt, deadline + 500, e);
    expect(run([frameAt(T0), read(deadline - 1)]).settled).toEqual(["1:CLOUD/CLOUD_ANSWER/dog"]);
    expect(run([frameAt(T0), read(deadline + 1)]).settled).toEqual(["1:EDGE/DEADLINE/cat"]);
  });

  test("a bridge whose clock is ahead postpones nothing", () => {
    const { settled } = run([(p, e) => p.frame(aFrame(), T0 + 3_600_000, T0, e), tickAt(deadline)]);
    expect(settled).toEqual(["1:EDGE/DEADLINE/cat"]);
  });

  test("a frame that comes too late is settled at once; a drawn one still goes to the cloud", () => {
    const late = run([frameAt(T0, { ageMs: 5_000 })]);
    expect([late.settled, late.effects.requests]).toEqual([["1:EDGE/DEADLINE/cat"], []]);
    const drawn = run([frameAt(T0, { ageMs: 5_000, sampleDrawn: true }), resultAt(T0 + 50)]);
    expect(drawn.settled).toEqual(["1:EDGE/DEADLINE/cat"]);
    expect(drawn.effects.requests).toMatchObject([
      { lane: "normal", request: { reason: "AMBIGUOUS", sampleDrawn: true } },
    ]);
    const afterwards = run([predictionAt(T0, queued), tickAt(deadline), frameAt(deadline + 1, { sampleDrawn: true })]);
    expect([afterwards.settled, afterwards.effects.requests.length]).toEqual([["1:EDGE/DEADLINE/cat"], 1]);
  });

  test("a frame after the clock has answered it is not answered again, until far beyond it is left to its prediction", () => {
    const { lateFrameMsMax } = settlementLimits;
    for (const at of [deadline + 1, deadline + lateFrameMsMax, deadline + 3 * lateFrameMsMax]) {
      const { settled, partition } = run([
        predictionAt(T0, queued),
        tickAt(deadline),
        tickAt(at),
        frameAt(at, { ageMs: at - T0 }),
      ]);
      expect(settled).toEqual(["1:EDGE/DEADLINE/cat"]);
      expect(partition.snapshot("device-1")?.frames).toEqual([]);
    }
    const at = deadline + 2 * lateFrameMsMax;
    const reversed = run([frameAt(at, { ageMs: at - T0 }), predictionAt(at, { ...queued, ageMs: at - T0 })]);
    expect(reversed.settled).toEqual(["1:EDGE/DEADLINE/cat"]);
    expect(reversed.kinds).toContain("leftToPrediction");
  });
});

describe("refusals", () => {
  test("what was weighed stands in the answer, sent or refused; nothing does where nothing was weighed", () => {
    const admission = new Admission();
    const sent = run([frameAt(T0), resultAt(T0 + 90)], { admission }).answers[0]?.admission;
    expect(sent).toMatchObject({ lambda: 0, utility: 0.4, reachProbability: 1 });
    const next = run([frameAt(T0 + 100, { score: -0.2 })], { admission });
    expect(next.settled).toEqual(["1:EDGE/FLEET_BUDGET/cat"]);
    const refused = next.answers[0]?.admission;
    expect(refused?.utility).toBeCloseTo(-0.2);
    expect(refused?.lambda).toBeGreaterThan(0);
    expect(refused?.tokens).toBeLessThan(sent?.tokens ?? 0);
    const clock = run([predictionAt(T0, queued), tickAt(T0 + 9_000)]).answers[0];
    expect([clock?.settledBy, clock?.admission]).toEqual(["DEADLINE", null]);
    expect(run([predictionAt(T0)]).answers[0]?.admission).toBeNull();
  });

  test("an unhealthy target gets nothing but probes, and is found again", () => {
    const admission = new Admission();
    for (let i = 0; i < 10; i++) admission.returned(`x${i}`, { arm: "default", outcome: "FAILED" }, T0);
    const refused = run([frameAt(T0)], { admission });
    expect(refused.settled).toEqual(["1:EDGE/CLOUD_UNHEALTHY/cat"]);
    const probed = run([frameAt(T0 + 600), resultAt(T0 + 700), frameAt(T0 + 710, { seq: 2n, frameSeq: 2n })], {
      admission,
    });
    expect(probed.settled).toEqual(["1:CLOUD/CLOUD_ANSWER/dog"]);
    expect(probed.effects.requests).toHaveLength(2);
  });

  test("calls that never come back make it unhealthy, and once it is back old latencies refuse nothing", () => {
    const admission = new Admission();
    for (let i = 0; i < 50; i++) admission.called(`x${i}`, "default", T0);
    expect(admission.tick(T0 + admissionDefaults.lostAfterMs)).toBe(50);
    expect(admission.cloudHealthy()).toBe(false);
    const at = T0 + 10_000;
    const { settled } = run(
      [
        frameAt(at),
        resultAt(at + 80),
        frameAt(at + 90, { seq: 2n, frameSeq: 2n }),
        resultAt(at + 150, { frameSeq: 2n }),
      ],
      { admission },
    );
    expect(settled).toEqual(["1:CLOUD/CLOUD_ANSWER/dog", "2:CLOUD/CLOUD_ANSWER/dog"]);
  });

  test("a deadline that the live latencies cannot meet", () => {
    const admission = new Admission();
    for (let i = 0; i < 100; i++) {
      admission.called(`x${i}`, "default", T0);
      admission.returned(`x${i}`, { arm: "default", outcome: "ANSWERED" }, T0 + 1_500);
    }
    const at = T0 + 1_500;
    expect(run([frameAt(at)], { admission }).effects.requests).toHaveLength(1);
    expect(run([frameAt(at, { ageMs: 1_000 })], { admission }).settled).toEqual(["1:EDGE/DEADLINE_UNREACHABLE/cat"]);
    const drawn = run([frameAt(at, { ageMs: 1_000, sampleDrawn: true })], { admission });
    expect([drawn.settled, drawn.effects.requests.length]).toEqual([[], 1]);
  });

  test("a spent fleet budget, whose reserve PRIORITY may use", () => {
    const admission = new Admission({
      ...admissionDefaults,
      budget: { ...admissionDefaults.budget, burstMs: 2_000, share: 0.1, eta: 0 },
    });
    const frames = (reason: "AMBIGUOUS" | "PRIORITY") =>
      Array.from({ length: 60 }, (_, i) =>
        frameAt(T0 + 100 * i, { reason, seq: BigInt(i + 1), frameSeq: BigInt(i + 1) }),
      );
    const spent = run(frames("AMBIGUOUS"), { admission });
    expect(spent.settled.at(-1)).toBe("60:EDGE/FLEET_BUDGET/cat");
    expect(run([frameAt(T0 + 6_000, { reason: "PRIORITY" })], { admission }).effects.requests).toHaveLength(1);
  });
});

describe("bounds", () => {
  test("beyond the open frames of a device the oldest is answered", () => {
    const many = Array.from({ length: 20 }, (_, i) => frameAt(T0 + i, { seq: BigInt(i + 1), frameSeq: BigInt(i + 1) }));
    const { settled, partition, kinds } = run(many, { limits: { framesMax: 16 } });
    expect(settled).toEqual([1, 2, 3, 4].map((n) => `${n}:EDGE/FLEET_BUDGET/cat`));
    expect(partition.snapshot("device-1")?.frames).toHaveLength(16);
    expect(kinds.filter((kind) => kind === "evicted")).toHaveLength(4);
  });

  test("the windows of the boot unused longest go", () => {
    const boots = Array.from({ length: 20 }, (_, i) => predictionAt(T0, {}, { bootId: BigInt(i + 1) }));
    const { partition } = run([
      ...boots.slice(0, 16),
      predictionAt(T0, { frameSeq: 2n }, { bootId: 1n, seq: 2n }),
      ...boots.slice(16),
    ]);
    const kept = new Set(partition.snapshot("device-1")?.windows.map((window) => Number(window.bootId)));
    expect([...kept].sort((a, b) => a - b)).toEqual([1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  });

  test("a device idle for long is forgotten, one with open frames is not", () => {
    const { partition } = run([predictionAt(T0), frameAt(T0, { deviceId: "device-2" })]);
    expect(partition.prune(T0 + 1_000, 500)).toEqual(["device-1"]);
    expect(partition.devices).toBe(1);
    const orphan = run([frameAt(T0), tickAt(T0 + 9_000)]).partition; // its prediction never comes
    expect(orphan.prune(T0 + 20_000, 500)).toEqual(["device-1"]);
  });

  test("answers read back without a state are bounded, too", () => {
    const { partition, answers } = run([predictionAt(T0)], { limits: { framesMax: 16 } });
    const [answer] = answers;
    for (let n = 1; n <= 100 && answer !== undefined; n++) {
      partition.replay({ deviceId: "device-1", bootId: 7n, answers: [{ ...answer, frameSeq: BigInt(n) }] }, T0);
    }
    expect(partition.snapshot("device-1")?.frames.map((frame) => Number(frame.frameSeq))).toEqual(
      Array.from({ length: 16 }, (_, i) => 85 + i),
    );
  });
});

describe("a frame of boot 0", () => {
  const alone = { bootId: 0n, seq: 1n << 62n, frameSeq: 1n << 62n } as const;
  const answered = (at: number) => resultAt(at, { bootId: 0n, frameSeq: alone.frameSeq });

  test("is answered by the cloud without any prediction, once, and then nothing of it is remembered but its digest", () => {
    const { settled, kinds, partition } = run([
      frameAt(T0, alone),
      answered(T0 + 90),
      frameAt(T0 + 95, alone),
      frameAt(T0 + 500_000, alone),
    ]);
    expect(settled).toEqual([`${alone.frameSeq}:CLOUD/CLOUD_ANSWER/dog`]);
    expect(kinds.filter((kind) => kind === "duplicate")).toHaveLength(2);
    const snapshot = partition.snapshot("device-1");
    expect(snapshot?.frames).toEqual([]);
    expect(snapshot?.windows.map(({ stream, digests }) => [stream, digests.length])).toEqual([
      ["frames", 8],
      ["predictions", 0],
    ]);
  });

  test("is answered however late it comes: no prediction will", () => {
    const hours = 5 * 3_600_000;
    expect(run([frameAt(T0, { ...alone, ageMs: hours }), tickAt(T0 + 1)]).settled).toEqual([
      `${alone.frameSeq}:EDGE/DEADLINE/cat`,
    ]);
  });
});
