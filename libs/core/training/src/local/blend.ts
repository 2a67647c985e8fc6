/** Between the deployed weights and the trained ones (Wortsman 2022): how much of the new ones is taken decides how much the old
 * sites lose. It is chosen on frames that were neither trained on nor are shown to the gate. */
import type { Parameters } from "./adam.ts";

/** `share` of the trained weights, the rest of the deployed ones. 1 gives the trained ones exactly. */
export function blended(deployed: Parameters, trained: Parameters, share: number): Parameters {
  return new Map(
    [...deployed].map(([name, old]) => {
      const values = trained.get(name) ?? old;
      return [
        name,
        share === 1 ? values.slice() : old.map((value, i) => value + share * ((values[i] as number) - value)),
      ];
    }),
  );
}

/** Accuracies on TUNE, as deployed: quantised where the deployed model is. */
export type BlendAccuracy = { readonly blend: number; readonly slice: number; readonly base: number };

export type BlendBounds = {
  /** Accuracy of the deployed model on base photos of TUNE. */
  readonly baseBefore: number;
  /** Its accuracy on frames that it was not trained on, as its package states it; null: it does not. */
  readonly validated: number | null;
  readonly baseLossMax: number;
  /** Frames of the slice that the blends were measured on. */
  readonly sliceFrames: number;
};

export type ChosenBlend = {
  readonly blend: number;
  /** Why it is not the best of its kind; null: it is. */
  readonly note: string | null;
};

/** Accuracies are quotients of counts: equal ones may differ in their last bit. */
const TOLERANCE = 1e-9;

/**
 * The largest blend whose loss on base photos is at most `baseLossMax`, unless another is better on the slice by more than a
 * standard error of `sliceFrames` frames (the rule of Breiman et al. 1984, towards the weights that were trained): the slice has few
 * frames to tune on, and their best is mostly chance. Where none qualifies, the smallest: the gate judges it.
 *
 * Base photos are mostly those that the deployed model was trained on. It knows some by heart, and moving its weights loses that first, which
 * no frame of the fleet would notice. So a blend is compared with what the deployed model does on frames that it does not know.
 */
export function chooseBlend(
  measured: readonly BlendAccuracy[],
  { baseBefore: known, validated, baseLossMax, sliceFrames }: BlendBounds,
): ChosenBlend {
  const baseBefore = Math.min(known, validated ?? known);
  const byBlend = measured.toSorted((a, b) => a.blend - b.blend);
  const allowed = byBlend.filter(({ base }) => baseBefore - base <= baseLossMax + TOLERANCE);
  const best = Math.max(...allowed.map(({ slice }) => slice));
  const error = Math.sqrt((best * (1 - best)) / Math.max(1, sliceFrames));
  const chosen = allowed.findLast(({ slice }) => slice >= best - error - TOLERANCE);
  if (chosen !== undefined) return { blend: chosen.blend, note: null };
  const [smallest] = byBlend;
  const loss = (100 * (baseBefore - (smallest?.base ?? 0))).toFixed(2);
  const note = `every blend costs base photos more than ${(100 * baseLossMax).toFixed(2)} points; the smallest, ${smallest?.blend}, costs ${loss} and was taken`;
  return { blend: smallest?.blend ?? 0, note };
}
