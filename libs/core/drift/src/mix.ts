/** Whether a change of the mix of classes explains what cameras show. */
import { meanBefore, meanShift } from "./clusters.ts";
import type { DriftReference } from "./drift-reference.ts";
import { LABEL_PREFIX } from "./drift-reference.ts";
import type { CameraDrift } from "./findings.ts";
import type { MixChange } from "./group.ts";
import { classShares, explainedByMix } from "./label-shift.ts";

/** Null if the package has no confusion matrix. */
export function mixOf(
  cameras: readonly { readonly drift: CameraDrift }[],
  reference: DriftReference,
): MixChange | null {
  const { confusion } = reference;
  if (confusion === null) return null;
  const shifts = meanShift(cameras);
  const baseline = meanBefore(cameras);
  const now = baseline.map((share, i) => share + (shifts[i] as number));
  const [mixBefore, mixNow] = [baseline, now].map((means) =>
    classShares(confusion.counts, predictedShares(means, reference)),
  ) as [readonly number[], readonly number[]];
  const explained = explainedByMix(byStream(shifts, reference), mixBefore, mixNow, confusion.means, framesOf(cameras));
  return { before: mixBefore, now: mixNow, explained };
}

export const framesOf = (cameras: readonly { readonly drift: CameraDrift }[]): number =>
  cameras.reduce((sum, { drift }) => sum + drift.frames, 0);

export const byStream = (values: ArrayLike<number>, { streams }: DriftReference): Readonly<Record<string, number>> =>
  Object.fromEntries(streams.map(({ name }, i) => [name, values[i] as number]));

/** Of all classes: what the watched ones leave is shared out as on the validation set. */
function predictedShares(means: ArrayLike<number>, { streams, labels, sketch }: DriftReference): readonly number[] {
  const watched = new Map(streams.map(({ name }, i) => [name, Math.max(0, means[i] as number)]));
  const share = (label: string) => watched.get(LABEL_PREFIX + label);
  const rest = Math.max(0, 1 - labels.reduce((sum, label) => sum + (share(label) ?? 0), 0));
  const others = labels.filter((label) => share(label) === undefined);
  const countOf = (label: string) => (Object.hasOwn(sketch.labels, label) ? (sketch.labels[label] as number) : 0);
  const countOfOthers = others.reduce((sum, label) => sum + countOf(label), 0);
  return labels.map((label) => share(label) ?? (countOfOthers === 0 ? 0 : (rest * countOf(label)) / countOfOthers));
}
