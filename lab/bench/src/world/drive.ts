/** One drive through a stream, answered by perception alone, by the fused answer, and by the mixture as devices have it (agent/src/world/world.ts).
 *
 * The mixture learns as on a device: from the cloud's answers to frames that the random sample draws, some frames later. */
import { World } from "@tributary/agent/compose";
import type { Random } from "@tributary/kernel";
import type { WorldPackage } from "@tributary/model-store";
import { classesIn, fused, normalised, trainWorld, type WorldFrame, type WorldTable } from "@tributary/world";
import type { Photo, Seen } from "./stream.ts";

/** At 20 frames a second, an answer that takes 300 ms. */
export const ANSWER_FRAMES = 6;
const NORMAL_95 = 1.96;
/** As many as rollout-manager asks for by default. */
const PROBATION_TRUTHS = 50;

export type Drive = {
  readonly frames: number;
  readonly truths: number;
  /** Shares of right answers, by the photos' labels. */
  readonly accuracy: { readonly plain: number; readonly fused: number; readonly mixture: number };
  /** Of the mixture over perception alone; the interval treats the frames of one photo as one draw. */
  readonly gain: { readonly value: number; readonly lower: number; readonly upper: number };
  /** Cumulative log loss of the mixture over perception alone, in nats. */
  readonly lostNats: {
    /** On the frames whose truth came later, as they were answered. */
    readonly answered: number;
    /** On all frames, by their labels. */
    readonly labels: number;
  };
  readonly weight: number;
};

export type Perception = { readonly labels: readonly string[]; readonly temperature: number };

/** Propensity of the random sample, which prefers doubtful frames. */
export const propensityOf = (shares: Float64Array): number => 0.05 + 0.35 * (1 - Math.max(...shares));

/** A table from the frames that the sample drew, with the cloud's answers. `taken`: the class that an answer counts as. */
export function trained(
  before: WorldTable,
  stream: readonly Seen[],
  { temperature, labels }: Perception,
  random: Random,
  taken = (label: number): number => label,
): { readonly table: WorldTable; readonly frames: number } {
  const frames: WorldFrame[] = [];
  for (const { photo, context } of stream) {
    const propensity = propensityOf(sharesOf(photo, temperature));
    if (random() >= propensity) continue;
    frames.push({ context, label: labels[taken(photo.cloud)] as string, weight: 1 / propensity });
  }
  return trainWorld(before, frames);
}

export function driven(
  pkg: WorldPackage,
  stream: readonly Seen[],
  { labels, temperature }: Perception,
  random: Random,
): Drive {
  let now: Seen["context"] | undefined;
  const world = new World(pkg, {
    context: () => ({ context: now as object as Readonly<Record<string, unknown>>, text: JSON.stringify(now) }),
    isWithheld: () => false,
    onTruth: () => undefined,
    onFailing: () => undefined,
    onUnusable: (unusable) => {
      if (unusable !== null) throw new Error(unusable.reason);
    },
  });
  const outstanding: { readonly at: number; readonly learn: () => void }[] = [];
  const right = { plain: 0, fused: 0, mixture: 0 };
  const lostNats = { answered: 0, labels: 0 };
  const byPhoto = new Map<Photo, { frames: number; gained: number }>();
  for (const [i, { photo, context }] of stream.entries()) {
    now = context;
    while (outstanding[0] !== undefined && outstanding[0].at <= i) outstanding.shift()?.learn();
    const plain = sharesOf(photo, temperature);
    const { logits, remember } = world.inContext(photo.logits, temperature, labels);
    const mixture = softmax(logits, temperature);
    const withContext = fused(plain, pkg.table.prior, classesIn(pkg.table, context));
    const isRight = (shares: Float64Array) => (best(shares) === photo.label ? 1 : 0);
    const [plainRight, mixtureRight] = [isRight(plain), isRight(mixture)];
    right.plain += plainRight;
    right.fused += isRight(withContext);
    right.mixture += mixtureRight;
    lostNats.labels += lossOver(mixture, plain, photo.label);
    const seen = byPhoto.get(photo) ?? { frames: 0, gained: 0 };
    byPhoto.set(photo, { frames: seen.frames + 1, gained: seen.gained + mixtureRight - plainRight });
    if (random() >= propensityOf(plain)) continue;
    const frameId = String(i);
    remember(frameId);
    lostNats.answered += lossOver(mixture, plain, photo.cloud);
    outstanding.push({ at: i + ANSWER_FRAMES, learn: () => world.truth(frameId, labels[photo.cloud] as string) });
  }
  const frames = stream.length;
  const share = (count: number) => count / frames;
  return {
    frames,
    truths: world.truths,
    accuracy: { plain: share(right.plain), fused: share(right.fused), mixture: share(right.mixture) },
    gain: gainOf([...byPhoto.values()], frames),
    lostNats,
    weight: world.weight,
  };
}

/** Whether a device reverts this table within its probation. */
export function isReverted(
  pkg: WorldPackage,
  before: WorldPackage,
  stream: Iterable<Seen>,
  { labels, temperature }: Perception,
  random: Random,
): boolean {
  let now: Seen["context"] | undefined;
  let hasFailed = false;
  const world = new World(before, {
    context: () => ({ context: now as object as Readonly<Record<string, unknown>>, text: JSON.stringify(now) }),
    isWithheld: () => false,
    onTruth: () => undefined,
    onFailing: () => {
      hasFailed = true;
    },
    onUnusable: () => undefined,
  });
  world.switchTo(pkg);
  for (const { photo, context } of stream) {
    if (hasFailed || world.truths >= PROBATION_TRUTHS) break;
    if (random() >= propensityOf(sharesOf(photo, temperature))) continue;
    now = context;
    world.inContext(photo.logits, temperature, labels).remember("one");
    world.truth("one", labels[photo.cloud] as string);
  }
  return hasFailed;
}

function gainOf(
  photos: readonly { readonly frames: number; readonly gained: number }[],
  frames: number,
): Drive["gain"] {
  const value = photos.reduce((sum, { gained }) => sum + gained, 0) / frames;
  const variance = photos.reduce((sum, one) => sum + (one.gained - one.frames * value) ** 2, 0) / frames ** 2;
  const half = NORMAL_95 * Math.sqrt(variance);
  return { value, lower: value - half, upper: value + half };
}

export const sharesOf = ({ logits }: Photo, temperature: number): Float64Array =>
  normalised(softmax(logits, temperature));

function softmax(logits: Float32Array, temperature: number): Float64Array {
  const largest = Math.max(...logits);
  const raw = Float64Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const total = raw.reduce((sum, value) => sum + value, 0);
  return raw.map((value) => value / total);
}

export const best = (shares: Float32Array | Float64Array): number => shares.indexOf(Math.max(...shares));

const lossOver = (one: Float64Array, other: Float64Array, truth: number): number =>
  Math.log(other[truth] as number) - Math.log(one[truth] as number);
