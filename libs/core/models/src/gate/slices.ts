/** The lines of a candidate that a program trained: what it costs each old slice of the frames, and what it gains on the slice
 * that drifted. Pure.
 *
 * A person who pushes a candidate has looked at it; of one that a program trained, the gate is the only judge before devices
 * run it. Failing what is proven harmful then is not enough: of 1,000 frames, nothing short of a disaster is proven. So an old
 * slice passes only where it is proven that the candidate is not worse by the margin or more (non-inferiority, Tango's score
 * test), and the drifted slice only where it is proven that the candidate is better (exact McNemar). What is neither
 * proven nor refuted is unsure, and waits for a person.
 *
 * S1. The margin follows from the frames alone, never from the answers: the smallest by which a model that is equal passes with
 *     the planned power at the planned discordance, at least `sliceMin`. A candidate that disagrees more with the champion gets
 *     no larger one, and the level of the test holds. Where it exceeds `sliceMax` the slice has too few frames to pass.
 * S2. All slices must pass. Such a test (intersection-union, Berger 1982) keeps its level without a correction: to pass, a harmful
 *     candidate must pass the very slice that it harms. Each slice more makes passing harder, never easier.
 * S3. An old slice fails as all frames of a candidate of a person do: a loss beyond `accuracy` that chance does not explain, where
 *     slices share their level (Holm 1979). So nothing passes by slices that would fail without them on one slice. */
import {
  binomialCdf,
  holmAdjusted,
  type NonInferiorityPlan,
  nonInferiorityItems,
  nonInferiorityMargin,
  nonInferiorityP,
  tangoLower,
} from "@tributary/statistics";
import { mcNemarP, type Pair, paired, percent } from "./paired.ts";

/** Answers of both on the frames of one slice, frame by frame: whether they were right. */
export type SliceAnswers = {
  /** base, or KEY=VALUE. */
  readonly name: string;
  readonly candidate: readonly boolean[];
  readonly champion: readonly boolean[];
};

export type Slices = {
  readonly old: readonly SliceAnswers[];
  /** What the candidate was trained for. */
  readonly drifted: readonly SliceAnswers[];
};

export type SliceMargins = {
  /** A loss that is acceptable, as a share: beyond it a proven one fails (S3). */
  readonly accuracy: number;
  /** What an old slice may lose where it has many frames, and where it has few (S1). */
  readonly sliceMin: number;
  readonly sliceMax: number;
  /** Share of frames that only one of two models is right on, planned (S1). */
  readonly discordance: number;
  /** How often a model that is equal is to pass (S1). */
  readonly power: number;
  readonly alpha: number;
};

/** What a line of a slice rests on, for programs. */
export type SliceEvidence = {
  readonly role: "old" | "drifted";
  readonly frames: number;
  /** Frames that only the candidate, and only the champion, is right on. */
  readonly won: number;
  readonly lost: number;
  /** Of old slices: the loss that is refuted; 0 of drifted ones. */
  readonly margin: number;
  /** Of the test that it passes by. */
  readonly p: number;
  /** The change of accuracy is at least this, one-sided at the gate's level. */
  readonly lower: number;
  /** Frames with which a model that is equal passes as often as planned; null of drifted slices. */
  readonly framesNeeded: number | null;
};

export type SliceLine = {
  readonly kind: "slice";
  readonly name: string;
  readonly verdict: "passed" | "unsure" | "failed";
  readonly candidate: number | null;
  readonly champion: number | null;
  readonly bound: number;
  readonly found: string;
  readonly slice: SliceEvidence;
};

/** S1. Of an old slice with so many frames; greater than `sliceMax`: it has too few. */
export function marginOf(frames: number, margins: SliceMargins): number {
  return Math.max(margins.sliceMin, nonInferiorityMargin(frames, planOf(margins)));
}

/** S1. Fewest frames with which an old slice can pass: the margin is `sliceMax` then. */
const framesOfSliceMin = (margins: SliceMargins): number => nonInferiorityItems(margins.sliceMax, planOf(margins));

const planOf = ({ discordance, alpha, power }: SliceMargins): NonInferiorityPlan => ({ discordance, alpha, power });

export function sliceLines({ old, drifted }: Slices, margins: SliceMargins): readonly SliceLine[] {
  const pairs = old.map(({ candidate, champion }) => paired(candidate, champion));
  const losses = holmAdjusted(pairs.map(({ lost, won }) => mcNemarP(lost, won)));
  return [
    ...old.map(({ name }, i) => oldLine(name, pairs[i] as Pair, losses[i] as number, margins)),
    ...drifted.map(({ name, candidate, champion }) => driftedLine(name, paired(candidate, champion), margins)),
  ];
}

function oldLine(name: string, pair: Pair, lossP: number, margins: SliceMargins): SliceLine {
  const { frames, won, lost } = pair;
  const counts = { won, lost, items: frames };
  const margin = marginOf(frames, margins);
  const p = nonInferiorityP(counts, margin);
  const lower = tangoLower(counts, margins.alpha);
  const isTooSmall = margin > margins.sliceMax;
  const isProvenLoss = pair.champion - pair.candidate > margins.accuracy && lossP <= margins.alpha;
  const verdict = isProvenLoss ? "failed" : !isTooSmall && p <= margins.alpha ? "passed" : "unsure";
  const framesNeeded = isTooSmall ? framesOfSliceMin(margins) : framesToPass(pair, margins);
  const parts = [
    `${changeOf(pair)}; not worse by ${points(margin)} or more: p ${p.toPrecision(2)}, lower bound ${points(lower)}`,
  ];
  if (isProvenLoss) parts.push(`worse: p ${lossP.toPrecision(2)}`);
  if (isTooSmall) parts.push(`too few frames for a margin of ${points(margins.sliceMax)}: ${framesNeeded} would do`);
  else if (verdict === "unsure" && framesNeeded > frames) parts.push(`a model as good passes with ${framesNeeded}`);
  return {
    kind: "slice",
    name: `old slice ${name}`,
    verdict,
    ...ratesOf(pair),
    bound: margin,
    found: parts.join("; "),
    slice: { role: "old", frames, won, lost, margin, p, lower, framesNeeded },
  };
}

/** Frames with which a model that is equal passes as often as planned, where the two disagree as often as they do. */
function framesToPass({ frames, won, lost }: Pair, margins: SliceMargins): number {
  const discordance = (won + lost) / Math.max(1, frames);
  const margin = discordance > margins.discordance ? margins.sliceMin : marginOf(frames, margins);
  return discordance === 0 ? frames : nonInferiorityItems(margin, { ...planOf(margins), discordance });
}

function driftedLine(name: string, pair: Pair, margins: SliceMargins): SliceLine {
  const { frames, won, lost } = pair;
  const p = mcNemarP(won, lost);
  const lower = tangoLower({ won, lost, items: frames }, margins.alpha);
  const isBetter = won > lost;
  const verdict = frames === 0 ? "unsure" : !isBetter ? "failed" : p <= margins.alpha ? "passed" : "unsure";
  const parts = [`${changeOf(pair)}; better: p ${p.toPrecision(2)}, lower bound ${points(lower)}`];
  if (verdict === "failed") parts.push("it was trained for these frames, and is not better on them");
  if (verdict === "unsure" && frames > 0) parts.push(`${framesToShow(pair, margins)} frames like these would show it`);
  return {
    kind: "slice",
    name: `drifted slice ${name}`,
    verdict,
    ...ratesOf(pair),
    bound: 0,
    found: parts.join("; "),
    slice: { role: "drifted", frames, won, lost, margin: 0, p, lower, framesNeeded: null },
  };
}

/** Frames with which the gain would be significant, were it in the same proportion. */
function framesToShow({ frames, won, lost }: Pair, { alpha }: SliceMargins): number {
  for (let times = 2; times <= 1_000; times++) {
    if (binomialCdf(times * lost, times * (won + lost), 0.5) <= alpha) return times * frames;
  }
  return 1_000 * frames;
}

const ratesOf = ({ frames, candidate, champion }: Pair) =>
  frames === 0 ? { candidate: null, champion: null } : { candidate, champion };

const changeOf = ({ frames, candidate, champion, won, lost }: Pair): string =>
  frames === 0
    ? "no frames"
    : `${percent(candidate)} against ${percent(champion)} on ${frames} frames; won ${won}, lost ${lost}`;

const points = (share: number): string => `${(100 * share).toFixed(2)} points`;
