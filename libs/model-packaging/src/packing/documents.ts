/** The documents of a package, computed from the model's answers on the validation frames. */
import {
  buildReferenceSketch,
  type GoldenFrame,
  type Inference,
  packageFiles,
  type SketchObservation,
} from "@tributary/inference";
import { type Calibrated, calibrate } from "@tributary/routing";
import { expectedCalibrationError, fitTemperature, negativeLogLikelihood } from "@tributary/statistics";
import type { ValidationFrame } from "../validation/frames.ts";

export type Observed = {
  readonly frames: readonly ValidationFrame[];
  readonly inferences: readonly Inference[];
  readonly labels: readonly string[];
};

/** As much of it as calibration and routing need. */
export type Answered = Omit<Observed, "inferences"> & { readonly inferences: readonly Pick<Inference, "logits">[] };

/** Digits that a different build of the same runtime reproduces. */
const DIGITS = 6;
export const rounded = (value: number): number => Number(value.toPrecision(DIGITS));

export const encodeJson = (value: unknown, indent = 2): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, null, indent)}\n`);

export function temperatureOf({ frames, inferences }: Answered): number {
  return rounded(
    fitTemperature(
      inferences.map(({ logits }) => logits),
      frames.map(({ label }) => label),
    ),
  );
}

export const calibratedOf = ({ inferences }: Observed, temperature: number): readonly Calibrated[] =>
  inferences.map(({ logits }) => calibrate(logits, temperature));

export function metricsOf(observed: Observed, temperature: number): Readonly<Record<string, number>> {
  const calibrated = calibratedOf(observed, temperature);
  const right = calibrated.map(({ labelIndex }, i) => labelIndex === observed.frames[i]?.label);
  const confidences = calibrated.map(({ confidence }) => confidence);
  const logits = observed.inferences.map((inference) => inference.logits);
  const labels = observed.frames.map(({ label }) => label);
  return {
    frames: observed.frames.length,
    accuracy: right.filter(Boolean).length / right.length,
    ece: rounded(expectedCalibrationError(confidences, right) ?? 1),
    nll: rounded(negativeLogLikelihood(logits, labels, temperature) ?? 0),
  };
}

export function observationsOf(
  { inferences, labels }: Omit<Observed, "frames">,
  temperature: number,
): readonly SketchObservation[] {
  return inferences.map(({ picture, logits }): SketchObservation => {
    const { labelIndex, confidence, margin, entropy } = calibrate(logits, temperature);
    return { label: labels[labelIndex] ?? "", confidence, margin, entropy, picture };
  });
}

/** Both versions: agents of the field refuse a feature that they do not know in the first. */
export function sketchFiles(
  observations: readonly SketchObservation[],
  classes: number,
): Readonly<Record<string, Uint8Array>> {
  return {
    [packageFiles.referenceSketch]: encodeJson(buildReferenceSketch(observations, classes, 1)),
    [packageFiles.referenceSketchV2]: encodeJson(buildReferenceSketch(observations, classes, 2)),
  };
}

/** `count` frames spread over the classes: what a device must reproduce before it may run the model. */
export function goldenPlaces(frames: readonly ValidationFrame[], count: number, classes: number): readonly number[] {
  const places: number[] = [];
  const taken = new Map<number, number>();
  const perClass = Math.ceil(count / classes);
  frames.forEach(({ label }, i) => {
    const already = taken.get(label) ?? 0;
    if (places.length >= count || already >= perClass) return;
    taken.set(label, already + 1);
    places.push(i);
  });
  return places;
}

export type GoldenSource = { readonly jpeg: Uint8Array; readonly inference: Inference };

export function goldenFiles(sources: readonly GoldenSource[]): Readonly<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  const frames = sources.map(({ jpeg, inference }, i): GoldenFrame => {
    const name = `golden/frame-${String(i).padStart(2, "0")}`;
    files[`${name}.jpg`] = jpeg;
    files[`${name}.rgb`] = inference.pixels ?? new Uint8Array();
    return {
      jpeg: `${name}.jpg`,
      pixels: `${name}.rgb`,
      tensorDigest: inference.tensorDigest ?? "",
      logits: Array.from(inference.logits, rounded),
    };
  });
  files[packageFiles.goldenIndex] = encodeJson({ formatVersion: 1, frames });
  return files;
}
