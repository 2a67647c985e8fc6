/** Corrections of the logits after a training, so that no class pays for the others (as the bias correction of Wu et al. 2019, for classes that
 * were there before). Pure.
 *
 * Frames of a slice move the boundaries between classes, mostly to the loss of the classes that resemble others: elsewhere such a class loses recall,
 * and another wins what it did not have. One number per class, added to its logit, gives that back. It is found on base photos: where each class has become
 * as much more, or less, certain as all of them together.
 *
 * Newton's method on each class by itself, damped: the corrections hardly depend on one another. */
import { softmax } from "@tributary/inference";
import { SHARPENED } from "./accuracy.ts";

/** `certainty`: of the label, by the deployed model (accuracy.ts); `logits`: of the trained one. */
export type CorrectedFrame = {
  readonly label: number;
  readonly certainty: number;
  readonly logits: ArrayLike<number>;
};

const ROUNDS_MAX = 60;
/** A correction that moves less has been found. */
const SETTLED = 1e-3;
const DAMPING = 0.5;
/** In one round. */
const STEP_MAX = 0.3;
/** A class that is sure of all its photos has hardly a slope. */
const SLOPE_MIN = 0.01;

/** One number per class, on average 0; a class without frames has none of its own. `temperature`: calibrated. */
export function biasCorrection(
  frames: readonly CorrectedFrame[],
  { classes, temperature }: { readonly classes: number; readonly temperature: number },
): Float32Array {
  let correction = new Float32Array(classes);
  const sharpened = temperature * SHARPENED;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const [gained, slope, count] = [0, 0, 0].map(() => new Float64Array(classes)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (const { label, certainty, logits } of frames) {
      const corrected = Float32Array.from(correction, (own, c) => own + (logits[c] as number));
      const p = softmax(corrected, sharpened)[label] as number;
      gained[label] = (gained[label] as number) + p - certainty;
      slope[label] = (slope[label] as number) + (p * (1 - p)) / sharpened;
      count[label] = (count[label] as number) + 1;
    }
    const together = gained.reduce((sum, own) => sum + own, 0) / Math.max(1, frames.length);
    const next = correction.map((own, c) => {
      const n = count[c] as number;
      if (n === 0) return own;
      const step = ((gained[c] as number) / n - together) / Math.max(SLOPE_MIN, (slope[c] as number) / n);
      return own - Math.max(-STEP_MAX, Math.min(STEP_MAX, DAMPING * step));
    });
    const mean = next.reduce((sum, own) => sum + own, 0) / classes;
    const moved = Math.max(...next.map((own, c) => Math.abs(own - (correction[c] as number))));
    correction = next.map((own) => own - mean);
    if (moved < SETTLED) break;
  }
  return correction;
}
