/** Whether a change of the mix of classes explains what cameras show. */
import { classFeatures } from "@tributary/inference";
import { meanBefore, meanShift } from "./clusters.ts";
import type { DriftReference } from "./drift-reference.ts";
import { LABEL_PREFIX } from "./drift-reference.ts";
import type { CameraDrift } from "./findings.ts";
import type { MixChange } from "./group.ts";
import { classShares, explainedByMix } from "./label-shift.ts";
import { figure, percent } from "./words.ts";

/** Of frames of one predicted class: what a mix leaves as it was may wander by so much (in mean bins / 32). */
const WITHIN_MAX = 0.07;
/** Part of the shift that a change of mix explains, from which on it is the cause: less where pictures of each predicted class are known
 * to look as they did, since classes look different at every camera. */
const EXPLAINED_MIN = 0.7;
const EXPLAINED_WITHIN_MIN = 0.4;
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
  const within = withinOf(cameras, reference, mixBefore, mixNow, predictedNow);
  return {
    ...{ before: mixBefore, now: mixNow, explained, refuted: refutedBecause(added, within) },
    explainedMin: within === null ? EXPLAINED_MIN : EXPLAINED_WITHIN_MIN,
  };
}

/** Empty: nothing speaks against a change of the mix. */
function refutedBecause(misfit: number, within: number | null): string {
  if (misfit > MISFIT_MAX) {
    return `no mix of classes gives these predictions: ${percent(misfit)} of them differ from the nearest`;
  }
  if (within === null || within <= WITHIN_MAX) return "";
  return `pictures of the same predicted class changed by ${figure(within)}`;
}

/**
 * How far pictures of one predicted class moved beyond what the mix makes of them: with more frames of a class, more of those that are
 * taken for another one are its. The largest of the class features; null if no camera knows.
 */
function withinOf(
  cameras: readonly { readonly drift: CameraDrift }[],
  { confusion, streams }: DriftReference,
  before: readonly number[],
  now: readonly number[],
  predicted: readonly number[],
): number | null {
  const known = cameras.flatMap(({ drift }) => drift.picture?.within ?? []);
  const frames = known.reduce((sum, within) => sum + within.frames, 0);
  if (frames === 0 || confusion === null) return null;
  const [truthBefore, truthNow] = [before, now].map((mix) => truthOf(confusion.counts, mix)) as [Truth, Truth];
  const left = classFeatures.map((feature, f) => {
    const means = confusion.means[feature];
    if (means === undefined || !streams.some(({ name }) => name === feature)) return 0;
    const moved = known.reduce((sum, within) => sum + (within.frames * (within.shifts[f] as number)) / frames, 0);
    const expected = predicted.reduce((sum, share, p) => {
      const [was, is] = [truthBefore[p] as readonly number[], truthNow[p] as readonly number[]];
      return sum + share * means.reduce((all, mean, t) => all + ((is[t] as number) - (was[t] as number)) * mean, 0);
    }, 0);
    return Math.abs(moved - expected);
  });
  return Math.max(...left);
}

/** By predicted class: shares of the true ones. */
type Truth = readonly (readonly number[])[];

function truthOf(counts: readonly (readonly number[])[], mix: readonly number[]): Truth {
  const rows = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  return counts.map((_, p) => {
    const joint = mix.map((share, t) => (share * (counts[t]?.[p] ?? 0)) / Math.max(1, rows[t] as number));
    const sum = joint.reduce((all, part) => all + part, 0);
    return joint.map((part) => (sum === 0 ? 0 : part / sum));
  });
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
