/**
 * Which frames a step is trained on. Slice frames and base photos are two endless sequences of passes, each pass a shuffle of all of
 * its frames; a step takes the next ones of both. So every frame is seen before any of its class is seen again.
 *
 * A frame of a rare class is several times in a pass, the root of how much rarer its class is than the largest: as often as others its
 * class would be forgotten first, and fully balanced the model would answer it too often.
 *
 * B1. A batch follows from seed and step alone: a training that is resumed at a step sees the batches of one that was not interrupted. */
import { hashOf, type Random, seededRandom } from "@tributary/kernel";
import type { Recipe } from "../recipe.ts";
import { type Augmentation, drawAugmentation } from "./augment.ts";

export type BatchFrame = {
  /** Number among the slice's, or among the base's, frames of TRAIN. */
  readonly index: number;
  readonly isSlice: boolean;
  /** A base photo that is to look like the slice's frames. */
  readonly isMatched: boolean;
  readonly augmentation: Augmentation;
};

export type BatchPlan = {
  readonly steps: number;
  batchAt(step: number): readonly BatchFrame[];
};

/** Numbers of the frames' classes, in the order of the frames. */
export type PlannedFrames = { readonly slice: readonly number[]; readonly base: readonly number[] };

/** A pass has a frame at most so often. */
const REPEATS_MAX = 4;

/** Both have at least 1. */
export function batchPlan(frames: PlannedFrames, recipe: Recipe, seed: string): BatchPlan {
  const { length: sliceFrames } = frames.slice;
  const { length: baseFrames } = frames.base;
  const sliceCount = Math.min(recipe.sliceFramesPerBatch, recipe.batch);
  const baseCount = recipe.batch - sliceCount;
  const slice = new Passes(passOf(frames.slice), `${seed}\nslice`);
  const base = new Passes(passOf(frames.base), `${seed}\nbase`);
  const wanted = (recipe.epochs * sliceFrames) / sliceCount;
  const most = (recipe.basePassesMax * baseFrames) / baseCount;
  const steps = Math.max(1, Math.round(Math.min(wanted, most)));
  return {
    steps,
    batchAt: (step) => {
      const random = seededRandom(hashOf(`${seed}\naugment\n${step}`));
      const frame = (isSlice: boolean) => (index: number, place: number) => ({
        index,
        isSlice,
        isMatched: !isSlice && place < recipe.matchedFramesPerBatch,
        augmentation: drawAugmentation(random, recipe),
      });
      return [
        ...slice.at(step * sliceCount, sliceCount).map(frame(true)),
        ...base.at(step * baseCount, baseCount).map(frame(false)),
      ];
    },
  };
}

/** `count` different numbers below `size`, or all, in random order. */
export function drawSome(size: number, count: number, seed: string): readonly number[] {
  return shuffled(size, seededRandom(hashOf(seed))).slice(0, count);
}

/** An order of the numbers below `size`. */
export function shuffled(size: number, random: Random): readonly number[] {
  const order = Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** Numbers of the frames of a pass, in order. */
function passOf(labels: readonly number[]): readonly number[] {
  const counts = new Map<number, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const largest = Math.max(...counts.values());
  return labels.flatMap((label, index) => {
    const repeats = Math.round(Math.sqrt(largest / (counts.get(label) as number)));
    return new Array<number>(Math.min(REPEATS_MAX, repeats)).fill(index);
  });
}

class Passes {
  readonly #frames: readonly number[];
  readonly #seed: string;
  /** The last one that was asked for; steps ask in order. */
  #pass = -1;
  #order: readonly number[] = [];

  constructor(frames: readonly number[], seed: string) {
    this.#frames = frames;
    this.#seed = seed;
  }

  at(from: number, count: number): readonly number[] {
    return Array.from({ length: count }, (_, i) => {
      const place = from + i;
      const { length: size } = this.#frames;
      const pass = Math.floor(place / size);
      if (pass !== this.#pass) {
        this.#order = shuffled(size, seededRandom(hashOf(`${this.#seed}\n${pass}`)));
        this.#pass = pass;
      }
      return this.#frames[this.#order[place % size] as number] as number;
    });
  }
}
