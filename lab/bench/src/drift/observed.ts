/** Photos as a model's child sees them: each frame's features, binned by the package's reference sketch, and its label. */
import {
  binOf,
  FRAME_GRID,
  type ReferenceSketch,
  SKETCH_BINS,
  type SketchObservation,
  sketchValue,
} from "@tributary/inference";
import type { Random } from "@tributary/kernel";
import type { OnnxModel } from "@tributary/onnx";
import { calibrate } from "@tributary/routing";

/** `label`: the true class. */
export type Photo = { readonly jpeg: Uint8Array; readonly label: number };
export type PhotoSet = { readonly name: string; readonly photos: readonly Photo[] };

const BATCH = 50;

/** Frames of all sets, one after the other. */
export class Observed {
  /** Of the sketch, then `label:CLASS`. */
  readonly streams: readonly string[];
  readonly features: number;
  /** frames x streams: (bin + 1/2) / 32; of a label 1 or 0. */
  readonly values: Float32Array;
  /** frames x features */
  readonly raw: Float32Array;
  /** Predicted classes. */
  readonly labels: Uint8Array;
  /** frames x FRAME_GRID */
  readonly grids: Uint8Array;
  readonly qualities: Uint8Array;
  readonly encoders: string[];
  /** By set and true class: frames. */
  readonly #frames = new Map<string, readonly (readonly number[])[]>();

  private constructor(reference: ReferenceSketch, classes: readonly string[], sets: readonly PhotoSet[]) {
    const features = reference.histograms.map(({ feature }) => feature);
    this.streams = [...features, ...classes.map((name) => `label:${name}`)];
    this.features = features.length;
    let frames = 0;
    for (const { name, photos } of sets) {
      const byClass = classes.map((): number[] => []);
      for (const { label } of photos) byClass[label]?.push(frames++);
      this.#frames.set(name, byClass);
    }
    this.values = new Float32Array(frames * this.streams.length);
    this.raw = new Float32Array(frames * this.features);
    this.labels = new Uint8Array(frames);
    this.grids = new Uint8Array(frames * FRAME_GRID);
    this.qualities = new Uint8Array(frames);
    this.encoders = new Array<string>(frames).fill("");
  }

  /** `models`: of one package, to use as many cores. */
  static async of(
    models: readonly OnnxModel[],
    reference: ReferenceSketch,
    sets: readonly PhotoSet[],
    progress: (line: string) => void,
  ): Promise<Observed> {
    const { labels, temperature } = models[0] as OnnxModel;
    const observed = new Observed(reference, labels, sets);
    const photos = sets.flatMap((set) => set.photos);
    let next = 0;
    await Promise.all(
      models.map(async (model) => {
        while (next < photos.length) {
          const from = next;
          next += BATCH;
          const results = await model.inferBatch(photos.slice(from, from + BATCH).map(({ jpeg }) => jpeg));
          for (const [i, result] of results.entries()) {
            if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
            const { logits, picture } = result.inference;
            const { labelIndex, ...confidence } = calibrate(logits, temperature);
            observed.#set(from + i, labelIndex, { label: labels[labelIndex] ?? "", ...confidence, picture }, reference);
          }
          if (from % 2_000 === 0) progress(`  ${from} of ${photos.length} frames through the model`);
        }
      }),
    );
    return observed;
  }

  get count(): number {
    return this.labels.length;
  }

  /** Frames of a set by true class. */
  framesOf(set: string): readonly (readonly number[])[] {
    const frames = this.#frames.get(set);
    if (frames === undefined) throw new Error(`there is no set ${set}`);
    return frames;
  }

  /** Mean of each stream over the frames. */
  mean(frames: ArrayLike<number>, into: Float64Array): Float64Array {
    const size = this.streams.length;
    into.fill(0);
    for (let i = 0; i < frames.length; i++) {
      const from = (frames[i] as number) * size;
      for (let s = 0; s < size; s++) into[s] = (into[s] as number) + (this.values[from + s] as number);
    }
    for (let s = 0; s < size; s++) into[s] = (into[s] as number) / frames.length;
    return into;
  }

  #set(frame: number, label: number, observation: SketchObservation, reference: ReferenceSketch): void {
    for (const [f, { feature, edges }] of reference.histograms.entries()) {
      const value = sketchValue(feature, observation);
      this.raw[frame * this.features + f] = value;
      this.values[frame * this.streams.length + f] = (binOf(edges, value) + 0.5) / SKETCH_BINS;
    }
    this.values[frame * this.streams.length + this.features + label] = 1;
    this.labels[frame] = label;
    this.grids.set(observation.picture.grid, frame * FRAME_GRID);
    this.qualities[frame] = observation.picture.quality;
    this.encoders[frame] = observation.picture.encoder;
  }
}

/** Shares of the true classes, drawn evenly from all there are; `concentration` below 1: more uneven ones. */
export function drawMix(random: Random, classes: number, concentration = 1): readonly number[] {
  // A gamma of shape `concentration` by Jöhnk for shapes up to 1.
  const gamma = () => {
    for (;;) {
      const a = random() ** (1 / concentration);
      const b = concentration < 1 ? random() ** (1 / (1 - concentration)) : 0;
      if (a + b <= 1) return (a / (a + b || 1)) * -Math.log(1 - random());
    }
  };
  const shares = Array.from({ length: classes }, gamma);
  const sum = shares.reduce((all, one) => all + one, 0);
  return shares.map((share) => share / sum);
}

/** Draws the frames of a camera with its own mix of classes; a scene shows one class for a few frames. */
export class Scenes {
  readonly #random: Random;
  readonly #mix: readonly number[];
  readonly #sceneFrames: number;
  #class = -1;

  constructor(random: Random, mix: readonly number[], sceneFrames = 5) {
    this.#random = random;
    this.#mix = mix;
    this.#sceneFrames = sceneFrames;
  }

  draw(byClass: readonly (readonly number[])[], into: Uint32Array): Uint32Array {
    for (let i = 0; i < into.length; i++) {
      if (this.#class < 0 || this.#random() * this.#sceneFrames < 1) this.#class = this.#draw();
      const frames = byClass[this.#class] as readonly number[];
      into[i] = frames[Math.floor(this.#random() * frames.length)] as number;
    }
    return into;
  }

  #draw(): number {
    let rest = this.#random();
    for (const [place, share] of this.#mix.entries()) {
      rest -= share;
      if (rest < 0) return place;
    }
    return this.#mix.length - 1;
  }
}
