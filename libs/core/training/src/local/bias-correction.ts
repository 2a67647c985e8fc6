/** Corrections of the logits after a training, so that no class pays for the others (as the bias correction of Wu et al. 2019, for classes that
 * were there before). Pure.
 *
 * Frames of a slice move the boundaries between classes, mostly to the loss of the classes that resemble others: elsewhere such a class loses recall,
 * and another wins what it did not have. One number per class, added to its logit, undoes that. It is found on photos of elsewhere.
 *
 * B1. A class pays if it became less certain, and less than all classes together. Its logit is raised until it does not, by as little as that takes:
 *     a correction is never negative, and is 0 where no class pays. What others gained otherwise stays.
 * B2. Few photos of a class show its change badly. Of its fall the part that chance explains stays, by the variance of photos within classes (in the
 *     manner of the positive-part estimate of James & Stein 1961, class by class). Below `PHOTOS_MIN` all of it stays: a single photo decides it.
 * B3. Newton's method on each class by itself, damped and projected. A class whose step overshoots goes on with half of it: the others lose by what it
 *     wins, so its own slope may be the smaller part.
 * B4. A class that pays still where its logit is raised by `RAISED_MAX` is not raised at all, and the others are corrected without it: two classes
 *     that only lost each other would rise together until they flip all others. */
import { softmax } from "@tributary/inference";
import { SHARPENED } from "./accuracy.ts";

/** `certainty`: of the label, by the deployed model (accuracy.ts); `logits`: of the trained one. */
type CorrectedFrame = {
  readonly label: number;
  readonly certainty: number;
  readonly logits: ArrayLike<number>;
};

/** How far a logit is raised, in a round and in all, in units of the sharpened temperature. */
const STEP_MAX = 0.5;
const RAISED_MAX = 3;
/** A correction that moves less has been found. */
const SETTLED = 1e-3;
/** A class that is sure of all its photos has hardly a slope. */
const SLOPE_MIN = 0.01;
const ROUNDS_MAX = 60;
const DAMPING = 0.5;
const PHOTOS_MIN = 10;

/** One number per class; 0 for a class without photos. Photos of which a number is none are left out. `temperature`: calibrated. */
export function biasCorrection(
  frames: readonly CorrectedFrame[],
  { classes, temperature }: { readonly classes: number; readonly temperature: number },
): Float32Array {
  const unit = temperature * SHARPENED;
  const shown = frames.filter(({ certainty, logits }) => [certainty, ...Array.from(logits)].every(Number.isFinite));
  const hopeless = new Set<number>(); // B4
  for (;;) {
    const raised = raisedBy(shown, { classes, unit, hopeless });
    const beyond = [...raised.keys()].filter((c) => (raised[c] as number) >= RAISED_MAX);
    if (beyond.length === 0) return raised.map((own) => own * unit);
    for (const c of beyond) hopeless.add(c);
  }
}

type Raising = { readonly classes: number; readonly unit: number; readonly hopeless: ReadonlySet<number> };

function raisedBy(frames: readonly CorrectedFrame[], { classes, unit, hopeless }: Raising): Float32Array {
  let raised = new Float32Array(classes);
  let changes = changesOf(frames, raised, unit);
  const allowed = changes.map(({ n, fall, error }, c) => {
    if (n < PHOTOS_MIN || hopeless.has(c)) return Number.POSITIVE_INFINITY;
    return fall > error ? error ** 2 / fall : error; // B2
  });
  const rates = new Float32Array(classes).fill(DAMPING);
  let before = new Float32Array(classes);
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const left = Float32Array.from(changes, ({ fall }, c) => fall - (allowed[c] as number));
    const next = raised.map((own, c) => {
      const [by, slope] = [left[c] as number, (changes[c] as ClassChange).slope];
      if (by * (before[c] as number) < 0) rates[c] = (rates[c] as number) / 2; // B3
      const step = ((rates[c] as number) * by) / Math.max(SLOPE_MIN, slope);
      return Math.min(RAISED_MAX, Math.max(0, own + Math.max(-STEP_MAX, Math.min(STEP_MAX, step)))); // B1
    });
    const moved = Math.max(...next.map((own, c) => Math.abs(own - (raised[c] as number))));
    [raised, before] = [next, left];
    if (moved < SETTLED) break;
    changes = changesOf(frames, raised, unit);
  }
  return raised;
}

/** What `n` photos show of a class. `fall`: how much less certain it became, beyond what all classes together did; `error`: the standard error of its mean;
 * `slope`: of its certainty by its logit. */
type ClassChange = { readonly n: number; readonly fall: number; readonly error: number; readonly slope: number };

function changesOf(frames: readonly CorrectedFrame[], raised: Float32Array, unit: number): readonly ClassChange[] {
  const sums = Array.from(raised, () => ({ n: 0, gained: 0, squares: 0, slope: 0 }));
  const corrected = new Float32Array(raised.length);
  for (const { label, certainty, logits } of frames) {
    for (let c = 0; c < corrected.length; c++) corrected[c] = (logits[c] as number) / unit + (raised[c] as number);
    const p = softmax(corrected, 1)[label] as number;
    const own = sums[label] as (typeof sums)[number];
    own.n += 1;
    own.gained += p - certainty;
    own.squares += (p - certainty) ** 2;
    own.slope += p * (1 - p);
  }
  const shown = sums.filter(({ n }) => n > 0);
  const together = shown.reduce((sum, { gained }) => sum + gained, 0) / Math.max(1, frames.length);
  const within = shown.reduce((sum, { n, gained, squares }) => sum + squares - gained ** 2 / n, 0);
  const freedom = frames.length - shown.length;
  const variance = freedom > 0 ? Math.max(0, within) / freedom : Number.POSITIVE_INFINITY; // One photo a class shows nothing.
  return sums.map(({ n, gained, slope }) =>
    n === 0
      ? { n, fall: 0, error: 0, slope: 0 }
      : { n, fall: Math.min(0, together) - gained / n, error: Math.sqrt(variance / n), slope: slope / n },
  );
}
