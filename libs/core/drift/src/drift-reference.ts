/** What the monitor needs to know of a package to judge the devices that run it. Built once per digest from its documents. */
import type { Confusion, FaultCodebook, FaultExample, FaultExamples, ReferenceSketch } from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import type { RateSample } from "@tributary/statistics";
import { FaultNames } from "./camera-faults.ts";

export type DriftReference = {
  readonly modelDigest: Digest;
  readonly modelName: string;
  readonly modelVersion: string;
  readonly labels: readonly string[];
  /** Index of each label. */
  readonly classes: ReadonlyMap<string, number>;
  readonly sketch: ReferenceSketch;
  /** Logits of the golden frames, in the package's order. */
  readonly golden: readonly (readonly number[])[];
  readonly faults: FaultCodebook | null;
  /** Names of what happens to cameras. */
  readonly names: FaultNames;
  readonly confusion: Confusion | null;
  /** On the validation set; null if the package does not record it. */
  readonly errorRate: number | null;
  /** Validation frames of each class, and how many of them the model answers wrongly; null if the package does not record them: then
   * no loss can be proven. */
  readonly validation: readonly RateSample[] | null;
  /** What is watched of each camera. */
  readonly streams: readonly DriftStream[];
};

/** One series of numbers in [0, 1] of a camera: a feature's mean of (bin + 1/2) / 32, or a class's share of the predictions. */
export type DriftStream = {
  /** The feature, or label:CLASS. */
  readonly name: string;
  /** On the validation set. */
  readonly reference: number;
};

export type DriftDocuments = {
  readonly manifest: {
    readonly name: string;
    readonly version: string;
    readonly metrics: Readonly<Record<string, number>>;
  };
  readonly labels: readonly string[];
  readonly sketch: ReferenceSketch;
  readonly golden: { readonly frames: readonly { readonly logits: readonly number[] }[] };
  readonly faults?: FaultCodebook | null;
  readonly cameraFaults?: FaultExamples | null;
  readonly confusion?: Confusion | null;
};

/** Classes whose shares are watched: the most frequent ones. */
const LABEL_STREAMS_MAX = 16;

export const LABEL_PREFIX = "label:";

/** Throws Failure `drift-reference-invalid` if the documents have no data, or contradict each other. */
export function driftReferenceOf(modelDigest: Digest, documents: DriftDocuments): DriftReference {
  const { manifest, labels, sketch, golden, faults = null, cameraFaults = null, confusion = null } = documents;
  const refuse = (why: string): never => {
    throw new Failure("drift-reference-invalid", "give-up", `package ${modelDigest.slice(0, 12)}: ${why}`);
  };
  const classes = labels.length;
  if (!(sketch.frames > 0)) refuse("its reference sketch counts no frames");
  for (const { feature, counts } of sketch.histograms) {
    if (!(sumOf(counts) > 0)) refuse(`its reference sketch has no counts of ${feature}`);
  }
  const frames = faults?.frames ?? 0;
  if (frames > golden.frames.length) refuse("its fault codebook has more frames than there are golden ones");
  for (const { name, logits } of faults?.pipeline ?? []) {
    if (logits.length !== frames || logits.some((frame) => frame.length !== classes)) {
      refuse(`the logits of fault ${name} are not ${frames} x ${classes}`);
    }
  }
  const { counts, means } = confusion ?? { counts: null, means: {} };
  if (counts !== null && (counts.length !== classes || counts.some((row) => row.length !== classes))) {
    refuse(`its confusion matrix is not ${classes} x ${classes}`);
  }
  for (const [feature, byClass] of Object.entries(means)) {
    if (byClass.length !== classes) refuse(`its means of ${feature} are not ${classes}`);
  }
  return {
    modelDigest,
    modelName: manifest.name,
    modelVersion: manifest.version,
    labels,
    classes: new Map(labels.map((label, i) => [label, i])),
    sketch,
    golden: golden.frames.map(({ logits }) => logits),
    faults,
    names: new FaultNames(cameraFaults ?? earlierExamples(faults)),
    confusion,
    errorRate: errorRateOf(manifest.metrics, confusion),
    validation: validationOf(confusion),
    streams: streamsOf(sketch),
  };
}

/** Faults that earlier packages have, and that no weather and no time of day makes. */
const OF_CAMERAS = new Set([
  "channels-swapped",
  "greyscale",
  "hard-compression",
  "low-resolution",
  "upside-down",
  "sensor-noise",
]);

const earlierExamples = (faults: FaultCodebook | null): FaultExamples => ({
  examples: (faults?.camera ?? []).map(({ name, shifts }): FaultExample => {
    return { name, place: OF_CAMERAS.has(name) ? "camera" : "both", shifts };
  }),
  spread: {},
});

/** Mean of (bin + 1/2) / bins; NaN without counts. */
export function binMean(counts: ArrayLike<number | bigint>): number {
  let frames = 0;
  let sum = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const count = Number(counts[bin]);
    frames += count;
    sum += count * (bin + 0.5);
  }
  return sum / (frames * counts.length);
}

function streamsOf(sketch: ReferenceSketch): readonly DriftStream[] {
  const frames = sumOf(Object.values(sketch.labels));
  const frequent = Object.entries(sketch.labels)
    .filter(([, count]) => count > 0)
    .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .slice(0, LABEL_STREAMS_MAX);
  return [
    ...sketch.histograms.map(({ feature, counts }) => ({ name: feature, reference: binMean(counts) })),
    ...frequent.map(([label, count]) => ({ name: LABEL_PREFIX + label, reference: count / frames })),
  ];
}

function errorRateOf(metrics: Readonly<Record<string, number>>, confusion: Confusion | null): number | null {
  const { accuracy } = metrics;
  if (accuracy !== undefined && accuracy >= 0 && accuracy <= 1) return 1 - accuracy;
  if (confusion === null) return null;
  const right = sumOf(confusion.counts.map((row, i) => row[i] ?? 0));
  const all = sumOf(confusion.counts.map(sumOf));
  return all > 0 ? 1 - right / all : null;
}

const validationOf = (confusion: Confusion | null): readonly RateSample[] | null =>
  confusion?.counts.map((row, truth) => ({ items: sumOf(row), events: sumOf(row) - (row[truth] ?? 0) })) ?? null;

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
