/** Sketches of a model's inputs and outputs: 32-bin histograms over edges that the package's reference sketch fixes once
 * for the whole fleet (METHODS B4).
 *
 * S1. Two windows over one reference merge exactly: counts add, in any order and grouping.
 * S2. Every finite observation counts in exactly one bin; values outside the edges count in the first or last.
 * S3. Edges are strictly increasing and never computed on a device. */
import { Failure, invariant } from "@tributary/kernel";
import { addFrameGrid, GRID_SUMS } from "./picture-grid.ts";
import type { PictureStatistics } from "./ports.ts";
import { isJsonObject, isNumbers, objectOr, Problems } from "./problems.ts";

export const SKETCH_BINS = 32;

export const sketchFeatures = [
  "confidence",
  "margin",
  "entropy",
  "luminance",
  "channel_mean_r",
  "channel_mean_g",
  "channel_mean_b",
  "channel_sd_r",
  "channel_sd_g",
  "channel_sd_b",
  "bits_per_pixel",
] as const;
export type SketchFeature = (typeof sketchFeatures)[number];

/** Version 1 has these alone: agents of the field refuse another one in it. */
const featuresOfVersion1 = sketchFeatures.filter((feature) => feature !== "bits_per_pixel");
const featuresOf = (version: ReferenceSketch["formatVersion"]): readonly SketchFeature[] =>
  version === 1 ? featuresOfVersion1 : sketchFeatures;

export type ReferenceHistogram = {
  readonly feature: SketchFeature;
  /** 33, strictly increasing: bin i is [edges[i], edges[i + 1]). */
  readonly edges: readonly number[];
  /** Of the validation set. */
  readonly counts: readonly number[];
};

export type ReferenceSketch = {
  /** 1: reference_sketch.json; 2: reference_sketch_v2.json, of which a reader skips features that it does not know. */
  readonly formatVersion: 1 | 2;
  /** Frames of the validation set. */
  readonly frames: number;
  readonly histograms: readonly ReferenceHistogram[];
  /** Predictions per class on the validation set. */
  readonly labels: Readonly<Record<string, number>>;
};

/** What one frame adds to a sketch. Entropy in nats. */
export type SketchObservation = {
  readonly label: string;
  readonly confidence: number;
  readonly margin: number;
  readonly entropy: number;
  readonly picture: PictureStatistics;
};

/** Features of which each predicted class has a sum of its own: a change of the mix of classes leaves them as they were. */
export const classFeatures = [
  "luminance",
  "channel_sd_g",
  "bits_per_pixel",
] as const satisfies readonly SketchFeature[];

/** Encoders of one window; frames of others count with the last. */
const ENCODERS_MAX = 4;

/** Counts and sums of one window; mutable because it is fed for every frame. */
export type SketchWindow = {
  frames: number;
  readonly histograms: readonly { readonly feature: SketchFeature; readonly counts: Float64Array }[];
  readonly labels: Map<string, number>;
  /** `GRID_SUMS` sums. */
  readonly grid: Float64Array;
  /** Frames of each encoder. */
  readonly encoders: Map<string, number>;
  /** Sum of the JPEGs' qualities. */
  quality: number;
  /** By predicted class: the sum of each class feature's bins (0 to 31). */
  readonly byClass: Map<string, Float64Array>;
};

export const emptySketch = (reference: ReferenceSketch): SketchWindow => ({
  frames: 0,
  histograms: reference.histograms.map(({ feature }) => ({ feature, counts: new Float64Array(SKETCH_BINS) })),
  labels: new Map(),
  grid: new Float64Array(GRID_SUMS),
  encoders: new Map(),
  quality: 0,
  byClass: new Map(),
});

export function observe(window: SketchWindow, reference: ReferenceSketch, observation: SketchObservation): void {
  for (let i = 0; i < window.histograms.length; i++) {
    const { feature, edges } = reference.histograms[i] as ReferenceHistogram;
    const value = sketchValue(feature, observation);
    if (!Number.isFinite(value)) continue;
    const counts = window.histograms[i]?.counts as Float64Array;
    const bin = binOf(edges, value);
    counts[bin] = (counts[bin] as number) + 1;
    addToClass(window, feature, observation.label, bin);
  }
  const { grid, encoder, quality } = observation.picture;
  count(window.labels, observation.label);
  const isKnown = window.encoders.size < ENCODERS_MAX || window.encoders.has(encoder);
  count(window.encoders, isKnown ? encoder : ([...window.encoders.keys()].at(-1) as string));
  window.quality += quality;
  addFrameGrid(window.grid, grid);
  window.frames += 1;
}

function addToClass(window: SketchWindow, feature: SketchFeature, label: string, bin: number): void {
  const place = (classFeatures as readonly SketchFeature[]).indexOf(feature);
  if (place < 0) return;
  let sums = window.byClass.get(label);
  if (sums === undefined) {
    sums = new Float64Array(classFeatures.length);
    window.byClass.set(label, sums);
  }
  sums[place] = (sums[place] as number) + bin;
}

const count = (counts: Map<string, number>, key: string, by = 1): unknown =>
  counts.set(key, (counts.get(key) ?? 0) + by);

/** Adds `from` to `into`. */
export function mergeSketch(into: SketchWindow, from: SketchWindow): void {
  invariant(into.histograms.length === from.histograms.length, "sketches of one reference have the same features");
  for (const [i, { feature, counts }] of into.histograms.entries()) {
    const other = from.histograms[i];
    invariant(other?.feature === feature, "sketches of one reference have the same features");
    for (let bin = 0; bin < SKETCH_BINS; bin++) counts[bin] = (counts[bin] as number) + (other.counts[bin] as number);
  }
  for (const [label, frames] of from.labels) count(into.labels, label, frames);
  for (const [encoder, frames] of from.encoders) count(into.encoders, encoder, frames);
  for (let i = 0; i < GRID_SUMS; i++) into.grid[i] = (into.grid[i] as number) + (from.grid[i] as number);
  for (const [label, sums] of from.byClass) {
    const own = into.byClass.get(label) ?? new Float64Array(classFeatures.length);
    into.byClass.set(
      label,
      own.map((sum, i) => sum + (sums[i] as number)),
    );
  }
  into.quality += from.quality;
  into.frames += from.frames;
}

/** Index of the bin that `value` counts in. */
export function binOf(edges: readonly number[], value: number): number {
  let low = 0;
  let high = SKETCH_BINS - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (value >= (edges[middle] as number)) low = middle;
    else high = middle - 1;
  }
  return low;
}

export const sketchValue = (feature: SketchFeature, observation: SketchObservation): number => {
  const { channelMeans, channelSds, luminance, bitsPerPixel } = observation.picture;
  switch (feature) {
    case "confidence":
      return observation.confidence;
    case "margin":
      return observation.margin;
    case "entropy":
      return observation.entropy;
    case "luminance":
      return luminance;
    case "channel_mean_r":
      return channelMeans[0];
    case "channel_mean_g":
      return channelMeans[1];
    case "channel_mean_b":
      return channelMeans[2];
    case "channel_sd_r":
      return channelSds[0];
    case "channel_sd_g":
      return channelSds[1];
    case "channel_sd_b":
      return channelSds[2];
    case "bits_per_pixel":
      return bitsPerPixel;
    default:
      return feature satisfies never;
  }
};

/** The reference sketch of a validation set. Bins hold about equal shares of it, so that drift shows wherever the
 * mass is; outer edges are the range the feature can take. */
export function buildReferenceSketch(
  observations: readonly SketchObservation[],
  classes: number,
  formatVersion: ReferenceSketch["formatVersion"] = 1,
): ReferenceSketch {
  const histograms = featuresOf(formatVersion).map((feature): ReferenceHistogram => {
    const values = observations.map((observation) => sketchValue(feature, observation)).filter(Number.isFinite);
    const edges = edgesFor(values, rangeOf(feature, classes));
    const counts = new Array<number>(SKETCH_BINS).fill(0);
    for (const value of values) {
      const bin = binOf(edges, value);
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    return { feature, edges, counts };
  });
  const labels: Record<string, number> = {};
  for (const { label } of observations) labels[label] = (labels[label] ?? 0) + 1;
  return { formatVersion, frames: observations.length, histograms, labels };
}

const CODE = "package-reference-sketch-invalid";

/** Of either file; the version in it decides. */
export function parseReferenceSketch(json: unknown): ReferenceSketch {
  const root = objectOr(json, CODE, "reference sketch");
  const problems = new Problems();
  problems.unknownKeys(root, ["formatVersion", "frames", "histograms", "labels"]);
  const formatVersion = problems.oneOf(root, "formatVersion", [1, 2]);
  const known = featuresOf(formatVersion);
  const frames = problems.number(root, "frames", { min: 1, max: Number.MAX_SAFE_INTEGER, whole: true });
  const histograms: ReferenceHistogram[] = [];
  const listed = Array.isArray(root.histograms) ? root.histograms : [];
  if (listed.length === 0) problems.report("histograms", "at least one histogram", root.histograms);
  for (const [i, entry] of listed.entries()) {
    const at = `histograms[${i}].`;
    if (!isJsonObject(entry)) {
      problems.report(`histograms[${i}]`, "an object", entry);
      continue;
    }
    if (formatVersion > 1 && typeof entry.feature === "string" && !known.some((name) => name === entry.feature))
      continue;
    problems.unknownKeys(entry, ["feature", "edges", "counts"], at);
    const feature = problems.oneOf(entry, "feature", known, at);
    const edges = problems.numbers(entry, "edges", SKETCH_BINS + 1, at);
    if (edges.some((edge, j) => j > 0 && edge <= (edges[j - 1] as number)) && isNumbers(entry.edges)) {
      problems.report(`${at}edges`, "strictly increasing edges", entry.edges);
    }
    const counts = problems.numbers(entry, "counts", SKETCH_BINS, at);
    if (histograms.some((earlier) => earlier.feature === feature))
      problems.report(`${at}feature`, "each feature once", feature);
    histograms.push({ feature, edges, counts });
  }
  const labels: Record<string, number> = {};
  const counted = problems.object(root, "labels");
  for (const label of Object.keys(counted)) {
    labels[label] = problems.number(counted, label, { min: 0, max: Number.MAX_SAFE_INTEGER, whole: true }, "labels.");
  }
  if (listed.length > 0 && histograms.length === 0 && problems.found.length === 0) {
    problems.report("histograms", `one of ${known.join(", ")}`, root.histograms);
  }
  problems.throwAs(CODE, "reference sketch");
  return { formatVersion, frames, histograms, labels };
}

function rangeOf(feature: SketchFeature, classes: number): readonly [number, number] {
  if (feature === "entropy") return [0, Math.log(classes)];
  // A JPEG of more bits than the picture has is possible; it counts in the last bin.
  if (feature === "bits_per_pixel") return [0, 24];
  return feature.startsWith("channel_sd_") ? [0, 0.5] : [0, 1];
}

/** Quantiles of the values; where values repeat and quantiles coincide, the widest bins are halved instead. */
function edgesFor(values: readonly number[], [low, high]: readonly [number, number]): readonly number[] {
  if (values.length === 0) throw new Failure(CODE, "give-up", "a reference sketch needs at least one frame");
  const sorted = [...values].sort((a, b) => a - b);
  const inner = new Set<number>();
  for (let i = 1; i < SKETCH_BINS; i++) {
    const quantile = sorted[Math.floor((i * sorted.length) / SKETCH_BINS)] as number;
    if (quantile > low && quantile < high) inner.add(quantile);
  }
  const edges = [low, ...inner, high];
  while (edges.length < SKETCH_BINS + 1) {
    let widest = 0;
    for (let i = 1; i + 1 < edges.length; i++) if (widthAt(edges, i) > widthAt(edges, widest)) widest = i;
    edges.splice(widest + 1, 0, ((edges[widest] as number) + (edges[widest + 1] as number)) / 2);
  }
  return edges;
}

const widthAt = (edges: readonly number[], i: number): number => (edges[i + 1] as number) - (edges[i] as number);
