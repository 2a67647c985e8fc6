/**
 * Which archived frames people are asked to label for a training. Pure.
 *
 * Frames of the random sample come first: only they show the slice as it is. Among these, and among the others, the device
 * with the fewest labels is next, so that no device has more than its share of a dataset, and its frames come in the order of
 * their digests, which spreads them over time. A frame within a second of a labelled or listed one of its camera is probably
 * its near-duplicate: it comes last. A picture that is listed already, by its digest, never comes again.
 */
import type { ArchivedFrame, TrainingRun } from "@tributary/contracts";
import { hashOf } from "@tributary/kernel";
import { fairPlaces } from "./fair-places.ts";
import type { KnownLabel } from "./label-table.ts";

export type SliceOfRun = Pick<TrainingRun, "slice" | "devices" | "since">;
type Entry = readonly [frameId: string, frame: ArchivedFrame];

const NEAR_MS = 1_000;

/** Whether a frame belongs to what a run is to learn. */
export function sliceOf({ slice, devices, since }: SliceOfRun): (frame: ArchivedFrame) => boolean {
  const own = new Set(devices);
  const [key, value] = [slice.slice(0, slice.indexOf("=")), slice.slice(slice.indexOf("=") + 1)];
  const isThere = (frame: ArchivedFrame): boolean => {
    switch (key) {
      case "camera":
        return value === `${frame.deviceId}/${frame.cameraId}`;
      case "device":
        return value === frame.deviceId;
      case "site":
        return own.size > 0 || value === frame.site;
      default:
        return true;
    }
  };
  return (frame) => frame.receivedAt >= since && (own.size === 0 || own.has(frame.deviceId)) && isThere(frame);
}

/** At most `limit` frames without a label, in the order in which they are best labelled. `frames`: those of the slice. */
export function framesToLabel(
  frames: readonly Entry[],
  hasLabel: (frameId: string) => boolean,
  limit: number,
): readonly Entry[] {
  const labelled = frames.filter(([frameId]) => hasLabel(frameId)).map(([, frame]) => frame);
  const taken = new Taken(labelled);
  const open = frames.filter(([frameId]) => !hasLabel(frameId)).sort(byDigest);
  const listed: Entry[] = [];
  const later: Entry[] = [];
  for (const isDrawn of [true, false]) {
    const queues = [...Map.groupBy(open, ([, { deviceId }]) => deviceId).values()].map((own) =>
      own.filter(([, { sampleDrawn }]) => sampleDrawn === isDrawn),
    );
    while (listed.length < limit) {
      const next = taken.nextOf(queues);
      if (next === undefined) break;
      if (taken.hasPicture(next[1])) continue;
      if (taken.isNear(next[1])) later.push(next);
      else {
        taken.add(next[1]);
        listed.push(next);
      }
    }
  }
  for (const entry of later) {
    if (listed.length >= limit) break;
    if (taken.hasPicture(entry[1])) continue;
    taken.add(entry[1]);
    listed.push(entry);
  }
  return listed;
}

/** Of labelled frames that are listed again, and of a list at most. */
const REPEATED_EVERY = 20;
const REPEATED_SHARE_MAX = 0.25;
/** Calibrated probability from which the cloud contradicts a label. */
const CLOUD_SURE = 0.9;

/**
 * Frames that one person labelled and `by` did not, for a second look: those whose label the cloud contradicts, of which the wrong ones are then
 * left out of the dataset as contradictory; and one in twenty by lot, which show how often two people differ. Devices share the places
 * (fair-places.ts): a cloud that contradicts one device's labels all the time leaves the others' their look.
 */
export function framesToRepeat(
  frames: readonly Entry[],
  labelOf: (frameId: string) => KnownLabel | undefined,
  by: string,
  limit: number,
): readonly Entry[] {
  const rankOf = ([frameId, frame]: Entry): number => {
    const known = labelOf(frameId);
    if (known === undefined || known.label === null || known.people.length !== 1 || known.people.includes(by))
      return -1;
    const { cloudLabel, cloudConfidence } = frame;
    if (cloudLabel !== null && cloudLabel !== known.label && (cloudConfidence ?? 0) >= CLOUD_SURE) return 0;
    return hashOf(frameId) % REPEATED_EVERY === 0 ? 1 : -1;
  };
  const ranked = frames.map((entry) => ({ entry, rank: rankOf(entry) })).filter(({ rank }) => rank >= 0);
  ranked.sort((a, b) => a.rank - b.rank || byDigest(a.entry, b.entry));
  const all = Math.floor(REPEATED_SHARE_MAX * limit);
  const entries = ranked.map(({ entry }) => entry);
  return fairPlaces(entries, ([, { deviceId }]) => deviceId, { left: all, all, taken: new Map() });
}

const byDigest = ([, a]: Entry, [, b]: Entry): number => (a.digest < b.digest ? -1 : a.digest > b.digest ? 1 : 0);

/** What is labelled or listed. */
class Taken {
  readonly #perDevice = new Map<string, number>();
  readonly #digests = new Set<string>();
  /** Times by camera and second. */
  readonly #seconds = new Set<string>();

  constructor(frames: readonly ArchivedFrame[]) {
    for (const frame of frames) this.add(frame);
  }

  add({ deviceId, cameraId, digest, receivedAt }: ArchivedFrame): void {
    this.#perDevice.set(deviceId, (this.#perDevice.get(deviceId) ?? 0) + 1);
    this.#digests.add(digest);
    this.#seconds.add(secondOf(deviceId, cameraId, receivedAt));
  }

  hasPicture({ digest }: ArchivedFrame): boolean {
    return this.#digests.has(digest);
  }

  isNear({ deviceId, cameraId, receivedAt }: ArchivedFrame): boolean {
    return [-NEAR_MS, 0, NEAR_MS].some((by) => this.#seconds.has(secondOf(deviceId, cameraId, receivedAt + by)));
  }

  /** Removes and returns the first frame of the device that has the fewest. */
  nextOf(queues: readonly Entry[][]): Entry | undefined {
    let best: Entry[] | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const queue of queues) {
      const [first] = queue;
      const count = first === undefined ? Number.POSITIVE_INFINITY : (this.#perDevice.get(first[1].deviceId) ?? 0);
      if (count < fewest) [best, fewest] = [queue, count];
    }
    return best?.shift();
  }
}

const secondOf = (deviceId: string, cameraId: string, at: number): string =>
  `${deviceId}/${cameraId}/${Math.floor(at / NEAR_MS)}`;
