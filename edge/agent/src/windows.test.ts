import { describe, expect, test } from "@jest/globals";
import { EdgeSketches } from "@tributary/contracts";
import { buildReferenceSketch, FRAME_GRID, type Inference, type SketchObservation } from "@tributary/inference";
import { type Random, seededRandom } from "@tributary/kernel";
import type { LocalAnswer } from "./pipeline.ts";
import { type ClosedWindow, type WindowModel, Windows } from "./windows.ts";

const CLASSES = ["aeroplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const observationOf = (random: Random): SketchObservation => ({
  label: CLASSES[Math.floor(random() * CLASSES.length)] as string,
  confidence: random(),
  margin: random(),
  entropy: random() * Math.log(10),
  picture: {
    channelMeans: [random(), random(), random()],
    channelSds: [random() / 2, random() / 2, random() / 2],
    luminance: random(),
    bitsPerPixel: 1 + 3 * random(),
    grid: Uint8Array.from({ length: FRAME_GRID }, () => 256 * random()),
    encoder: "standard/2x2/optimised",
    quality: 90,
  },
});
const random = seededRandom(1);
const reference = buildReferenceSketch(
  Array.from({ length: 500 }, () => observationOf(random)),
  10,
  2,
);
const modelOf = (modelDigest: string): WindowModel => ({
  modelDigest,
  reference,
  latencyBudgetMs: 50,
});
const [a, b] = [modelOf("a".repeat(64)), modelOf("b".repeat(64))];

function answer(windows: Windows, cameraId: string, model = a, temperature = 1.5, latencyMs = 10): void {
  const { picture, ...answered } = observationOf(random);
  const local = { ...answered, cameraId, latencyMs, escalation: "QUEUED" } as LocalAnswer;
  windows.answered(model, temperature, local, { picture, timingsMs: { preprocess: 1, run: 2 } } as Inference);
}
const framesOf = ({ sketches }: ClosedWindow) =>
  sketches.map(({ cameraId, modelDigest, labels, histograms }) => {
    const frames = Object.values(labels).reduce((sum, count) => sum + Number(count), 0);
    for (const { counts } of histograms) expect(counts.reduce((sum, count) => sum + count, 0n)).toBe(BigInt(frames));
    return [cameraId, modelDigest[0], frames];
  });

describe("a window", () => {
  test("has a sketch of each camera that delivered frames, and of no other", () => {
    const windows = new Windows(1_000);
    for (const [cameraId, frames] of [["front", 3] as const, ["rear", 5] as const]) {
      for (let i = 0; i < frames; i++) answer(windows, cameraId);
    }
    const closed = windows.close(61_000);
    expect(framesOf(closed)).toEqual([
      ["front", "a", 3],
      ["rear", "a", 5],
    ]);
    expect(closed.sketches[0]).toMatchObject({ windowMs: 60_000, temperature: 1.5 });
    expect(closed.sketches[0]?.histograms.map(({ feature }) => feature)).toContain("bits_per_pixel");
    expect(closed.metrics.models[0]?.metrics.confidence?.n).toBe(8n);
    expect(windows.close(121_000)).toMatchObject({ metrics: { windowMs: 60_000, models: [] }, sketches: [] });
  });

  test("is of one model and one temperature; frames of others are never counted together (windows.ts V1, V2)", () => {
    const windows = new Windows(0);
    expect(windows.fits(b, 2)).toBe(true);
    answer(windows, "front", a, 1.5);
    expect([windows.fits(a, 1.5), windows.fits(b, 1.5), windows.fits(a, 2)]).toEqual([true, false, false]);
    // The outbox may have no room, so that the window cannot be closed.
    answer(windows, "front", b, 1.5);
    answer(windows, "front", b, 2);
    answer(windows, "front", b, 2);
    const closed = windows.close(60_000);
    expect(framesOf(closed)).toEqual([
      ["front", "a", 1],
      ["front", "b", 1],
      ["front", "b", 2],
    ]);
    expect(closed.sketches.map(({ temperature }) => temperature)).toEqual([1.5, 1.5, 2]);
    expect(windows.fits(a, 1.5)).toBe(true);
  });

  test("is bounded: what exceeds it still counts in its model's metrics (G9)", () => {
    const windows = new Windows(0);
    for (let i = 0; i < 200; i++) answer(windows, `cam-${i}`);
    const { sketches, metrics } = windows.close(60_000);
    expect([sketches.length, metrics.models[0]?.metrics.confidence?.n]).toEqual([128, 200n]);
  });

  test("takes moments of each model and of the device; what is no number is left out", () => {
    const windows = new Windows(0);
    windows.device("online", 1);
    windows.device("online", 0);
    windows.device("free", Number.NaN);
    for (const latencyMs of [10, 60]) answer(windows, "front", a, 1, latencyMs);
    windows.ofModel(b, "shadow_agreed", 1);
    const { metrics, sketches } = windows.close(60_000);
    expect(metrics.device).toEqual({ online: { n: 2n, sum: 1, sumSq: 1 } });
    expect(metrics.models.map(({ modelDigest }) => modelDigest)).toEqual([a.modelDigest, b.modelDigest]);
    expect(metrics.models[0]?.metrics.answer_latency_ms).toEqual({ n: 2n, sum: 70, sumSq: 3_700 });
    expect(metrics.models[0]?.metrics.sla_missed).toEqual({ n: 2n, sum: 1, sumSq: 1 });
    expect(sketches).toHaveLength(1);
  });

  test("is at most 1.5 kB of a camera at 10 frames a second, as it is sent", () => {
    const windows = new Windows(0);
    for (let i = 0; i < 600; i++) answer(windows, "front");
    const [sketch] = windows.close(60_000).sketches;
    const sender = { deviceId: "cam-01", bootId: 1n << 40n, seq: 1_000n, ageMs: 40.25, clockState: "SYNCHRONIZED" };
    expect(EdgeSketches.encodeSingleObject({ ...sender, ...sketch } as EdgeSketches).length).toBeLessThanOrEqual(1_500);
  });
});
