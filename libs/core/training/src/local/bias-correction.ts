/** Corrections of the logits after a training, so that no class pays for the others (as the bias correction of Wu et al. 2019, for classes that
 * were there before). Pure.
 *
 * Frames of a slice move the boundaries between classes, mostly to the loss of the classes that resemble others: elsewhere such a class loses recall,
 * and another wins what it did not have. One number per class, added to its logit, gives that back. It is found on base photos: where each class has become
 * as much more, or less, certain as all of them together.
 *
 * B1. Few photos of a class show its change badly. Of its difference from all classes the part that chance explains stays, by the variance of photos
 *     within classes (the positive-part estimate of James & Stein 1961, class by class).
 * B2. Newton's method on each class by itself, damped: the corrections hardly depend on one another. */
import { softmax } from "@tributary/inference";
import { SHARPENED } from "./accuracy.ts";

/** `certainty`: of the label, by the deployed model (accuracy.ts); `logits`: of the trained one. */
type CorrectedFrame = {
  readonly label: number;
  readonly certainty: number;
  readonly logits: ArrayLike<number>;
};

const ROUNDS_MAX = 60;
const DAMPING = 0.5;
/** In one round. */
const STEP_MAX = 0.3;
/** A correction that moves less has been found. */
const SETTLED = 1e-3;
/** A class that is sure of all its photos has hardly a slope. */
const SLOPE_MIN = 0.01;

/** One number per class, on average 0; a class without photos has none of its own. `temperature`: calibrated. */
export function biasCorrection(
  frames: readonly CorrectedFrame[],
  { classes, temperature }: { readonly classes: number; readonly temperature: number },
): Float32Array {
  const sharpened = temperature * SHARPENED;
  let correction = new Float32Array(classes);
  const first = changesOf(frames, correction, sharpened);
  const kept = first.map(({ gap, error }) => (gap === 0 ? 0 : gap * Math.min(1, (error / gap) ** 2))); // B1
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const changes = changesOf(frames, correction, sharpened);
    const next = correction.map((own, c) => {
      const { gap, slope } = changes[c] as ClassChange;
      const step = (DAMPING * (gap - (kept[c] as number))) / Math.max(SLOPE_MIN, slope); // B2
      return own - Math.max(-STEP_MAX, Math.min(STEP_MAX, step));
    });
    const mean = next.reduce((sum, own) => sum + own, 0) / classes;
    const moved = Math.max(...next.map((own, c) => Math.abs(own - (correction[c] as number))));
    correction = next.map((own) => own - mean);
    if (moved < SETTLED) break;
  }
  return correction;
}

/** `gap`: how much more certain than all classes together a class became; `error`: the standard error of its mean; `slope`: of its certainty by its logit. */
type ClassChange = { readonly gap: number; readonly error: number; readonly slope: number };

function changesOf(
  frames: readonly CorrectedFrame[],
  correction: Float32Array,
  temperature: number,
): readonly ClassChange[] {
  const sums = Array.from(correction, () => ({ n: 0, gained: 0, squares: 0, slope: 0 }));
  for (const { label, certainty, logits } of frames) {
    const corrected = Float32Array.from(correction, (own, c) => own + (logits[c] as number));
    const p = softmax(corrected, temperature)[label] as number;
    const own = sums[label] as (typeof sums)[number];
    own.n += 1;
    own.gained += p - certainty;
    own.squares += (p - certainty) ** 2;
    own.slope += (p * (1 - p)) / temperature;
  }
  const together = sums.reduce((sum, { gained }) => sum + gained, 0) / Math.max(1, frames.length);
  const within = sums.reduce((sum, { n, gained, squares }) => sum + (n === 0 ? 0 : squares - gained ** 2 / n), 0);
  const variance = Math.max(0, within) / Math.max(1, frames.length - correction.length);
  return sums.map(({ n, gained, slope }) =>
    n === 0
      ? { gap: 0, error: 0, slope: 0 }
      : { gap: gained / n - together, error: Math.sqrt(variance / n), slope: slope / n },
  );
}
