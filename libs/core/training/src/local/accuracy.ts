/** Shares of right answers before and after training, over all and by class. */
import type { SplitAccuracy } from "../job.ts";

export type JudgedFrame = {
  /** Numbers of classes. */
  readonly label: number;
  readonly before: number;
  readonly after: number;
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
