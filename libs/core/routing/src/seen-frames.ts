/** Which frames were ever predicted, as ranges of numbers per camera and boot: numbers run, so it stays small. Of more than
 * `camerasMax` the device with the most loses the one that was extended longest ago. */
import { OwnedOldest } from "@tributary/kernel";

const RANGES_MAX = 1_024;

type Range = { from: bigint; to: bigint };

export class SeenFrames {
  readonly #camerasMax: number;
  /** By `deviceId:bootId:cameraId`; ranges by rising number. */
  readonly #cameras = new Map<string, Range[]>();
  readonly #shares = new OwnedOldest<string>();

  constructor(camerasMax: number) {
    this.#camerasMax = camerasMax;
  }

  add(camera: string, frameSeq: bigint): void {
    const ranges = this.#cameras.get(camera) ?? [];
    this.#cameras.set(camera, ranges);
    this.#shares.add(camera, camera.slice(0, camera.indexOf(":")));
    const forgotten = this.#shares.beyond(this.#camerasMax);
    if (forgotten !== undefined) this.#cameras.delete(forgotten);
    const at = positionOf(ranges, frameSeq);
    const [below, above] = [ranges[at - 1], ranges[at]];
    if (below !== undefined && frameSeq <= below.to) return;
    const joinsBelow = below !== undefined && below.to + 1n === frameSeq;
    const joinsAbove = above !== undefined && above.from - 1n === frameSeq;
    if (joinsBelow && joinsAbove) {
      below.to = above.to;
      ranges.splice(at, 1);
    } else if (joinsBelow) below.to = frameSeq;
    else if (joinsAbove) above.from = frameSeq;
    else ranges.splice(at, 0, { from: frameSeq, to: frameSeq });
    // Closing a gap marks a few frames as seen; forgetting a range would mark many as not seen.
    if (ranges.length > RANGES_MAX) ranges.splice(0, 2, { from: ranges[0]?.from ?? 0n, to: ranges[1]?.to ?? 0n });
  }

  has(camera: string, frameSeq: bigint): boolean {
    const ranges = this.#cameras.get(camera);
    const below = ranges?.[positionOf(ranges, frameSeq) - 1];
    return below !== undefined && frameSeq <= below.to;
  }
}

/** Index of the first range that starts above `frameSeq`. */
function positionOf(ranges: readonly Range[], frameSeq: bigint): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle]?.from ?? 0n) <= frameSeq) low = middle + 1;
    else high = middle;
  }
  return low;
}
