/** How a model is trained on, whoever trains it. Defaults were measured on the sample model (docs/methods/retraining.md). */
import { type HarmLimits, harmDefaults } from "./local/harm.ts";

export type Recipe = {
  /** Frames a step. */
  readonly batch: number;
  /** How many of them are of the slice; the others are base photos. */
  readonly sliceFramesPerBatch: number;
  /** How many base photos of a batch are made to look like the slice's frames (local/appearance.ts); fewer than all, or the model forgets
   * how the others look. */
  readonly matchedFramesPerBatch: number;
  /** Peak of the learning rate of Adam (Kingma & Ba 2015); warm-up linear, then a cosine to 0. */
  readonly learningRateMax: number;
  readonly warmUpShare: number;
  /** Passes over the slice's frames. */
  readonly epochs: number;
  /** Passes over base photos at most; steps end earlier then. A model that has seen the same few too often knows them by heart, and no
   * longer what they stand for. */
  readonly basePassesMax: number;
  /** Share of the deployed model's own answer in the target of a base photo (Hinton 2015). */
  readonly distillation: number;
  /** Pixels by which frames are moved at most. */
  readonly shiftMax: number;
  readonly flips: boolean;
  /** Shares of the new weights to choose from; the others are the deployed model's (Wortsman 2022). All of the new ones regain a little more
   * at the slice, and sometimes cost half a point elsewhere, which the few frames to tune on do not show. */
  readonly blends: readonly number[];
  /** What a blend may not do to any class (local/harm.ts). */
  readonly harm: HarmLimits;
  /** Base and slice frames that quantisation ranges are measured on, each. */
  readonly calibrationFrames: number;
  /** Which parameters are trained. */
  readonly layers: "all" | "last";
};

const recipeDefaults: Omit<Recipe, "epochs"> = {
  batch: 128,
  sliceFramesPerBatch: 16,
  matchedFramesPerBatch: 32,
  learningRateMax: 5e-4,
  warmUpShare: 0.1,
  basePassesMax: 10,
  distillation: 0.5,
  shiftMax: 2,
  flips: true,
  blends: [0.1, 0.2, 0.4, 0.6, 0.8],
  harm: harmDefaults,
  calibrationFrames: 500,
  layers: "all",
};

/** Base photos from which on a training has fresh ones to replay. */
const BASE_MANY = 2_000;
/** With fewer, they are replayed more often, in smaller steps, and mostly by the deployed model's own answers: these cannot be learned by heart. */
const FEW_BASE: Partial<Recipe> = { basePassesMax: 30, learningRateMax: 2.5e-4, distillation: 0.8 };

/** Frames of TRAIN. The fewer frames the slice has, the more often each is seen. */
export function recipeFor(sliceFrames: number, baseFrames: number): Recipe {
  const epochs = sliceFrames <= 500 ? 24 : sliceFrames <= 2_000 ? 8 : 4;
  return { ...recipeDefaults, epochs, ...(baseFrames < BASE_MANY && FEW_BASE) };
}
