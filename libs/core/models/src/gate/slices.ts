/** The lines of a candidate that a program trained: what it costs each old slice of the frames, and what it gains on the slice
 * that drifted. Pure.
 *
 * A person who pushes a candidate has looked at it; of one that a program trained, the gate is the only judge before devices
 * run it. Failing what is proven harmful then is not enough: of 1,000 frames, nothing short of a disaster is proven. So an old
 * slice passes only where it is proven that the candidate is not worse by the margin or more (non-inferiority, Tango's score
 * test), and the drifted slice only where it is proven that the candidate is better (exact McNemar). What is neither
 * proven nor refuted is unsure, and waits for a person.
 *
 * S1. The margin is the smallest by which a model that is equal passes with the planned power, at the share of frames on which the
 *     two differ, but at most the planned one: who differs more from the champion gets no larger margin. It is at least
 *     `sliceMin`; where it exceeds `sliceMax` the slice has too few frames. So whatever passes is, at the gate's level, not
 *     worse by `sliceMax` or more: that the margin follows from the answers can only make it smaller than that.
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
import { mcNemarP, type Pair, percent } from "./paired.ts";

/** What both answered on the frames of one slice; its name is base, or KEY=VALUE. */
export type Slice = Pair & { readonly name: string };

export type Slices = {
  readonly old: readonly Slice[];
  /** What the candidate was trained for. */
  readonly drifted: readonly Slice[];
};

export type SliceMargins = {
  /** A loss that is acceptable, as a share: beyond it a proven one fails (S3). */
  readonly accuracy: number;
  /** What an old slice may lose where it has many frames, and where it has few (S1). */
  readonly sliceMin: number;
  readonly sliceMax: number;
  /** Share of frames that only one of the two is right on, at most as planned (S1). */
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

/** S1. Of an old slice with so many frames, of which this share differs; greater than `sliceMax`: it has too few. */
export function marginOf(frames: number, discordance: number, margins: SliceMargins): number {
  return Math.max(margins.sliceMin, nonInferiorityMargin(frames, planOf(discordance, margins)));
}

const planOf = (discordance: number, { discordance: planned, alpha, power }: SliceMargins): NonInferiorityPlan => ({
  discordance: Math.min(discordance, planned),
  alpha,
  power,
});

export function sliceLines({ old, drifted }: Slices, margins: SliceMargins): readonly SliceLine[] {
  const losses = holmAdjusted(old.map(({ lost, won }) => mcNemarP(lost, won)));
  return [
    ...old.map((slice, i) => oldLine(slice, losses[i] as number, margins)),
    ...drifted.map((slice) => driftedLine(slice, margins)),
  ];
}

function oldLine(pair: Slice, lossP: number, margins: SliceMargins): SliceLine {
  const { name, frames, won, lost } = pair;
  const counts = { won, lost, items: frames };
  const discordance = (won + lost) / Math.max(1, frames);
  const margin = marginOf(frames, discordance, margins);
  const p = nonInferiorityP(counts, margin);
  const lower = tangoLower(counts, margins.alpha);
  const isTooSmall = margin > margins.sliceMax;
  const isProvenLoss = pair.champion - pair.candidate > margins.accuracy && lossP <= margins.alpha;
  const verdict = isProvenLoss ? "failed" : !isTooSmall && p <= margins.alpha ? "passed" : "unsure";
  const framesNeeded = framesToPass(frames, discordance, margins);
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

/** Frames with which a model that is equal passes as often as planned, where the two differ on this share of them. */
function framesToPass(frames: number, discordance: number, margins: SliceMargins): number {
  const { sliceMin, sliceMax, discordance: planned } = margins;
  const itemsMin = nonInferiorityItems(sliceMax, planOf(discordance, margins));
  if (frames < itemsMin) return itemsMin;
  return discordance <= planned ? frames : nonInferiorityItems(sliceMin, { ...planOf(planned, margins), discordance });
}

function driftedLine(pair: Slice, margins: SliceMargins): SliceLine {
  const { name, frames, won, lost } = pair;
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
