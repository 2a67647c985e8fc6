/**
 * Which frames are trained on, tuned on and judged on.
 *
 * S1. Frames that are alike for another reason than their class stay together: a device never straddles splits where the slice has
 *     `DEVICES_MIN` devices or more. Of fewer, a device's frames are cut by time into blocks, and no block straddles.
 * S2. Only people's labels are tuned or judged on.
 * S3. GATE has only frames of the random sample, so that it is what the slice looks like, where the other splits do not become short
 *     of frames by that.
 */
import { hashOf } from "@tributary/kernel";
import type { FrameCandidate } from "./candidate.ts";

export type Split = "TRAIN" | "TUNE" | "GATE";
export type FramesBySplit = Readonly<Record<Split, number>>;

export const SPLITS = ["TRAIN", "TUNE", "GATE"] as const;

/** S1. */
export const DEVICES_MIN = 8;
/** S1. Blocks of a slice, about: as many as give each split several. */
const BLOCKS = 24;
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
};

export type SplitSizes = { readonly wanted: FramesBySplit; readonly splitMin: FramesBySplit };

export function splitPlan(frames: readonly FrameCandidate[], sizes: SplitSizes, seed: string): SplitPlan {
  const { groups, grouping } = groupsOf(frames);
  const targetOf = targetsOf(frames.length, sizes);
  const aims = { targetOf, leastOf: (split: Split) => Math.min(sizes.splitMin[split], targetOf(split)) };
  const drawn = bestLot(groups, aims, true, seed);
  const isGateDrawn = SPLITS.every((split) => drawn.counts[split] >= SHORT_MAX * targetOf(split)); // S3
  const { splitOf } = isGateDrawn ? drawn : bestLot(groups, aims, false, seed);
  let [notDrawn, cloudLabels] = [0, 0];
  const chosen: Record<Split, FrameCandidate[]> = { TRAIN: [], TUNE: [], GATE: [] };
  for (const [i, group] of groups.entries()) {
    const split = splitOf[i] as Split;
    for (const frame of group) {
      if (isUsableIn(split, frame, isGateDrawn)) chosen[split].push(frame);
      else if (frame.source === "CLOUD") cloudLabels += 1;
      else notDrawn += 1;
    }
  }
  return { frames: chosen, grouping, isGateDrawn, notDrawn, cloudLabels };
}

/** Between what each split needs at least and what is best, as far as there are frames. */
function targetsOf(frames: number, { wanted, splitMin }: SplitSizes): (split: Split) => number {
  const sumOf = (counts: FramesBySplit) => SPLITS.reduce((sum, split) => sum + counts[split], 0);
  const [least, best] = [sumOf(splitMin), sumOf(wanted)];
  if (frames <= least && least > 0) return (split) => (splitMin[split] / least) * frames;
  const share = (frames - least) / Math.max(1, best - least);
  return (split) => splitMin[split] + (wanted[split] - splitMin[split]) * share;
}

/** S2, S3. */
const isUsableIn = (split: Split, { source, sampleDrawn }: FrameCandidate, isGateDrawn: boolean): boolean =>
  split === "TRAIN" || (source !== "CLOUD" && (split === "TUNE" || sampleDrawn || !isGateDrawn));

type Groups = { readonly groups: readonly (readonly FrameCandidate[])[]; readonly grouping: SplitPlan["grouping"] };

/** S1. */
function groupsOf(frames: readonly FrameCandidate[]): Groups {
  const byDevice = [...Map.groupBy(frames, ({ deviceId }) => deviceId)].sort(([a], [b]) => (a < b ? -1 : 1));
  const devices = byDevice.map(([, own]) =>
    [...own].sort((a, b) => a.receivedAt - b.receivedAt || (a.frameId < b.frameId ? -1 : 1)),
  );
  if (devices.length >= DEVICES_MIN) return { groups: devices, grouping: "device" };
  const blockFrames = Math.max(1, Math.ceil(frames.length / BLOCKS));
  const groups = devices.flatMap((own) =>
    Array.from({ length: Math.ceil(own.length / blockFrames) }, (_, i) =>
      own.slice(i * blockFrames, (i + 1) * blockFrames),
    ),
  );
  return { groups, grouping: "device and time" };
}

type Aims = Readonly<Record<"targetOf" | "leastOf", (split: Split) => number>>;
type Lot = { readonly splitOf: readonly Split[]; readonly counts: FramesBySplit; readonly shortest: number };

function bestLot(groups: Groups["groups"], aims: Aims, isGateDrawn: boolean, seed: string): Lot {
  const lots = Array.from({ length: LOTS }, (_, i) => lotOf(groups, aims, isGateDrawn, `${seed}\n${i}`));
  return lots.reduce((best, lot) => (lot.shortest > best.shortest ? lot : best));
}

/** Fills GATE, then TUNE, with groups in the order of the lot, each as near to its target as they allow; TRAIN gets the others. */
function lotOf(groups: Groups["groups"], { targetOf, leastOf }: Aims, isGateDrawn: boolean, seed: string): Lot {
  const lots = groups.map((group, i) => ({ i, group, lot: hashOf(`${seed}\n${group[0]?.frameId}`) }));
  lots.sort((a, b) => a.lot - b.lot || a.i - b.i);
  const splitOf: Split[] = groups.map(() => "TRAIN");
  const counts: Record<Split, number> = { TRAIN: 0, TUNE: 0, GATE: 0 };
  const usable = (split: Split, group: readonly FrameCandidate[]) =>
    group.filter((frame) => isUsableIn(split, frame, isGateDrawn)).length;
  for (const { i, group } of lots) {
    const split = (["GATE", "TUNE"] as const).find((one) => {
      const missing = targetOf(one) - counts[one];
      const more = usable(one, group);
      if (more === 0) return false;
      return counts[one] < leastOf(one) || Math.abs(missing - more) < Math.abs(missing);
    });
    splitOf[i] = split ?? "TRAIN";
    counts[splitOf[i]] += usable(splitOf[i], group);
  }
  const shares = SPLITS.filter((split) => targetOf(split) > 0).map((split) => counts[split] / targetOf(split));
  return { splitOf, counts, shortest: Math.min(...shares) };
}
