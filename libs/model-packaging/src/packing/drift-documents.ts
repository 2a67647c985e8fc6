/** What drift is named with later (golden/faults.json, confusion.json): what the model answers, and how its sketch moves, under
 * faults that are made on purpose, on the runtime of devices. */
import { readFile } from "node:fs/promises";
import {
  binOf,
  CONFUSION_CLASSES_MAX,
  type Confusion,
  type FaultCodebook,
  goldenReportFrames,
  type Inference,
  jpegHeader,
  parsePreprocessing,
  type ReferenceSketch,
  type SketchObservation,
  sketchValue,
} from "@tributary/inference";
import { Failure, seededRandom } from "@tributary/kernel";
import type { OnnxModel } from "@tributary/onnx";
import { cameraFaults } from "../gating/corruptions.ts";
import type { ValidationFrame } from "../validation/frames.ts";
import { type GoldenSource, type Observed, observationsOf, rounded } from "./documents.ts";
import { areWithinBand, pipelineFaults, rightPipeline } from "./pipeline-faults.ts";
import type { Json } from "./readings.ts";

/** Of the validation frames every 4th is shown with each fault of a camera: at most so many, and fewer of large pictures. Each is
 * compared with itself, so a few dozen show what a fault does. */
const CAMERA_FRAMES = { every: 4, max: 300, min: 50, pixelsMax: 60e6 } as const;
const BATCH = 32;
const SEED = 13;
/** Classes whose shares a monitor follows: the most frequent ones. */
const LABELS_MAX = 16;

/** Of the first golden frames, as many as a device reports. What makes the right tensors, within the band, is no fault; one that
 * makes the logits of an earlier one is none of its own. */
export async function pipelineLogits(
  model: OnnxModel,
  golden: readonly GoldenSource[],
  config: Json,
): Promise<FaultCodebook["pipeline"]> {
  const jpegs = golden.slice(0, goldenReportFrames(model.labels.length, golden.length)).map(({ jpeg }) => jpeg);
  if (jpegs.length === 0) return [];
  const preprocessing = parsePreprocessing(config);
  const right = await Promise.all(jpegs.map(rightPipeline(preprocessing)));
  const seen = new Set<string>();
  const pipeline: FaultCodebook["pipeline"][number][] = [];
  for (const { name, tensorOf } of pipelineFaults(config)) {
    const tensors = await Promise.all(jpegs.map(tensorOf));
    if (tensors.every((tensor, i) => areWithinBand(tensor, right[i] as Float32Array, preprocessing))) continue;
    const logits = (await model.inferTensors(tensors)).map((result) => {
      if (!result.ok) throw new Failure(result.code, "ask-a-person", `fault ${name}: ${result.message}`);
      return Array.from(result.inference.logits, rounded);
    });
    const key = JSON.stringify(logits);
    if (seen.has(key) || !logits.flat().every(Number.isFinite)) continue;
    seen.add(key);
    pipeline.push({ name, logits });
  }
  return pipeline;
}

export async function cameraShifts(
  model: OnnxModel,
  temperature: number,
  { frames, labels }: Observed,
  observations: readonly SketchObservation[],
  sketch: ReferenceSketch,
): Promise<FaultCodebook["camera"]> {
  const order = drawn(frames.length);
  const read = (place: number) => readFile((frames[place] as ValidationFrame).path);
  const { width, height } = jpegHeader(await read(0)) ?? { width: 1, height: 1 };
  const { every, max, min, pixelsMax } = CAMERA_FRAMES;
  const affordable = Math.max(min, Math.min(max, Math.floor(pixelsMax / (width * height))));
  const places = order.slice(0, Math.min(affordable, Math.ceil(frames.length / every)));
  const jpegs = await Promise.all(places.map(read));
  const before = streamMeans(
    places.map((place) => observations[place] as SketchObservation),
    sketch,
  );
  const camera: FaultCodebook["camera"][number][] = [];
  for (const { name, apply } of cameraFaults) {
    const inferences = await inferAll(model, await Promise.all(jpegs.map((jpeg, i) => apply(jpeg, i + 1))));
    // A model that takes pictures of one size alone refuses those of another: no shift that a sketch could show.
    if (inferences === null) continue;
    const after = streamMeans(observationsOf({ inferences, labels }, temperature), sketch);
    const shifts = Object.entries(before).map(([stream, mean]) => [stream, short((after[stream] ?? mean) - mean)]);
    camera.push({ name, shifts: Object.fromEntries(shifts) });
  }
  return camera;
}

/** null where a class has so many others that no matrix of them is of use. */
export function confusionOf(
  { frames, labels }: Observed,
  observations: readonly SketchObservation[],
  sketch: ReferenceSketch,
): Confusion | null {
  if (labels.length > CONFUSION_CLASSES_MAX) return null;
  const counts = labels.map(() => labels.map(() => 0));
  for (const [i, { label }] of observations.entries()) {
    const row = counts[frames[i]?.label as number] as number[];
    const predicted = labels.indexOf(label);
    row[predicted] = (row[predicted] as number) + 1;
  }
  const ofAll = featureMeans(observations, sketch);
  const ofClass = labels.map((_, label) =>
    featureMeans(
      observations.filter((_unused, i) => frames[i]?.label === label),
      sketch,
    ),
  );
  // A class without frames has no mean of its own; with that of all it explains nothing.
  const means = Object.entries(ofAll).map(([feature, mean]) => [
    feature,
    ofClass.map((own) => short(own[feature] ?? mean)),
  ]);
  return { formatVersion: 1, counts, means: Object.fromEntries(means) };
}

const short = (mean: number): number => Number(mean.toFixed(4));

async function inferAll(model: OnnxModel, jpegs: readonly Uint8Array[]): Promise<readonly Inference[] | null> {
  const inferences: Inference[] = [];
  for (let from = 0; from < jpegs.length; from += BATCH) {
    for (const result of await model.inferBatch(jpegs.slice(from, from + BATCH))) {
      if (!result.ok) return null;
      inferences.push(result.inference);
    }
  }
  return inferences;
}

function streamMeans(
  observations: readonly SketchObservation[],
  sketch: ReferenceSketch,
): Readonly<Record<string, number>> {
  const frequent = Object.entries(sketch.labels).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const shares = frequent.slice(0, LABELS_MAX).map(([label]) => {
    const count = observations.filter((observation) => observation.label === label).length;
    return [`label:${label}`, count / observations.length] as const;
  });
  return { ...featureMeans(observations, sketch), ...Object.fromEntries(shares) };
}

/** Of each feature that was observed, the mean of (bin + 1/2) / bins. */
function featureMeans(
  observations: readonly SketchObservation[],
  { histograms }: ReferenceSketch,
): Readonly<Record<string, number>> {
  const means = histograms.map(({ feature, edges, counts }) => {
    const values = observations.map((observation) => sketchValue(feature, observation)).filter(Number.isFinite);
    const sum = values.reduce((all, value) => all + (binOf(edges, value) + 0.5) / counts.length, 0);
    return values.length === 0 ? [] : [[feature, sum / values.length] as const];
  });
  return Object.fromEntries(means.flat());
}

/** Places of frames in an order by lot. */
function drawn(frames: number): readonly number[] {
  const random = seededRandom(SEED);
  const lots = Array.from({ length: frames }, (_, place) => ({ place, lot: random() }));
  return lots.sort((a, b) => a.lot - b.lot).map(({ place }) => place);
}
