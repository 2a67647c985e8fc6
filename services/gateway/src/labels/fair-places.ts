/**
 * Places of a list for people, which devices share: pure. While others wait, a device has at most 5 % of the places, or an equal part of them
 * (max-min fairness); what the others do not fill is given away, so that few devices fill the list as well.
 */

/** Of the places, those that any device may have however many others wait. */
const DEVICE_SHARE = 0.05;

export type Places = {
  /** Places that are free. */
  readonly left: number;
  /** Places of the whole list. */
  readonly all: number;
  /** Places by device; those that are given here are added. */
  readonly taken: Map<string, number>;
};

/** The first ones of `frames`, in their order, that find a place. */
export function fairPlaces<F>(frames: readonly F[], deviceOf: (frame: F) => string, places: Places): readonly F[] {
  const { left, all, taken } = places;
  if (left <= 0 || frames.length === 0) return [];
  const anyway = Math.max(1, Math.floor(DEVICE_SHARE * all));
  const level = waterLevel(frames, deviceOf, places);
  const listed = new Set<F>();
  // All have one less than the level before the first ones have the last one.
  for (const deviceMax of [Math.max(anyway, level - 1), Math.max(anyway, level)]) {
    for (const frame of frames) {
      if (listed.size >= left) break;
      const count = taken.get(deviceOf(frame)) ?? 0;
      if (count >= deviceMax || listed.has(frame)) continue;
      taken.set(deviceOf(frame), count + 1);
      listed.add(frame);
    }
  }
  return frames.filter((frame) => listed.has(frame));
}

/** The least number of places a device with which the list is full, or has every frame. */
function waterLevel<F>(frames: readonly F[], deviceOf: (frame: F) => string, { left, taken }: Places): number {
  const waiting = [...Map.groupBy(frames, deviceOf)].map(([deviceId, own]) => ({
    frames: own.length,
    taken: taken.get(deviceId) ?? 0,
  }));
  const served = (level: number) =>
    waiting.reduce((sum, device) => sum + Math.min(device.frames, Math.max(0, level - device.taken)), 0);
  const wanted = Math.min(left, frames.length);
  let [low, high] = [0, Math.max(...waiting.map((device) => device.frames + device.taken))];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (served(middle) >= wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}
