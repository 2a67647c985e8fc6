import { describe, expect, test } from "@jest/globals";
import { Admission, admissionDefaults, Effects, SettlementPartition } from "@tributary/routing/settlement";
import { someFrame, somePrediction, somePredictions } from "@tributary/testing";
import { armsOf } from "./arms.ts";
import { admissionSettingsOf, checkConfig, configSchema, experimentOf } from "./config.ts";

const config = (experiment: unknown) =>
  configSchema.parse({ kafka: { brokers: ["127.0.0.1:9092"] }, ...(experiment !== undefined && { experiment }) });
const arms = [
  { name: "control", weight: 2 },
  { name: "candidate", weight: 1 },
];
const frameOf = (deviceId: string, frameSeq: bigint) => ({ deviceId, bootId: 7n, cameraId: "cam", frameSeq });

describe("A/B arms", () => {
  test("by device they stick to it, by frame they do not; another salt draws anew; restarts change nothing", () => {
    const byDevice = armsOf({ unit: "device", salt: "a", arms });
    const byFrame = armsOf({ unit: "frame", salt: "a", arms });
    const resalted = armsOf({ unit: "device", salt: "b", arms });
    let [candidates, moved, candidateFrames] = [0, 0, 0];
    for (let i = 0; i < 3_000; i++) {
      const frame = frameOf(`device-${i}`, 1n);
      const arm = byDevice(frame, "default");
      expect(byDevice({ ...frame, frameSeq: 2n }, "default")).toBe(arm);
      expect(armsOf({ unit: "device", salt: "a", arms })(frame, "default")).toBe(arm);
      if (arm === "candidate") candidates++;
      if (resalted(frame, "default") !== arm) moved++;
      if (byFrame(frameOf("device-1", BigInt(i)), "default") === "candidate") candidateFrames++;
    }
    expect(Math.abs(candidates / 3_000 - 1 / 3)).toBeLessThan(0.03);
    expect(Math.abs(candidateFrames / 3_000 - 1 / 3)).toBeLessThan(0.03);
    expect(Math.abs(moved / 3_000 - 4 / 9)).toBeLessThan(0.04);
    expect(byDevice(frameOf("device-1", 1n), "rollout-7")).toBe("rollout-7"); // one experiment at a time
    expect(armsOf(experimentOf(config(undefined)))(frameOf("device-1", 1n), "default")).toBe("default");
  });

  test("the arm of a frame is one, on its request and its answer, whether it is kept, sent or overdue", () => {
    const settings = config({ salt: "s", unit: "frame", arms });
    const armOf = armsOf(experimentOf(settings));
    const admission = new Admission({ ...admissionDefaults, ...admissionSettingsOf(settings) });
    expect(admission.arms).toEqual(["control", "candidate"]);
    const partition = new SettlementPartition({ admission, target: "default", armOf });
    const effects = new Effects();
    const now = 1_700_000_000_000;
    const deviceId = "device-1";
    const sent = Array.from({ length: 20 }, (_, i) => BigInt(i + 1));
    for (const n of sent) {
      partition.frame(someFrame({ deviceId, seq: n, frameSeq: n, reason: "PRIORITY" }), now, now, effects);
    }
    const predictions = sent.map((n) => somePrediction({ frameSeq: n + 100n }));
    partition.predictions(somePredictions({ deviceId, predictions }), now, now, effects);
    partition.tick(now + 60_000, effects);
    const expected = (frameSeq: bigint) => armOf({ ...someFrame({ deviceId, frameSeq }) }, "default");
    const answers = effects.answers.flatMap((record) => record.answers);
    expect(answers).toHaveLength(40);
    for (const { frameSeq, arm } of answers) expect(arm).toBe(expected(frameSeq));
    expect(effects.requests).toHaveLength(20);
    for (const { request } of effects.requests) expect(request.arm).toBe(expected(request.frameSeq));
    expect(new Set(answers.map(({ arm }) => arm)).size).toBe(2);
  });

  test("wrong arms are named at start", () => {
    const twice = config({ salt: "s", arms: [...arms, { name: "control", weight: 1 }] });
    expect(() => checkConfig(twice)).toThrow("two arms have one name");
    expect(() => config({ salt: "s", arms: [{ name: "only", weight: 1 }] })).toThrow("arms");
    expect(() => config({ salt: "s", arms: [...arms, { name: "none", weight: 0 }] })).toThrow("weight");
    expect(() => config({ arms })).toThrow("salt");
  });
});
