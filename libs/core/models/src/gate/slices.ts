/** The lines of a candidate that a program trained: what it costs each old slice of the frames, and what it gains on the slice
 * that drifted. Pure.
 *
 * A person who pushes a candidate has looked at it; of one that a program trained, the gate is the only judge before devices
 * run it. Failing what is proven harmful then is not enough: of 1,000 frames, nothing short of a disaster is proven. So an old
 * slice passes only where it is proven that the candidate is not worse by the margin or more (non-inferiority, Tango's score
 * test), and the drifted slice only where it is proven that the candidate is better (exact McNemar). What is neither
 * proven nor refuted is unsure, and waits for a person.
 *
 * Frames of one device are not independent: a candidate may be better on one device and worse on the next, on average neither. So the
 * device is the unit. Its cameras, or blocks of its time, share what distinguishes it, and would let a single device pass for many.
 *
 * S1. The margin is the smallest by which a model that is equal passes with the planned power, at the share of frames on which the
 *     two differ, but at most the planned one: who differs more from the champion gets no larger margin. It is at least
 *     `sliceMin`; where it exceeds `sliceMax` the slice has too few frames. So whatever passes is, at the gate's level, not
 *     worse by `sliceMax` or more: that the margin follows from the answers can only make it smaller than that.
 * S2. All slices must pass. Such a test (intersection-union, Berger 1982) keeps its level without a correction: to pass, a harmful
 *     candidate must pass the very slice that it harms. Each slice more makes passing harder, never easier.
 * S3. An old slice fails as all frames of a candidate of a person do: a loss beyond `accuracy` that chance does not explain, where
 *     slices share their level (Holm 1979). So nothing passes by slices that would fail without them on one slice.
 * S4. A slice beside `base` with too few frames for `sliceMax` would hold every candidate, as the frames do that a training brought. It
 *     is judged together with `base` and the other slices like it: by a line of all their frames, as an old slice is judged, beside `base`'s own.
 *     Its own line still fails by S3, and is unsure where its estimated loss exceeds `sliceMax`.
 * S5. Where a slice lists devices, it passes only if it also passes Student's t over them (clusters.ts of the statistics), of the same
 *     hypothesis: of both p-values the larger counts, of both bounds the lower. So what counts is never narrower than the chance of frames
 *     allows. Fewer than `DEVICES_MIN` devices are unsure, whatever they show. Frames whose device is not known are one device:
 *     they may be. Failing (S3) is decided by frames alone: that errs towards holding a candidate back. */
import {
  binomialCdf,
  type ClusterSums,
  clusteredLower,
  clusteredP,
  clustersNeeded,
  holmAdjusted,
  mcNemarP,
  mergedSums,
  type NonInferiorityPlan,
  nonInferiorityItems,
  nonInferiorityMargin,
  nonInferiorityP,
  sumsOfClusters,
  sumsOfItems,
  tangoLower,
} from "@tributary/statistics";
import type { SureFrames } from "./labels.ts";
import { type Pair, percent, pooled } from "./paired.ts";

/** What both answered on the frames of one slice; its name is base, or KEY=VALUE. */
export type Slice = Pair & {
  readonly name: string;
  /** S5. Frames that none of them has are units of their own; absent: all are, as photos of a benchmark. */
  readonly devices?: readonly DeviceCounts[];
};

/** Of the frames of one device; null: of those whose device is not known. */
export type DeviceCounts = Pick<Pair, "frames" | "won" | "lost"> & { readonly device: string | null };

/** S5. Student's t with two degrees of freedom still keeps its level; with one it would need differences of 6 standard errors. */
const DEVICES_MIN = 3;

/** What the candidate was trained for. */
export type DriftedSlice = Slice & {
  /** Absent: nobody looked at the labels (labels.ts). */
  readonly sure?: SureFrames;
};

export type Slices = {
  readonly old: readonly Slice[];
  readonly drifted: readonly DriftedSlice[];
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
  /** S5. That have frames of it; null: its frames are units of their own. */
  readonly devices: number | null;
  /** S5. Devices like these, with as many frames each, that would do; null: they are not what is missing, or no number is enough. */
  readonly devicesNeeded: number | null;
  /** Names of slices that are too small to be judged alone (S4): of such a slice its own, of the line of all of them each. */
  readonly pooled?: readonly string[];
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

const NAMED_MAX = 3;

const discordanceOf = ({ frames, won, lost }: Pair): number => (won + lost) / Math.max(1, frames);

const planOf = (discordance: number, { discordance: planned, alpha, power }: SliceMargins): NonInferiorityPlan => ({
  discordance: Math.min(discordance, planned),
  alpha,
  power,
});

export function sliceLines({ old, drifted }: Slices, margins: SliceMargins): readonly SliceLine[] {
  const small = old.filter((slice) => isSmall(slice, margins));
  const judged = small.length === 0 ? old : [...old, poolOf(old, small)];
  const losses = holmAdjusted(judged.map(({ lost, won }) => mcNemarP(lost, won)));
  const lines = judged.map((slice, i): SliceLine => {
    const lossP = losses[i] as number;
    if (small.includes(slice)) return smallLine(slice, lossP, margins);
    const line = oldLine(slice, lossP, margins);
    return i < old.length ? line : { ...line, slice: { ...line.slice, pooled: small.map(({ name }) => name) } };
  });
  return [...lines, ...drifted.map((slice) => driftedLine(slice, margins))];
}

const BASE = "base";

/** S4. One without frames is unsure by itself. */
const isSmall = (slice: Slice, margins: SliceMargins): boolean =>
  slice.name !== BASE && slice.frames > 0 && marginOf(slice.frames, discordanceOf(slice), margins) > margins.sliceMax;

/** S4. What it says of its own frames; the line of the pool has the proof. */
function smallLine(pair: Slice, lossP: number, margins: SliceMargins): SliceLine {
  const line = oldLine(pair, lossP, margins);
  const loss = pair.champion - pair.candidate;
  const isLosing = loss > margins.sliceMax;
  const why = isLosing ? `; it loses ${points(loss)} here by estimate, more than ${points(margins.sliceMax)}` : "";
  return {
    ...line,
    verdict: line.verdict === "failed" ? "failed" : isLosing ? "unsure" : "passed",
    found: `${line.found}; so it is judged together with ${BASE}${why}`,
    slice: { ...line.slice, pooled: [pair.name] },
  };
}

/** S4. With `base`'s frames, if there are any. */
function poolOf(old: readonly Slice[], small: readonly Slice[]): Slice {
  const base = old.filter(({ name }) => name === BASE);
  const names = small.map(({ name }) => name);
  const some = names.length > NAMED_MAX ? `${names.length} small slices` : names.join(", ");
  const all = [...base, ...small];
  const name = base.length === 0 ? some : `${BASE} with ${some}`;
  if (all.every(({ devices }) => devices === undefined)) return { ...pooled(all), name };
  return { ...pooled(all), name, devices: mergedDevices(all.flatMap(({ devices = [] }) => devices)) };
}

/** A device may have frames of several slices. */
function mergedDevices(devices: readonly DeviceCounts[]): readonly DeviceCounts[] {
  const sum = (own: readonly DeviceCounts[], of: (one: DeviceCounts) => number) =>
    own.reduce((total, one) => total + of(one), 0);
  return [...Map.groupBy(devices, ({ device }) => device)].map(([device, own]) => ({
    device,
    frames: sum(own, ({ frames }) => frames),
    won: sum(own, ({ won }) => won),
    lost: sum(own, ({ lost }) => lost),
  }));
}

/** S5. What the units of a slice prove beside its frames; null: all of its frames are units of their own. */
type Units = {
  readonly devices: number;
  readonly sums: ClusterSums;
  /** In words: which units are missing. */
  readonly missing: string | null;
};

function unitsOf({ frames, won, lost, devices }: Slice): Units | null {
  if (devices === undefined || frames === 0) return null;
  const own = { items: frames, won, lost };
  for (const device of devices) {
    own.items -= device.frames;
    own.won -= device.won;
    own.lost -= device.lost;
  }
  const listed = devices.filter((device) => device.frames > 0);
  const ofDevices = sumsOfClusters(listed.map(({ frames: items, ...counts }) => ({ items, ...counts })));
  const sums = own.items === 0 ? ofDevices : mergedSums(ofDevices, sumsOfItems(own));
  const lacking = own.items > 0 ? 0 : DEVICES_MIN - listed.length;
  return { devices: listed.length, sums, missing: lacking > 0 ? missingWords(listed, lacking) : null };
}

function missingWords(devices: readonly DeviceCounts[], lacking: number): string {
  const unknown = devices.find(({ device }) => device === null)?.frames ?? 0;
  const nameless = unknown === 0 ? "" : `; ${unknown} frames name no device, and count as of one`;
  const count = `${devices.length} device${devices.length === 1 ? "" : "s"}`;
  return `too few devices: ${count}, ${lacking} more ${lacking === 1 ? "is" : "are"} needed${nameless}`;
}

function oldLine(pair: Slice, lossP: number, margins: SliceMargins): SliceLine {
  const { name, frames, won, lost } = pair;
  const discordance = discordanceOf(pair);
  const margin = marginOf(frames, discordance, margins);
  const framesP = nonInferiorityP({ won, lost, items: frames }, margin);
  const tested = testedOf(pair, framesP, -margin, margins);
  const { units, p, lower } = tested;
  const isTooSmall = margin > margins.sliceMax;
  const isProvenLoss = pair.champion - pair.candidate > margins.accuracy && lossP <= margins.alpha;
  const isShown = !isTooSmall && !units?.missing && p <= margins.alpha;
  const verdict = isProvenLoss ? "failed" : isShown ? "passed" : "unsure";
  const framesNeeded = framesToPass(frames, discordance, margins);
  const devicesNeeded =
    verdict === "unsure" ? devicesToShow(tested, { gain: margin, power: margins.power }, margins) : null;
  const parts = [`${changeOf(pair)}; not worse by ${points(margin)} or more: ${provenWords(tested)}`];
  if (isProvenLoss) parts.push(`worse: p ${lossP.toPrecision(2)}`);
  if (isTooSmall) parts.push(`too few frames for a margin of ${points(margins.sliceMax)}: ${framesNeeded} would do`);
  else if (verdict === "unsure" && framesNeeded > frames) parts.push(`a model as good passes with ${framesNeeded}`);
  if (units?.missing) parts.push(units.missing);
  else if (devicesNeeded !== null) parts.push(`a model as good passes with ${devicesNeeded} devices like these`);
  return {
    kind: "slice",
    name: `old slice ${name}`,
    verdict,
    ...ratesOf(pair),
    bound: margin,
    found: parts.join("; "),
    slice: { role: "old", frames, won, lost, margin, p, lower, framesNeeded, ...devicesOf(tested, devicesNeeded) },
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
  const tested = testedOf(pair, mcNemarP(won, lost), 0, margins);
  const { units, framesP, p, lower } = tested;
  const isBetter = won > lost;
  const isShown = !units?.missing && p <= margins.alpha;
  const verdict = frames === 0 ? "unsure" : !isBetter ? "failed" : isShown ? "passed" : "unsure";
  const gain = units === null ? 0 : units.sums.a / units.sums.w;
  const devicesNeeded = verdict === "unsure" ? devicesToShow(tested, { gain, power: 0.5 }, margins) : null;
  const parts = [`${changeOf(pair)}; better: ${provenWords(tested)}`];
  if (verdict === "failed") parts.push("it was trained for these frames, and is not better on them");
  if (verdict === "unsure" && frames > 0 && framesP > margins.alpha)
    parts.push(`${framesToShow(pair, margins)} frames like these would show it`);
  if (verdict === "unsure" && units?.missing) parts.push(units.missing);
  else if (devicesNeeded !== null) parts.push(`${devicesNeeded} devices like these would show it`);
  return {
    kind: "slice",
    name: `drifted slice ${name}`,
    verdict,
    ...ratesOf(pair),
    bound: 0,
    found: parts.join("; "),
    slice: {
      ...{ role: "drifted", frames, won, lost, margin: 0, p, lower, framesNeeded: null },
      ...devicesOf(tested, devicesNeeded),
    },
  };
}

/** S5. What frames alone show, what devices show, and what counts of both. */
type Tested = {
  readonly units: Units | null;
  readonly framesP: number;
  readonly unitsP: number;
  readonly p: number;
  readonly lower: number;
};

/** @param difference - The change of accuracy that is to be refuted. */
function testedOf(slice: Slice, framesP: number, difference: number, { alpha }: SliceMargins): Tested {
  const { frames, won, lost } = slice;
  const lower = tangoLower({ won, lost, items: frames }, alpha);
  const units = unitsOf(slice);
  if (units === null) return { units, framesP, unitsP: framesP, p: framesP, lower };
  const unitsP = clusteredP(units.sums, difference);
  return {
    ...{ units, framesP, unitsP, p: Math.max(framesP, unitsP) },
    lower: Math.min(lower, clusteredLower(units.sums, alpha)),
  };
}

/** S5. Devices with which this gain is shown with this power; null where devices are not what is missing. */
function devicesToShow(
  { units, unitsP }: Tested,
  { gain, power }: { readonly gain: number; readonly power: number },
  { alpha }: SliceMargins,
): number | null {
  if (units === null || units.missing !== null || unitsP <= alpha) return null;
  const needed = clustersNeeded(units.sums, gain, alpha, power);
  return needed !== null && needed > units.sums.clusters ? needed : null;
}

const devicesOf = ({ units }: Tested, devicesNeeded: number | null) => ({
  devices: units?.devices ?? null,
  devicesNeeded: units?.missing ? DEVICES_MIN : devicesNeeded,
});

function provenWords({ units, framesP, p, lower }: Tested): string {
  const bound = `lower bound ${points(lower)}`;
  if (units === null) return `p ${p.toPrecision(2)}, ${bound}`;
  const count = `${units.devices} device${units.devices === 1 ? "" : "s"}`;
  return `p ${p.toPrecision(2)} over ${count} (${framesP.toPrecision(2)} were its frames independent), ${bound}`;
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
