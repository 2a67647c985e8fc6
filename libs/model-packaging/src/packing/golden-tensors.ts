/** Golden frames with the tensors that the trainer's own preprocessing makes of them: where `preprocessor_config.json` makes others,
 * devices would run the model on what it was not trained on (training/serving skew). Packing alone can show it: later a device is
 * compared with the package, which would have the same fault. */
import { readdir, readFile } from "node:fs/promises";
import { join, parse } from "node:path";
import { type Preprocessing, parsePreprocessing } from "@tributary/inference";
import { Failure, reasonOf } from "@tributary/kernel";
import type { OnnxModel } from "@tributary/onnx";
import { fittedReading } from "./normalisation-fit.ts";
import { parseNpy } from "./npy.ts";
import {
  areWithinBand,
  OUTSIDE_MAX,
  type Pipeline,
  pipelineFaults,
  pixelDifferences,
  rightPipeline,
} from "./pipeline-faults.ts";
import type { Json, Reading } from "./readings.ts";

export type TrainerFrame = {
  readonly name: string;
  readonly jpeg: Uint8Array;
  /** Row-major, in the model's layout. */
  readonly tensor: Float32Array;
};

/** As golden/index.json may list. */
const FRAMES_MAX = 256;

const invalid = (message: string) => new Failure("golden-tensors-invalid", "ask-a-person", message);

/** NAME.jpg and NAME.npy of each frame, in order of names. */
export async function readTrainerFrames(dir: string): Promise<readonly TrainerFrame[]> {
  const files = await readdir(dir).catch((error: unknown) => {
    throw invalid(`--golden ${dir}: ${reasonOf(error)}`);
  });
  const jpegs = files.filter((file) => /\.jpe?g$/i.test(file)).sort();
  const tensors = new Set(files.filter((file) => file.endsWith(".npy")).map((file) => parse(file).name));
  const bare = jpegs.find((file) => !tensors.has(parse(file).name));
  if (bare !== undefined) throw invalid(`--golden ${dir}: ${bare} has no ${parse(bare).name}.npy beside it`);
  const names = new Set(jpegs.map((file) => parse(file).name));
  const lone = [...tensors].find((name) => !names.has(name));
  if (lone !== undefined) throw invalid(`--golden ${dir}: ${lone}.npy has no ${lone}.jpg beside it`);
  if (jpegs.length === 0 || jpegs.length > FRAMES_MAX) {
    throw invalid(`--golden ${dir}: ${jpegs.length} JPEGs; 1 to ${FRAMES_MAX} are taken, and 16 are enough`);
  }
  return Promise.all(
    jpegs.map(async (file) => {
      const path = join(dir, `${parse(file).name}.npy`);
      const { values } = parseNpy(await readFile(path), path);
      return { name: file, jpeg: await readFile(join(dir, file)), tensor: values };
    }),
  );
}

export type Described = {
  readonly config: Json;
  /** Other files that might have been meant. */
  readonly readings: readonly Reading[];
  /** Where the file is. */
  readonly path: string;
};

/** Frames on which the fault is looked for. */
const SEARCHED = 8;
/** Root mean square of the differences, in units of 8-bit pixels, up to which tensors are those of the file: Pillow's are equal. */
const EXACT = 0.1;
/** Of two descriptions one is nearer when it leaves so much of the other's difference. */
const NEARER = 0.5;

/** Throws Failure `golden-tensors-differ`, with the fault's name and what to change, where the file makes other tensors than the
 * trainer's by more than two implementations differ, or by less, while another file makes clearly nearer ones. `load` loads the model,
 * to show what the difference does. */
export async function checkTrainerTensors(
  described: Described,
  frames: readonly TrainerFrame[],
  load: () => Promise<OnnxModel>,
): Promise<void> {
  const preprocessing = parsePreprocessing(described.config);
  const pairs = await Promise.all(frames.map(pairBy(rightPipeline(preprocessing))));
  const differing = pairs.filter(({ ours, theirs }) => !areWithinBand(ours, theirs, preprocessing));
  if (differing.length === 0) return checkNearest(described, pairs, preprocessing);
  const far = Math.max(...differing.map(({ ours, theirs }) => pixelDifferences(ours, theirs, preprocessing).max));
  const by = Number.isFinite(far) ? `by up to ${far.toFixed(0)} of 255` : "in their size";
  const found = `on ${differing.length} of ${frames.length} golden frames ${described.path} makes other tensors than the trainer's, ${by}`;
  const harm = Number.isFinite(far) ? await harmOf(differing, load) : "";
  const fault = await faultOf(described, differing.slice(0, SEARCHED), preprocessing);
  throw new Failure("golden-tensors-differ", "ask-a-person", `${found}${harm}.\n  ${fault}`);
}

/** A small difference hides a wrong kernel or mean: it is named where another file leaves half of the difference or less. */
async function checkNearest(described: Described, pairs: readonly Pair[], preprocessing: Preprocessing): Promise<void> {
  const squares = pairs.map(({ ours, theirs }) => pixelDifferences(ours, theirs, preprocessing).meanSquare);
  const own = Math.sqrt(squares.reduce((sum, one) => sum + one, 0) / squares.length);
  if (own <= EXACT) return;
  const cure = await cureOf(described, pairs.slice(0, SEARCHED), preprocessing);
  if (cure === null || cure.distance > NEARER * own) return;
  const found = `${described.path} makes nearly the trainer's tensors, within the tolerance, but ${own.toFixed(2)} of 255 from them (root mean square)`;
  const nearer = `${cure.text} (${cure.distance.toFixed(2)} of 255)`;
  throw new Failure("golden-tensors-differ", "ask-a-person", `${found}.\n  ${nearer}`);
}

type Pair = { readonly jpeg: Uint8Array; readonly ours: Float32Array; readonly theirs: Float32Array };

const pairBy =
  (pipeline: Pipeline) =>
  async ({ name, jpeg, tensor }: TrainerFrame): Promise<Pair> => {
    const ours = await pipeline(jpeg).catch((error: unknown) => {
      throw invalid(`${name}: ${reasonOf(error)}`);
    });
    return { jpeg, ours, theirs: tensor };
  };

async function harmOf(pairs: readonly Pair[], load: () => Promise<OnnxModel>): Promise<string> {
  const model = await load();
  try {
    const answersOf = async (tensors: readonly Float32Array[]) =>
      (await model.inferTensors(tensors)).map((result) => (result.ok ? bestOf(result.inference.logits) : -1));
    const [own, other] = [
      await answersOf(pairs.map(({ ours }) => ours)),
      await answersOf(pairs.map(({ theirs }) => theirs)),
    ];
    const changed = own.filter((label, i) => label !== other[i]).length;
    return `; for ${changed} of these the model answers another class`;
  } finally {
    await model.close();
  }
}

/**
 * A file that makes the trainer's tensors is the cure, and the fault is what makes ours where that file is right. Otherwise the
 * trainer does something that no file can describe: a fault of ours makes its tensors.
 */
async function faultOf(described: Described, pairs: readonly Pair[], preprocessing: Preprocessing): Promise<string> {
  const cure = await cureOf(described, pairs, preprocessing);
  if (cure !== null) return cure.text;
  const { config, path } = described;
  const faults = pipelineFaults(config).map((fault) => ({ ...fault, preprocessing }));
  const fault = await nearestOf(faults, pairs, ({ theirs }) => theirs);
  if (fault !== null) {
    return `Fault: ${fault.name}. The trainer's tensors are those of ${path} with this fault, which no file describes: change the preprocessing of the training, or the file if the training had another one`;
  }
  return `No single fault explains it. Compare one frame's tensor with the trainer's step by step: decoding, size and kernel, order and layout of channels, range, mean, deviation`;
}

/** The file that makes the trainer's tensors best of those that make them at all: one of the known readings, or one with the mean,
 * deviation or scale that fit. */
async function cureOf({ config, readings, path }: Described, pairs: readonly Pair[], preprocessing: Preprocessing) {
  const fitted = fittedReading(config, preprocessing, pairs);
  const candidates = [...readings, ...(fitted === null ? [] : [fitted])].map((reading) => {
    const other = parsePreprocessing(reading.config);
    return { reading, preprocessing: other, tensorOf: rightPipeline(other) };
  });
  const nearest = await nearestOf(candidates, pairs, ({ theirs }) => theirs);
  if (nearest === null) return null;
  const { reading, distance } = nearest;
  const faults = pipelineFaults(reading.config).map((fault) => ({ ...fault, preprocessing: nearest.preprocessing }));
  const fault = reading === fitted ? null : await nearestOf(faults, pairs, ({ ours }) => ours);
  const fit = candidates.at(-1);
  const isFit = fit?.reading === fitted && (await distanceOf(fit, pairs, ({ theirs }) => theirs)) < distance + EXACT;
  const differences = isFit ? fitted?.differences : undefined;
  const named = fault?.name ?? differences;
  const text = `The trainer's tensors are those of ${reading.what}: write that in ${path}`;
  return {
    distance,
    text: `${named === undefined ? "The preprocessing is described wrongly" : `Fault: ${named}`}. ${text}`,
  };
}

type Candidate = { readonly tensorOf: Pipeline; readonly preprocessing: Preprocessing };

/** The one whose tensors are within the band of the wanted ones, and nearest; of equally near ones the first. */
async function nearestOf<T extends Candidate>(
  candidates: readonly T[],
  pairs: readonly Pair[],
  wanted: (pair: Pair) => Float32Array,
): Promise<(T & { readonly distance: number }) | null> {
  let nearest: (T & { readonly distance: number }) | null = null;
  for (const candidate of candidates) {
    const distance = await distanceOf(candidate, pairs, wanted);
    if (distance < (nearest?.distance ?? Number.POSITIVE_INFINITY) - EXACT / 2) nearest = { ...candidate, distance };
  }
  return nearest;
}

/** Root mean square of the differences in units of 8-bit pixels; infinite outside the band. */
async function distanceOf(
  { tensorOf, preprocessing }: Candidate,
  pairs: readonly Pair[],
  wanted: (pair: Pair) => Float32Array,
): Promise<number> {
  let squares = 0;
  for (const pair of pairs) {
    const tensor = await tensorOf(pair.jpeg).catch(() => null);
    if (tensor === null) return Number.POSITIVE_INFINITY;
    const { outside, meanSquare } = pixelDifferences(tensor, wanted(pair), inUnitsOf(wanted(pair), preprocessing));
    if (outside > OUTSIDE_MAX) return Number.POSITIVE_INFINITY;
    squares += meanSquare;
  }
  return Math.sqrt(squares / pairs.length);
}

/** A file that does not rescale has a band of several units, in which tensors of another range would be all the same: a pixel's
 * step is at most a 64th of the range that a tensor has. */
function inUnitsOf(tensor: Float32Array, preprocessing: Preprocessing): Preprocessing {
  let [low, high] = [tensor[0] as number, tensor[0] as number];
  for (const value of tensor) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { ...preprocessing, scale: preprocessing.scale.map((step) => Math.min(step, (high - low) / 64)) };
}

function bestOf(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}
