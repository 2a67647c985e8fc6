/** Reads a device's sketch of one window as what its camera's streams observed, or says why it cannot be. */
import type { EdgeSketches } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { CameraWindow } from "./camera-watch.ts";
import { binMean, type DriftReference, LABEL_PREFIX } from "./drift-reference.ts";
import type { SketchOutcome } from "./outcomes.ts";

const BINS = 32;

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
  const { modelDigest, preprocessingDigest, temperature, windowMs } = record;
  const values = Float64Array.from(reference.streams, ({ name }, i) =>
    name.startsWith(LABEL_PREFIX) ? predictions.share(name) : binMean(counts[i] ?? []),
  );
  return { modelDigest, preprocessingDigest, temperature, windowMs, endedAt, frames, values, counts };
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
