/**
 * Which frames are trained on, tuned on and judged on.
 *
 * S1. Frames that are alike for another reason than their class stay together: a device never straddles splits where the slice has
 *     `DEVICES_MIN` devices or more. Of fewer, a device's frames are cut by time into blocks, and no block straddles.
 * S2. Only people's labels are tuned or judged on.
 * S3. GATE has only frames of the random sample, so that it is what the slice looks like, where the other splits do not become short
 *     of frames by that.
 * S4. S1 holds from one training to the next: a device or block of which candidates are judged by a frame already is in GATE alone.
 *     What GATE does not need of it is left out. What was trained on before is not in GATE (used-frames.ts U2). Where that leaves a split
 *     short, blocks are cut, shorter ones where it has to be, as frames that people judge by may be of every device and hour.
 */
import { hashOf } from "@tributary/kernel";
import type { FrameCandidate } from "./candidate.ts";
import type { JudgedMoment } from "./used-frames.ts";

export type Split = "TRAIN" | "TUNE" | "GATE";
export type FramesBySplit = Readonly<Record<Split, number>>;

export const SPLITS = ["TRAIN", "TUNE", "GATE"] as const;

/** S1. */
export const DEVICES_MIN = 8;
/** S1. Blocks of a slice, about: as many as give each split several. S4: and more. */
const BLOCKS = [24, 96, 384] as const;
/** Lots that are drawn; the one whose splits are nearest to what was wanted counts. */
const LOTS = 32;
/** S3. Each split has at least this share of what was wanted of it. */
const SHORT_MAX = 0.9;

export type SplitPlan = {
  readonly frames: Readonly<Record<Split, readonly FrameCandidate[]>>;
  readonly grouping: "device" | "device and time";
  /** S3. */
  readonly isGateDrawn: boolean;
  readonly notDrawn: number;
  readonly cloudLabels: number;
  /** S4. */
  readonly besideJudged: number;
  readonly trainedBefore: number;
};

export type SplitSizes = { readonly wanted: FramesBySplit; readonly splitMin: FramesBySplit };

/** S4. What earlier trainings leave to this one. */
export type SplitHistory = {
  readonly judgedDevices: ReadonlySet<string>;
  /** Of the slice. */
  readonly judgedMoments: readonly JudgedMoment[];
  readonly isTrained: (frame: FrameCandidate) => boolean;
};

export type SplitRequest = {
  readonly frames: readonly FrameCandidate[];
  readonly sizes: SplitSizes;
  readonly seed: string;
  readonly history: SplitHistory;
};

/** The split that has fewer frames than it needs. */
export const shortSplit = (plan: SplitPlan, { splitMin }: SplitSizes): Split | undefined =>
  SPLITS.find((split) => plan.frames[split].length < splitMin[split]);

export function splitPlan(request: SplitRequest): SplitPlan {
  const { frames, sizes, history } = request;
  const devices = devicesOf(frames, history);
  const cuts = BLOCKS.map((blocks) => () => planOf(blocksOf(frames, history, blocks), "device and time", request));
  if (devices.length >= DEVICES_MIN) cuts.unshift(() => planOf(devices, "device", request));
  const plans: SplitPlan[] = [];
  for (const cut of cuts) {
    const plan = cut();
    if (shortSplit(plan, sizes) === undefined) return plan;
    plans.push(plan);
    if (plan.besideJudged === 0) break; // S4
  }
  return plans[0] as SplitPlan;
}

function planOf(groups: readonly Group[], grouping: SplitPlan["grouping"], request: SplitRequest): SplitPlan {
  const { frames, sizes, seed, history } = request;
  const isUsableIn = usableIn(history);
  const targetOf = targetsOf(frames.length, sizes);
  const aims: Aims = {
    isUsableIn,
    targetOf,
    leastOf: (split: Split) => Math.min(sizes.splitMin[split], targetOf(split)),
  };
  const drawn = bestLot(groups, aims, true, seed);
  const isFull = SPLITS.every((split) => drawn.counts[split] >= SHORT_MAX * targetOf(split));
  const undrawn = isFull ? drawn : bestLot(groups, aims, false, seed);
  const isGateDrawn = undrawn.shortest <= drawn.shortest; // S3
  const { splitOf } = isGateDrawn ? drawn : undrawn;
  let [notDrawn, cloudLabels, besideJudged, trainedBefore] = [0, 0, 0, 0];
  const chosen: Record<Split, FrameCandidate[]> = { TRAIN: [], TUNE: [], GATE: [] };
  for (const [i, group] of groups.entries()) {
    const split = splitOf[i] ?? null;
    for (const frame of group.frames) {
      if (split === null) besideJudged += 1;
      else if (isUsableIn(split, frame, isGateDrawn)) chosen[split].push(frame);
      else if (frame.source === "CLOUD") cloudLabels += 1;
      else if (history.isTrained(frame)) trainedBefore += 1;
      else notDrawn += 1;
    }
  }
  return { frames: chosen, grouping, isGateDrawn, notDrawn, cloudLabels, besideJudged, trainedBefore };
}

/** Between what each split needs at least and what is best, as far as there are frames. */
function targetsOf(frames: number, { wanted, splitMin }: SplitSizes): (split: Split) => number {
  const sumOf = (counts: FramesBySplit) => SPLITS.reduce((sum, split) => sum + counts[split], 0);
  const [least, best] = [sumOf(splitMin), sumOf(wanted)];
  if (frames <= least && least > 0) return (split) => (splitMin[split] / least) * frames;
  const share = (frames - least) / Math.max(1, best - least);
  return (split) => splitMin[split] + (wanted[split] - splitMin[split]) * share;
}

type IsUsableIn = (split: Split, frame: FrameCandidate, isGateDrawn: boolean) => boolean;

/** S2, S3, S4. */
const usableIn =
  ({ isTrained }: SplitHistory): IsUsableIn =>
  (split, frame, isGateDrawn) => {
    if (split === "TRAIN") return true;
    if (frame.source === "CLOUD") return false;
    return split === "TUNE" || ((frame.sampleDrawn || !isGateDrawn) && !isTrained(frame));
  };

type Group = {
  /** In order of time. */
  readonly frames: readonly FrameCandidate[];
  /** S4. */
  readonly isJudged: boolean;
};

type Timed = { readonly deviceId: string; readonly receivedAt: number; readonly frameId: string };

function byDevice<T extends Timed>(frames: readonly T[]): [device: string, frames: T[]][] {
  const devices = [...Map.groupBy(frames, ({ deviceId }) => deviceId)].sort(([a], [b]) => (a < b ? -1 : 1));
  return devices.map(([device, own]) => [
    device,
    own.toSorted((a, b) => a.receivedAt - b.receivedAt || (a.frameId < b.frameId ? -1 : 1)),
  ]);
}

/** S1, S4. */
function devicesOf(frames: readonly FrameCandidate[], { judgedDevices }: SplitHistory): readonly Group[] {
  return byDevice(frames).map(([device, own]) => ({ frames: own, isJudged: judgedDevices.has(device) }));
}

/** S1, S4. Judged frames are cut with the others, so that a block has those of the same time. */
function blocksOf(
  frames: readonly FrameCandidate[],
  { judgedMoments }: SplitHistory,
  blocks: number,
): readonly Group[] {
  const timed = [
    ...frames.map((frame) => ({ ...timeOf(frame), frame })),
    ...judgedMoments.map((moment) => ({ ...timeOf(moment), frame: null })),
  ];
  const blockFrames = Math.max(1, Math.ceil(timed.length / blocks));
  const cut = byDevice(timed).flatMap(([, own]) =>
    Array.from({ length: Math.ceil(own.length / blockFrames) }, (_, i) =>
      own.slice(i * blockFrames, (i + 1) * blockFrames),
    ),
  );
  return cut
    .map((block) => ({
      frames: block.flatMap(({ frame }) => frame ?? []),
      isJudged: block.some(({ frame }) => frame === null),
    }))
    .filter((group) => group.frames.length > 0);
}

const timeOf = ({ deviceId, receivedAt, frameId }: Timed): Timed => ({ deviceId, receivedAt, frameId });

type Aims = Readonly<Record<"targetOf" | "leastOf", (split: Split) => number>> & { readonly isUsableIn: IsUsableIn };
type Lot = {
  /** Null: left out (S4). */
  readonly splitOf: readonly (Split | null)[];
  readonly counts: FramesBySplit;
  readonly shortest: number;
};

function bestLot(groups: readonly Group[], aims: Aims, isGateDrawn: boolean, seed: string): Lot {
  const lots = Array.from({ length: LOTS }, (_, i) => lotOf(groups, aims, isGateDrawn, `${seed}\n${i}`));
  return lots.reduce((best, lot) => (lot.shortest > best.shortest ? lot : best));
}

/** Fills GATE, then TUNE, with groups in the order of the lot, each as near to its target as they allow; TRAIN gets the others. Groups
 * that are judged already come first, since only GATE can have them (S4). */
function lotOf(groups: readonly Group[], aims: Aims, isGateDrawn: boolean, seed: string): Lot {
  const { isUsableIn, targetOf, leastOf } = aims;
  const lots = groups.map((group, i) => ({ i, group, lot: hashOf(`${seed}\n${group.frames[0]?.frameId}`) }));
  lots.sort((a, b) => Number(b.group.isJudged) - Number(a.group.isJudged) || a.lot - b.lot || a.i - b.i);
  const splitOf: (Split | null)[] = groups.map(() => null);
  const counts: Record<Split, number> = { TRAIN: 0, TUNE: 0, GATE: 0 };
  const usable = (split: Split, { frames }: Group) =>
    frames.filter((frame) => isUsableIn(split, frame, isGateDrawn)).length;
  for (const { i, group } of lots) {
    const { isJudged } = group;
    const filled = (isJudged ? (["GATE"] as const) : (["GATE", "TUNE"] as const)).find((one) => {
      const missing = targetOf(one) - counts[one];
      const more = usable(one, group);
      if (more === 0) return false;
      return counts[one] < leastOf(one) || Math.abs(missing - more) < Math.abs(missing);
    });
    const split = filled ?? (isJudged ? null : "TRAIN");
    splitOf[i] = split;
    if (split !== null) counts[split] += usable(split, group);
  }
  const shares = SPLITS.filter((split) => targetOf(split) > 0).map((split) => counts[split] / targetOf(split));
  return { splitOf, counts, shortest: Math.min(...shares) };
}
