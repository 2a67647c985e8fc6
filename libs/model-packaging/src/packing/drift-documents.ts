/** What drift is named with later (golden/faults.json, confusion.json): what the model answers, and how its sketch moves, under
 * faults that are made on purpose, on the runtime of devices. */
import { readFile } from "node:fs/promises";
import {
  type Appearance,
  appearanceOf,
  binOf,
  CONFUSION_CLASSES_MAX,
  type Confusion,
  emptySketch,
  type FaultCodebook,
  type FaultExample,
  type FaultExamples,
  goldenReportFrames,
  type Inference,
  observe,
  parsePreprocessing,
  pictureChange,
  type ReferenceSketch,
  type SketchObservation,
  shiftParts,
  sketchValue,
} from "@tributary/inference";
import { Failure, seededRandom } from "@tributary/kernel";
import type { OnnxModel } from "@tributary/onnx";
import type { ValidationFrame } from "../validation/frames.ts";
import { type CameraFault, cameraFaults, faultyJpeg, plainFrame, severities } from "./camera-faults.ts";
import { type GoldenSource, type Observed, observationsOf, rounded } from "./documents.ts";
import { areWithinBand, noisyPicture, pipelineFaults, rightPipeline } from "./pipeline-faults.ts";
import type { Json } from "./readings.ts";

/** Each frame is compared with itself, so a few dozen show what a fault does. */
const EXAMPLE_FRAMES = 12;
const SPREAD = { draws: 40, frames: 60 } as const;
const BATCH = 32;
/** Each of all golden frames at once. */
const NOISE_DRAWS = 4;
const SEED = 13;

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
  for (const { name, pictureOf, finish } of pipelineFaults(config)) {
    const pictures = await Promise.all(jpegs.map(pictureOf));
    const tensors = pictures.map(finish);
    if (tensors.every((tensor, i) => areWithinBand(tensor, right[i] as Float32Array, preprocessing))) continue;
    const logits = await logitsOf(model, tensors, name);
    const key = JSON.stringify(logits);
    if (seen.has(key)) continue;
    seen.add(key);
    // Agents that know no Pillow know no noise either: a package that is made for them has none.
    if (preprocessing.library !== "pillow") {
      pipeline.push({ name, logits });
      continue;
    }
    let noise = 0;
    for (let draw = 0; draw < NOISE_DRAWS; draw++) {
      const noisy = pictures.map((picture, i) => {
        return finish(noisyPicture(picture, preprocessing, seededRandom(SEED + draw * pictures.length + i)));
      });
      noise = Math.max(noise, rmsBetween(logits, await logitsOf(model, noisy, name)));
    }
    if (Number.isFinite(noise)) pipeline.push({ name, logits, noise: rounded(noise) });
  }
  return pipeline;
}

type Logits = readonly (readonly number[])[];

const logitsOf = async (model: OnnxModel, tensors: readonly Float32Array[], fault: string): Promise<Logits> =>
  (await model.inferTensors(tensors)).map((result) => {
    if (!result.ok) throw new Failure(result.code, "ask-a-person", `fault ${fault}: ${result.message}`);
    return Array.from(result.inference.logits, rounded);
  });

/** Root mean square of the differences. */
function rmsBetween(a: Logits, b: Logits): number {
  const [left, right] = [a.flat(), b.flat()];
  return Math.sqrt(left.reduce((sum, value, i) => sum + (value - (right[i] as number)) ** 2, 0) / left.length);
}

/** What each fault of a camera does to some validation frames, each compared with itself. `isResizing`: whether the model takes
 * pictures of any size. */
export async function cameraExamples(
  model: OnnxModel,
  temperature: number,
  { frames, labels }: Observed,
  observations: readonly SketchObservation[],
  sketch: ReferenceSketch,
  isResizing: boolean,
): Promise<FaultExamples> {
  const places = drawn(frames.length).slice(0, EXAMPLE_FRAMES);
  const plain = await Promise.all(
    places.map(async (place) => plainFrame(await readFile((frames[place] as ValidationFrame).path), isResizing)),
  );
  const seen = async (fault: CameraFault | null, severity: number, camera: number): Promise<Seen | null> => {
    const jpegs = await Promise.all(plain.map((frame, i) => faultyJpeg(frame, fault, severity, camera, i)));
    const inferences = await inferAll(model, jpegs);
    return inferences === null ? null : seenOf(observationsOf({ inferences, labels }, temperature), sketch);
  };
  const before = await seen(null, 0, 0);
  if (before === null) return { examples: [], spread: {} };
  const examples: FaultExample[] = [];
  for (const [f, fault] of cameraFaults.entries()) {
    for (const [i, severity] of severities.entries()) {
      const after = await seen(fault, severity, SEED + f * severities.length + i);
      if (after === null) continue;
      const shifts = shiftsBetween(before, after);
      const last = examples.at(-1);
      // Some faults have no severity.
      if (last?.name === fault.name && sameShifts(last.shifts, shifts)) continue;
      examples.push({ name: fault.name, place: fault.place, shifts });
    }
  }
  return { examples, spread: spreadOf(observations, frames, labels.length, sketch) };
}

const sameShifts = (a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): boolean =>
  Object.keys(a).every((name) => a[name] === b[name]);

/** By how much frames without a fault differ from other such frames, drawn by other mixes of classes. */
export function spreadOf(
  observations: readonly SketchObservation[],
  frames: Observed["frames"],
  classes: number,
  sketch: ReferenceSketch,
): Readonly<Record<string, number>> {
  const random = seededRandom(SEED);
  const byClass = Array.from({ length: classes }, (_, label) =>
    [...frames.keys()].filter((i) => frames[i]?.label === label),
  );
  const seen = () => {
    const weights = byClass.map((of) => (of.length === 0 ? 0 : -Math.log(1 - random())));
    const sum = weights.reduce((all, weight) => all + weight, 0);
    const places = Array.from({ length: SPREAD.frames }, () => {
      const of = byClass[placeOf(weights, sum * random())] as readonly number[];
      return of[Math.floor(random() * of.length)] as number;
    });
    const drawn = places.map((place) => observations[place] as SketchObservation);
    return seenOf(drawn, sketch);
  };
  const squares: Record<string, number> = {};
  for (let draw = 0; draw < SPREAD.draws; draw++) {
    const parts = shiftParts(shiftsBetween(seen(), seen()));
    for (const name in parts) squares[name] = (squares[name] ?? 0) + (parts[name] as number) ** 2 / SPREAD.draws;
  }
  return Object.fromEntries(Object.entries(squares).map(([name, square]) => [name, short(Math.sqrt(square))]));
}

/** Of the weight in which a lot falls; the last that has one, whatever rounding does. */
function placeOf(weights: readonly number[], lot: number): number {
  let [rest, last] = [lot, 0];
  for (const [place, weight] of weights.entries()) {
    if (weight > 0) last = place;
    rest -= weight;
    if (rest < 0) break;
  }
  return last;
}

type Seen = { readonly means: Readonly<Record<string, number>>; readonly appearance: Appearance };

function seenOf(observations: readonly SketchObservation[], sketch: ReferenceSketch): Seen {
  const window = emptySketch(sketch);
  for (const observation of observations) observe(window, sketch, observation);
  const { grid, frames, quality, encoders } = window;
  return { means: featureMeans(observations, sketch), appearance: appearanceOf(grid, frames, quality, encoders) };
}

function shiftsBetween(before: Seen, after: Seen): Readonly<Record<string, number>> {
  const features = Object.entries(before.means).map(
    ([name, mean]) => [name, (after.means[name] ?? mean) - mean] as const,
  );
  const all = [...features, ...Object.entries(pictureChange(before.appearance, after.appearance))];
  return Object.fromEntries(all.map(([name, shift]) => [name, short(shift)]));
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
