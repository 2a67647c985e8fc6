/** What distinguishes two dataset versions: frames are the same if their pictures are. */
import type { DatasetFrame } from "../job.ts";

type Changes = { readonly added: number; readonly removed: number; readonly relabelled: number };

export type DatasetDifference = Changes & {
  readonly same: number;
  /** Frames of both that are in another split now. */
  readonly moved: number;
  readonly classes: Readonly<Record<string, Changes>>;
  readonly slices: Readonly<Record<string, Changes>>;
  readonly relabelledFrames: readonly { readonly sha256: string; readonly from: string; readonly to: string }[];
};

type Change = keyof Changes;

/** Of a relabelled frame the class that it has now counts. */
export function datasetDifference(before: readonly DatasetFrame[], after: readonly DatasetFrame[]): DatasetDifference {
  const old = new Map(before.map((frame) => [frame.sha256, frame]));
  const now = new Set(after.map(({ sha256 }) => sha256));
  const total = { added: 0, removed: 0, relabelled: 0 };
  const classes = new Map<string, Record<Change, number>>();
  const slices = new Map<string, Record<Change, number>>();
  const count = (change: Change, { label, slice }: DatasetFrame) => {
    total[change] += 1;
    for (const [map, key] of [
      [classes, label],
      [slices, slice],
    ] as const) {
      const counts = map.get(key) ?? { added: 0, removed: 0, relabelled: 0 };
      counts[change] += 1;
      map.set(key, counts);
    }
  };
  const relabelledFrames: { sha256: string; from: string; to: string }[] = [];
  let [same, moved] = [0, 0];
  for (const frame of after) {
    const was = old.get(frame.sha256);
    if (was === undefined) count("added", frame);
    else if (was.label !== frame.label) {
      count("relabelled", frame);
      relabelledFrames.push({ sha256: frame.sha256, from: was.label, to: frame.label });
    } else same += 1;
    if (was !== undefined && was.split !== frame.split) moved += 1;
  }
  for (const frame of before) if (!now.has(frame.sha256)) count("removed", frame);
  return { ...total, same, moved, classes: sortedRecord(classes), slices: sortedRecord(slices), relabelledFrames };
}

const sortedRecord = <T>(map: ReadonlyMap<string, T>): Readonly<Record<string, T>> =>
  Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
