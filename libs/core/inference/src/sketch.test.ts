import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { FRAME_GRID } from "./picture-grid.ts";
import {
  binOf,
  buildReferenceSketch,
  emptySketch,
  mergeSketch,
  observe,
  parseReferenceSketch,
  SKETCH_BINS,
  type SketchObservation,
  type SketchWindow,
} from "./sketch.ts";

const seeds = [1, 2, 3, 4, 5];

/** Confidence piles up at exactly 1, as a sure network's does. */
function observation(random: Random): SketchObservation {
  const confidence = random() < 0.3 ? 1 : 0.1 + 0.9 * random();
  return {
    label: ["cat", "dog", "ship"][Math.floor(random() * 3)] as string,
    confidence,
    margin: confidence * random(),
    entropy: random() * Math.log(3),
    picture: {
      channelMeans: [random(), random(), random()],
      channelSds: [random() / 2, random() / 2, random() / 2],
      luminance: random(),
      bitsPerPixel: 8 * random(),
      grid: Uint8Array.from({ length: FRAME_GRID }, () => 256 * random()),
      encoder: random() < 0.5 ? "standard/2x2/optimised" : "own/1x1/standard",
      quality: 50 + Math.floor(50 * random()),
    },
  };
}
const observations = (random: Random, n: number) => Array.from({ length: n }, () => observation(random));
const plain = (window: SketchWindow) => ({
  frames: window.frames,
  counts: window.histograms.map(({ counts }) => [...counts]),
  labels: [...window.labels].sort(),
  grid: [...window.grid],
  encoders: [...window.encoders].sort(),
  quality: window.quality,
  byClass: [...window.byClass].map(([label, sums]) => [label, ...sums]).sort(),
});

describe.each(seeds)("seed %i", (seed) => {
  const random = seededRandom(seed);
  const reference = buildReferenceSketch(observations(random, 2_000), 3);

  test("the reference survives JSON, and its edges increase (sketch.ts S3)", () => {
    expect(parseReferenceSketch(JSON.parse(JSON.stringify(reference)))).toEqual(reference);
    for (const { counts } of reference.histograms) expect(counts.reduce((a, b) => a + b)).toBe(2_000);
  });

  test("windows merge exactly, in any grouping (sketch.ts S1)", () => {
    const frames = observations(random, 500);
    const whole = emptySketch(reference);
    const parts = [emptySketch(reference), emptySketch(reference), emptySketch(reference)];
    for (const frame of frames) {
      observe(whole, reference, frame);
      observe(parts[Math.floor(random() * 3)] as SketchWindow, reference, frame);
    }
    const merged = emptySketch(reference);
    for (const part of parts.reverse()) mergeSketch(merged, part);
    expect(plain(merged)).toEqual(plain(whole));
  });

  test("each value counts once, in the bin of its edges; outside in the outer bins (sketch.ts S2)", () => {
    const { edges } = reference.histograms[0] as { edges: readonly number[] };
    for (let i = 0; i < 1_000; i++) {
      const value = random() * 3 - 1;
      const bin = binOf(edges, value);
      expect(bin).toBeGreaterThanOrEqual(0);
      expect(bin).toBeLessThan(SKETCH_BINS);
      if (bin > 0) expect(value).toBeGreaterThanOrEqual(edges[bin] as number);
      if (bin < SKETCH_BINS - 1) expect(value).toBeLessThan(edges[bin + 1] as number);
    }
  });
});

test("bins share the mass: none of a smooth feature holds more than twice its share", () => {
  const reference = buildReferenceSketch(observations(seededRandom(9), 4_000), 3);
  const luminance = reference.histograms.find(({ feature }) => feature === "luminance");
  expect(Math.max(...(luminance?.counts ?? []))).toBeLessThan((2 * 4_000) / SKETCH_BINS);
});

test("edges that do not increase are refused (sketch.ts S3)", () => {
  const reference = buildReferenceSketch(observations(seededRandom(1), 100), 3);
  const [first, ...rest] = reference.histograms;
  const edges = [...(first?.edges ?? [])].reverse();
  expect(() => parseReferenceSketch({ ...reference, histograms: [{ ...first, edges }, ...rest] })).toThrow(
    /histograms\[0\].edges: expected strictly increasing/,
  );
});

describe("version 2", () => {
  const frames = observations(seededRandom(2), 200);
  const [first, second] = [buildReferenceSketch(frames, 3, 1), buildReferenceSketch(frames, 3, 2)];

  test("adds bits per pixel, which version 1 may not have: agents of the field would refuse the package", () => {
    const last = second.histograms.at(-1);
    expect(last).toMatchObject({ feature: "bits_per_pixel" });
    expect([last?.edges[0], last?.edges.at(-1)]).toEqual([0, 24]);
    expect({ ...second, formatVersion: 1, histograms: second.histograms.slice(0, -1) }).toEqual(first);
    expect(() => parseReferenceSketch({ ...second, formatVersion: 1 })).toThrow(/histograms\[10\].feature/);
  });

  test("features of later versions are skipped; a sketch of nothing else is refused", () => {
    const later = { feature: "laplacian", quantiles: [1] };
    expect(parseReferenceSketch({ ...second, histograms: [later, ...second.histograms] })).toEqual(second);
    expect(() => parseReferenceSketch({ ...second, histograms: [later] })).toThrow(/histograms: expected one of/);
  });
});
