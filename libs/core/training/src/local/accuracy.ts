/** Shares of right answers before and after training, over all and by class. */
import { softmax } from "@tributary/inference";
import type { SplitAccuracy } from "../job.ts";

export type JudgedFrame = {
  /** Numbers of classes. */
  readonly label: number;
  readonly before: number;
  readonly after: number;
  /** How much more certain of its label the new model is than the deployed one: see `certaintyOf`. */
  readonly gained: number;
  /** A photo that stands for others counts as so many; without, as one. */
  readonly weight?: number;
};

/** Classes without a frame are left out. */
export function splitAccuracy(
  slice: string,
  split: SplitAccuracy["split"],
  judged: readonly JudgedFrame[],
  labels: readonly string[],
): SplitAccuracy {
  const byLabel = Map.groupBy(judged, ({ label }) => label);
  const classes = labels.flatMap((name, label) => {
    const own = byLabel.get(label);
    return own === undefined ? [] : [[name, sharesOf(own)] as const];
  });
  return { slice, split, ...sharesOf(judged), classes: Object.fromEntries(classes) };
}

/** Whether a model is right on photos that it may have been trained on clearly more often than on others, at the usual 5 %. Without others nobody
 * knows, and it is taken not to be: what it forgets then counts as harm. */
export function knowsByHeart(others: Counts, own: Counts): boolean {
  if (others.frames === 0 || own.frames === 0) return false;
  const shareOf = ({ right, frames }: Counts) => right / frames;
  const all = (others.right + own.right) / (others.frames + own.frames);
  const error = Math.sqrt(all * (1 - all) * (1 / others.frames + 1 / own.frames));
  return shareOf(own) - shareOf(others) > Z_95 * error;
}

/** Weights of photos that are made to look like the site, by which the deployed model is as often right on each class as on labelled frames of the site
 * (post-stratification). Both lists are of its answers; of a class with few frames at the site its photos decide. */
export function weighedAsAtSite(photos: readonly Answer[], site: readonly Answer[]): readonly number[] {
  const rightOf = (answers: readonly Answer[]) => answers.filter(({ label, answer }) => label === answer).length;
  const [ofPhotos, ofSite] = [photos, site].map((answers) => Map.groupBy(answers, ({ label }) => label)) as [
    Map<number, Answer[]>,
    Map<number, Answer[]>,
  ];
  const weights = new Map(
    [...ofPhotos].map(([label, own]) => {
      const there = ofSite.get(label) ?? [];
      const share = rightOf(own) / own.length;
      const wanted = (rightOf(there) + PHOTOS_AS_FRAMES * share) / (there.length + PHOTOS_AS_FRAMES);
      return [label, { right: wanted / share, wrong: (1 - wanted) / (1 - share) }];
    }),
  );
  return photos.map(({ label, answer }) => {
    const { right, wrong } = weights.get(label) as { right: number; wrong: number };
    return Math.min(WEIGHT_MAX, label === answer ? right : wrong);
  });
}

/** Numbers of classes. */
type Answer = { readonly label: number; readonly answer: number };
/** A class's photos count as so many frames of the site. */
const PHOTOS_AS_FRAMES = 10;
/** Else of a class that is nearly always right a single photo would decide. */
const WEIGHT_MAX = 4;

type Counts = { readonly frames: number; readonly right: number };
const Z_95 = 1.645;

export const SHARPENED = 0.5;

/** Probability of a class at half the calibrated temperature. So sharpened it moves only where an answer is about to change, and hardly where a
 * model that was sure becomes a little less so. */
export function certaintyOf(label: number, logits: ArrayLike<number>, temperature: number): number {
  return softmax(logits, temperature * SHARPENED)[label] as number;
}

/** The class with the largest logit; the first of equal ones. */
export function answerOf(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}

function sharesOf(judged: readonly JudgedFrame[]) {
  const share = (which: "before" | "after") =>
    judged.filter((frame) => frame[which] === frame.label).length / Math.max(1, judged.length);
  return { frames: judged.length, before: share("before"), after: share("after") };
}
