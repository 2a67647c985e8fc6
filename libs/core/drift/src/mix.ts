/** Whether a change of the mix of classes explains what cameras show. */
import { meanBefore, meanShift } from "./clusters.ts";
import type { DriftReference } from "./drift-reference.ts";
import { LABEL_PREFIX } from "./drift-reference.ts";
import type { CameraDrift } from "./findings.ts";
import type { MixChange } from "./group.ts";
import { classShares, explainedByMix } from "./label-shift.ts";
import { figure, percent } from "./words.ts";

/** Of frames of one predicted class: what a mix leaves as it was may wander by so much (in mean bins / 32). */
const WITHIN_MAX = 0.08;
/** Part of the predictions that no mix of classes makes, by the package's confusion matrix. */
const MISFIT_MAX = 0.15;

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
  const [predictedBefore, predictedNow] = [baseline, now].map((means) => predictedShares(means, reference)) as [
    readonly number[],
    readonly number[],
  ];
  const [mixBefore, mixNow] = [predictedBefore, predictedNow].map((shares) =>
    classShares(confusion.counts, shares),
  ) as [readonly number[], readonly number[]];
  const explained = explainedByMix(byStream(shifts, reference), mixBefore, mixNow, confusion.means, framesOf(cameras));
  const misfit = (mix: readonly number[], shares: readonly number[]) => misfitOf(confusion.counts, mix, shares);
  // A camera whose predictions never were a mix of the validation set's is judged by what was added.
  const added = misfit(mixNow, predictedNow) - Math.max(0, misfit(mixBefore, predictedBefore) - MISFIT_MAX / 3);
  return { before: mixBefore, now: mixNow, explained, refuted: refutedBecause(cameras, added) };
}

/** Empty: nothing speaks against a change of the mix. */
function refutedBecause(cameras: readonly { readonly drift: CameraDrift }[], misfit: number): string {
  if (misfit > MISFIT_MAX) {
    return `no mix of classes gives these predictions: ${percent(misfit)} of them differ from the nearest`;
  }
  const known = cameras.flatMap(({ drift }) => drift.picture?.within ?? []);
  const frames = known.reduce((sum, within) => sum + within.frames, 0);
  if (frames === 0) return "";
  const means = known[0]?.shifts.map((_, i) => {
    return known.reduce((sum, within) => sum + (within.frames * (within.shifts[i] as number)) / frames, 0);
  });
  const largest = Math.max(...(means ?? [0]).map(Math.abs));
  if (largest <= WITHIN_MAX) return "";
  return `pictures of the same predicted class changed by ${figure(largest)}`;
}

/** Half of the absolute difference between predictions and those that a mix makes. */
function misfitOf(
  counts: readonly (readonly number[])[],
  mix: readonly number[],
  predicted: readonly number[],
): number {
  const rows = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  const differences = predicted.map((share, p) => {
    const made = mix.reduce((sum, part, t) => sum + (part * (counts[t]?.[p] ?? 0)) / Math.max(1, rows[t] as number), 0);
    return Math.abs(share - made);
  });
  return differences.reduce((sum, difference) => sum + difference, 0) / 2;
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
