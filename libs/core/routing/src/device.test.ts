import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { bucketEarn, bucketTake } from "./bucket.ts";
import { logitMarginOf } from "./calibrate.ts";
import {
  bucketInit,
  bucketSettingsOf,
  calibrate,
  decideOnDevice,
  explainOnDevice,
  priorityOf,
  sampleDraw,
  samplePropensity,
  scoreOf,
} from "./index.ts";
import { complete, LABELS, learnWorld, worldFrames } from "./testing/world.ts";

const policy = complete(learnWorld(1));
const settings = bucketSettingsOf(policy);

describe("calibrated numbers", () => {
  test("agree with softmax, whatever is added to all logits, and the record reproduces the logit margin", () => {
    const random = seededRandom(2);
    for (let i = 0; i < 500; i++) {
      const logits = Array.from({ length: 10 }, () => 20 * random() - 10);
      const temperature = 0.3 + 2 * random();
      const calibrated = calibrate(logits, temperature);
      const exponentials = logits.map((logit) => Math.exp(logit / temperature));
      const sum = exponentials.reduce((total, value) => total + value, 0);
      const sorted = exponentials.map((value) => value / sum).sort((a, b) => b - a);
      expect(calibrated.confidence).toBeCloseTo(sorted[0] ?? 0, 10);
      expect(calibrated.margin).toBeCloseTo((sorted[0] ?? 0) - (sorted[1] ?? 0), 10);
      expect(calibrated.entropy).toBeCloseTo(-sorted.reduce((total, p) => total + p * Math.log(p), 0), 8);
      expect(
        calibrate(
          logits.map((logit) => logit + 1_000),
          temperature,
        ).margin,
      ).toBeCloseTo(calibrated.margin, 8);
      expect(logitMarginOf(calibrated.confidence, calibrated.margin)).toBeCloseTo(calibrated.logitMargin, 3);
    }
  });

  test("a tie and an overwhelming answer are numbers too", () => {
    expect(calibrate([1, 1], 1)).toMatchObject({ labelIndex: 0, confidence: 0.5, margin: 0, logitMargin: 0 });
    expect(calibrate([1e4, 0, 0], 0.1)).toMatchObject({ confidence: 1, margin: 1, entropy: 0, logitMargin: 12 });
  });
});

describe("decisions", () => {
  const frames = worldFrames(3_000, 31).map(({ logits }) => calibrate(logits, 1));

  function run(greedy: boolean, seed: number) {
    const random = seededRandom(seed);
    let bucket = bucketInit(settings);
    return frames.map((calibrated, i) => {
      const decision = decideOnDevice({
        policy: greedy ? { ...policy, scoreMin: -1 } : policy,
        calibrated,
        externalTrigger: i % 500 === 499,
        draw: (propensity) => random() < propensity,
        bucket,
        nowMs: i * 100,
      });
      bucket = decision.bucket;
      return { calibrated, decision, externalTrigger: i % 500 === 499 };
    });
  }

  test("device.ts D2: of a drawn frame it is logged whether the policy with its budget would have sent it; its token stays", () => {
    const usual = frames.filter((one) => priorityOf(policy, one) === null);
    const scores = usual.map((one) => scoreOf(policy, one).score);
    const [sure, unsure] = [Math.min, Math.max].map((most) => usual[scores.indexOf(most(...scores))]);
    const decided = (calibrated: typeof sure, tokens: number, drawn: boolean) => {
      const bucket = { ...bucketInit(settings), tokens };
      const frame = { policy, calibrated: calibrated as NonNullable<typeof sure>, externalTrigger: false };
      const decision = decideOnDevice({ ...frame, draw: () => drawn, bucket, nowMs: 0 });
      const { escalation, wouldSend, reason } = decision;
      return [reason, escalation, wouldSend, decision.bucket.tokens < tokens];
    };
    expect(decided(unsure, 100, true)).toEqual(["AMBIGUOUS", "QUEUED", true, false]);
    expect(decided(unsure, 100, false)).toEqual(["AMBIGUOUS", "QUEUED", true, true]);
    expect(decided(unsure, 0, true)).toEqual(["AMBIGUOUS", "QUEUED", false, false]);
    expect(decided(unsure, 0, false)).toEqual(["AMBIGUOUS", "DROPPED", false, false]);
    expect(decided(sure, 100, true)).toEqual(["SAMPLE", "QUEUED", false, false]);
    expect(decided(sure, 100, false)).toEqual(["NONE", "NONE", false, false]);
  });

  test("D1-D3: reason, drop and sample agree with each other on every frame, over seeds", () => {
    const broken: object[] = [];
    for (const seed of [1, 2, 3]) {
      for (const { calibrated, decision, externalTrigger } of run(seed === 3, seed)) {
        const scoreMin = seed === 3 ? -1 : policy.scoreMin;
        const priority = externalTrigger || priorityOf(policy, calibrated) !== null;
        const { reason, escalation, dropReason, sampleDrawn, wouldSend, samplePropensity: propensity } = decision;
        const usual = decision.score > scoreMin ? "AMBIGUOUS" : sampleDrawn ? "SAMPLE" : "NONE";
        const wants = reason === "PRIORITY" || reason === "AMBIGUOUS";
        const holds = {
          D1: reason === (priority ? "PRIORITY" : usual) && (escalation === "NONE") === (reason === "NONE"),
          D2: sampleDrawn
            ? escalation === "QUEUED" && (wants || !wouldSend)
            : wouldSend === (wants && escalation === "QUEUED"),
          D3: (dropReason === "BUDGET") === (escalation === "DROPPED"),
          propensity: propensity === samplePropensity(policy, scoreOf(policy, calibrated).edgeRight),
        };
        if (Object.values(holds).includes(false)) broken.push({ seed, holds, decision });
      }
    }
    expect(broken).toEqual([]);
  });

  test("within its budget nothing is dropped; when everything wants the cloud the share holds within 2 % in an hour", () => {
    expect(run(false, 7).filter(({ decision }) => decision.escalation === "DROPPED")).toHaveLength(0);
    let bucket = bucketInit(settings);
    let sent = 0;
    for (let i = 0; i < 36_000; i++) {
      const taken = bucketTake(bucketEarn(bucket, i * 100, settings), settings, "priority");
      bucket = taken.bucket;
      if (taken.granted) sent++;
    }
    expect(sent / 36_000 / policy.escalationShareMax - 1).toBeLessThanOrEqual(0.02); // bucket.ts B1
    expect(sent / 36_000 / policy.escalationShareMax).toBeGreaterThan(1);
  });

  test("bucket.ts B1: the share holds at any frame rate, with jitter and pauses, over seeds", () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = seededRandom(seed);
      const intervalMs = 20 * 50 ** random();
      const count = Math.ceil(3_600_000 / intervalMs);
      let bucket = bucketInit(settings);
      let nowMs = 0;
      let sent = 0;
      for (let i = 0; i < count; i++) {
        nowMs += intervalMs * (0.5 + random()) + (random() < 0.001 ? 20_000 : 0);
        const taken = bucketTake(bucketEarn(bucket, nowMs, settings), settings, "normal");
        bucket = taken.bucket;
        if (taken.granted) sent++;
      }
      expect({ seed, over: sent / count / settings.share - 1 <= 0.02 }).toEqual({ seed, over: true });
      expect(sent / count / settings.share).toBeGreaterThan(0.98);
    }
  });

  test("bucket.ts B2: with the normal lane run dry, a burst of priority frames still goes", () => {
    let bucket = bucketInit(settings);
    for (let i = 0; i < 3_000; i++)
      bucket = bucketTake(bucketEarn(bucket, i * 100, settings), settings, "normal").bucket;
    let priority = 0;
    let normal = 0;
    for (let i = 0; i < 20; i++) {
      bucket = bucketEarn(bucket, 300_000 + i * 100, settings);
      const first = bucketTake(bucket, settings, "priority");
      if (first.granted) priority++;
      const second = bucketTake(first.bucket, settings, "normal");
      if (second.granted) normal++;
      bucket = second.bucket;
    }
    expect(priority).toBe(20);
    expect(normal).toBeLessThanOrEqual(1);
  });
});

describe("the random sample", () => {
  test("sample.ts S2: draws have the propensity's frequency and follow from the hash alone", () => {
    const random = seededRandom(17);
    for (const propensity of [0.005, 0.1, 0.7, 1]) {
      let drawn = 0;
      for (let i = 0; i < 40_000; i++) {
        const hash = new Uint8Array(Uint32Array.from([1, 2, 3, 4, 5, 6, 7, 8], () => random() * 2 ** 32).buffer);
        if (sampleDraw(hash, propensity)) drawn++;
        if (i === 0) expect(sampleDraw(hash, propensity)).toBe(sampleDraw(Uint8Array.from(hash), propensity));
      }
      const error = 4 * Math.sqrt((propensity * (1 - propensity)) / 40_000);
      expect(Math.abs(drawn / 40_000 - propensity)).toBeLessThanOrEqual(error);
    }
    expect(sampleDraw(new Uint8Array(32).fill(255), 1)).toBe(true);
  });

  test("sample.ts S1: the propensity has a floor, is largest where the edge is unsure, and spends about the budget", () => {
    const pi = (q: number) => samplePropensity(policy, q);
    expect([pi(0), pi(1), pi(0.9999999)]).toEqual([0.005, 0.005, 0.005]);
    expect(pi(0.5)).toBeGreaterThan(pi(0.9));
    const qs = worldFrames(4_000, 8).map(({ logits }) => scoreOf(policy, calibrate(logits, 1)).edgeRight);
    const mean = qs.reduce((sum, q) => sum + pi(q), 0) / qs.length;
    expect(mean).toBeGreaterThan(policy.sampleBudget * 0.9);
    expect(mean).toBeLessThan(policy.sampleBudget + policy.samplePropensityMin);
  });
});

test("an explanation recomputes from the record what the device decided by", () => {
  const random = seededRandom(23);
  for (const { logits } of worldFrames(300, 77)) {
    const calibrated = calibrate(logits, 1);
    const { bucket: _, ...decision } = decideOnDevice({
      policy,
      calibrated,
      externalTrigger: false,
      draw: (propensity) => random() < propensity,
      bucket: bucketInit(settings),
      nowMs: 0,
    });
    const label = LABELS[calibrated.labelIndex] ?? "";
    const { confidence, margin, entropy } = calibrated;
    const steps = explainOnDevice(policy, { ...decision, label, confidence, margin, entropy });
    const shown = (step: string, value: string) => steps.find(({ name }) => name === step)?.values[value];
    expect(Number(shown("score", "scoreRecomputed"))).toBeCloseTo(decision.score, 6);
    expect(shown("sample", "piRecomputed")).toBe(decision.samplePropensity);
    expect(steps.at(-1)?.text).toContain(decision.reason === "NONE" ? "kept" : decision.reason);
  }
});
