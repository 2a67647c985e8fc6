/** Reads a device's sketch of one window as what its camera's streams observed, or says why it cannot be. */
import type { EdgeSketches } from "@tributary/contracts";
import { classFeatures, GRID_SUMS } from "@tributary/inference";
import type { Instant } from "@tributary/kernel";
import { binSum, type WindowAppearance } from "./appearance-watch.ts";
import type { CameraWindow } from "./camera-watch.ts";
import { binMean, type DriftReference, LABEL_PREFIX } from "./drift-reference.ts";
import type { SketchOutcome } from "./outcomes.ts";

const BINS = 32;
const ENCODER_LENGTH_MAX = 64;

export function readWindow(
  record: EdgeSketches,
  endedAt: Instant,
  reference: DriftReference,
): CameraWindow | SketchOutcome {
  if (!(record.temperature >= 0 && Number.isFinite(record.temperature))) return "temperature-invalid";
  const countsOf = new Map<string, readonly bigint[]>();
  const known = new Set<string>(reference.sketch.histograms.map(({ feature }) => feature));
  for (const { feature, counts } of record.histograms) {
    if (!known.has(feature) || countsOf.has(feature)) return "feature-unknown";
    if (counts.length !== BINS || counts.some((count) => count < 0n)) return "counts-invalid";
    countsOf.set(feature, counts);
  }
  const predictions = sharesOf(record.labels, reference);
  if (typeof predictions === "string") return predictions;
  const counts = reference.streams.map(({ name }) => countsOf.get(name));
  const frames = Math.max(predictions.frames, ...[...countsOf.values()].map(framesOf));
  if (frames === 0) return "window-empty";
  const appearance = appearanceOf(record, predictions.frames, reference);
  if (typeof appearance === "string") return appearance;
  const { modelDigest, preprocessingDigest, temperature, windowMs } = record;
  const values = Float64Array.from(reference.streams, ({ name }, i) =>
    name.startsWith(LABEL_PREFIX) ? predictions.share(name) : binMean(counts[i] ?? []),
  );
  return { modelDigest, preprocessingDigest, temperature, windowMs, endedAt, frames, values, counts, appearance };
}

/** Null: of an earlier agent, or of a device whose pictures are not looked at. */
function appearanceOf(
  { grid, qualitySum, encoders, labels, byClass }: EdgeSketches,
  frames: number,
  { classes }: DriftReference,
): WindowAppearance | SketchOutcome | null {
  if (grid.length === 0 || frames === 0) return null;
  const isGrid = grid.length === GRID_SUMS && grid.every((sum) => sum >= 0n && sum <= 255n * BigInt(frames));
  if (!isGrid || qualitySum < 0n || qualitySum > 100n * BigInt(frames)) return "grid-invalid";
  const counts = Object.entries(encoders);
  if (counts.some(([encoder, count]) => count < 0n || count > frames || encoder.length > ENCODER_LENGTH_MAX)) {
    return "grid-invalid";
  }
  const ofClasses = new Map<number, readonly number[]>();
  for (const [label, bins] of Object.entries(byClass)) {
    const index = classes.get(label);
    if (index === undefined) return "class-unknown";
    const ofClass = Object.hasOwn(labels, label) ? Number(labels[label]) : 0;
    const isGood =
      bins.length === classFeatures.length && bins.every((sum) => sum >= 0n && sum <= (BINS - 1) * ofClass);
    if (!isGood) return "counts-invalid";
    if (ofClass > 0) ofClasses.set(index, [ofClass, ...bins.map((sum) => binSum(Number(sum), ofClass))]);
  }
  return { frames, grid, quality: qualitySum, encoders, classes: ofClasses };
}

type Shares = { readonly frames: number; readonly share: (stream: string) => number };

function sharesOf(labels: EdgeSketches["labels"], { classes }: DriftReference): Shares | SketchOutcome {
  let frames = 0;
  for (const [label, count] of Object.entries(labels)) {
    if (!classes.has(label)) return "class-unknown";
    if (count < 0n) return "counts-invalid";
    frames += Number(count);
  }
  const countOf = (label: string) => (Object.hasOwn(labels, label) ? Number(labels[label]) : 0);
  return { frames, share: (stream) => countOf(stream.slice(LABEL_PREFIX.length)) / frames };
}

const framesOf = (counts: readonly bigint[]): number => counts.reduce((sum, count) => sum + Number(count), 0);
