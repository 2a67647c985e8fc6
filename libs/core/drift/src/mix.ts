/** Whether a change of the mix of classes explains what cameras show. */
import { type Confusion, classFeatures } from "@tributary/inference";
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

/** Pictures of other mixes, drawn when the package was made, have such standard deviations; added is what is always between two cameras. */
const SPREADS_MAX = 5;
const SPREAD_ADDED = 0.02;

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
  const [shift, frames] = [byStream(shifts, reference), framesOf(cameras)];
  const explanations = mixesOf(mixBefore, mixNow, reference).map((mix) => {
    return { mix, explained: explainedByMix(shift, mixBefore, mix, confusion.means, frames) };
  });
  const { mix, explained } = explanations.reduce((best, one) => (one.explained > best.explained ? one : best));
  const [jointBefore, jointNow] = [mixBefore, mixNow].map((mix) => jointOf(confusion.counts, mix)) as [Joint, Joint];
  // A camera whose predictions never were a mix of the validation set's is judged by what was added.
  const before = Math.max(0, misfitOf(jointBefore, predictedBefore) - MISFIT_MAX / 3);
  const within = withinOf(cameras, confusion.means, jointBefore, jointNow, predictedNow);
  return {
    ...{ before: mixBefore, now: mix, explained },
    refuted: refutedBecause(misfitOf(jointNow, predictedNow) - before, within, strangestChange(cameras, reference)),
    explainedMin: within === null ? EXPLAINED_MIN : EXPLAINED_WITHIN_MIN,
  };
}

/** The estimated mix, in which classes that are not watched share what the watched ones leave; and those in which one of them alone
 * has become more or less frequent. */
function mixesOf(
  before: readonly number[],
  now: readonly number[],
  { streams, labels }: DriftReference,
): readonly (readonly number[])[] {
  const watched = new Set(streams.map(({ name }) => name));
  const isOther = labels.map((label) => !watched.has(LABEL_PREFIX + label));
  const more = sumOf(now.map((share, i) => (isOther[i] ? share - (before[i] as number) : 0)));
  const mixes = labels.flatMap((_, one) => {
    if (!isOther[one] || (before[one] as number) + more < 0) return [];
    return [now.map((share, i) => (isOther[i] ? (before[i] as number) + (i === one ? more : 0) : share))];
  });
  return [now, ...mixes];
}

/** Empty: nothing speaks against a change of the mix. */
function refutedBecause(misfit: number, within: number | null, strangest: StrangeChange | null): string {
  if (misfit > MISFIT_MAX) {
    return `no mix of classes gives these predictions: ${percent(misfit)} of them differ from the nearest`;
  }
  if (within !== null && within > WITHIN_MAX)
    return `pictures of the same predicted class changed by ${figure(within)}`;
  if (strangest === null || strangest.spreads <= SPREADS_MAX) return "";
  const { name, change, spreads } = strangest;
  return `no mix changes ${name} of the mean picture by ${figure(change)}: ${Math.round(spreads)} times what mixes differ by`;
}

type StrangeChange = { readonly name: string; readonly change: number; readonly spreads: number };

/** The change of the mean picture that mixes make least; null if the cameras or the package know none. */
function strangestChange(
  cameras: readonly { readonly drift: CameraDrift }[],
  { names: { spread } }: DriftReference,
): StrangeChange | null {
  const known = cameras.flatMap(({ drift }) => (drift.picture === null ? [] : [drift.picture.changes]));
  const names = Object.keys(known[0] ?? {}) as (keyof (typeof known)[number])[];
  let strangest: StrangeChange | null = null;
  for (const name of names) {
    const usual = spread[name];
    if (usual === undefined) continue;
    const change = sumOf(known.map((changes) => changes[name])) / known.length;
    const spreads = Math.abs(change) / (usual + SPREAD_ADDED);
    if (strangest === null || spreads > strangest.spreads) strangest = { name, change, spreads };
  }
  return strangest;
}

/**
 * How far pictures of one predicted class moved beyond what the mix makes of them: with more frames of a class, more of those that are
 * taken for another one are its. The largest of the class features; null if no camera knows.
 */
function withinOf(
  cameras: readonly { readonly drift: CameraDrift }[],
  means: Confusion["means"],
  before: Joint,
  now: Joint,
  predicted: readonly number[],
): number | null {
  const known = cameras.flatMap(({ drift }) => drift.picture?.within ?? []);
  const frames = sumOf(known.map((within) => within.frames));
  if (frames === 0) return null;
  const left = classFeatures.map((feature, f) => {
    const ofClasses = means[feature];
    if (ofClasses === undefined) return 0;
    const moved = sumOf(known.map((within) => within.frames * (within.shifts[f] as number))) / frames;
    const made = predicted.map((share, p) => {
      const [was, is] = [before, now].map((joint) => meanWithin(joint[p] as readonly number[], ofClasses));
      return was == null || is == null ? 0 : share * (is - was);
    });
    return Math.abs(moved - sumOf(made));
  });
  return Math.max(...left);
}

/** By predicted class: part of all frames that are predicted so and are of each true class. */
type Joint = readonly (readonly number[])[];

function jointOf(counts: readonly (readonly number[])[], mix: readonly number[]): Joint {
  const rows = counts.map((row) => Math.max(1, sumOf(row)));
  return counts.map((_, p) => mix.map((share, t) => (share * (counts[t]?.[p] ?? 0)) / (rows[t] as number)));
}

/** Half of the absolute difference between predictions and those that a mix makes. */
const misfitOf = (joint: Joint, predicted: readonly number[]): number =>
  sumOf(predicted.map((share, p) => Math.abs(share - sumOf(joint[p] ?? [])))) / 2;

/** Mean of a class feature among frames of one predicted class; null if there are none. */
function meanWithin(joint: readonly number[], means: readonly number[]): number | null {
  const all = sumOf(joint);
  return all === 0 ? null : sumOf(joint.map((part, t) => part * (means[t] as number))) / all;
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

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
