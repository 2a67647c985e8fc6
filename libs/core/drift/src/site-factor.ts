/**
 * What the cameras of a site have in common: weather and daylight change them all, so a camera that changed as the others at its
 * site did has no fault of its own, whether or not theirs are alarmed yet. */
import { LABEL_PREFIX } from "./drift-reference.ts";
import type { DriftingCamera, ModelLook, SeenCamera } from "./fleet-view.ts";

/** Of the angle between a camera's change and that of the others at its site, and of the part of it that theirs is. */
const COSINE_MIN = 0.7;
const SIZE_MIN = 0.4;

/** Other cameras at its site that are compared with their past. */
export function matesOf({ deviceId, camera, attributes }: DriftingCamera, look: ModelLook): readonly SeenCamera[] {
  const ofSite = look.bySite.get(attributes.site ?? "") ?? [];
  return ofSite.filter((mate) => mate.deviceId !== deviceId || mate.cameraId !== camera.cameraId);
}

/** Whether the others at its site changed in the same way: their median, so that one of them decides nothing. */
export function changedWithSite(camera: DriftingCamera, look: ModelLook): boolean {
  const mates = matesOf(camera, look);
  if (mates.length === 0) return false;
  const streams = look.reference?.streams ?? [];
  let [own, common, both] = [0, 0, 0];
  for (const [stream, { name }] of streams.entries()) {
    if (name.startsWith(LABEL_PREFIX)) continue;
    const shift = camera.drift.shifts[stream] as number;
    const median = medianOf(mates.map(({ recent }) => recent[stream] as number));
    own += shift * shift;
    common += median * median;
    both += shift * median;
  }
  return both >= COSINE_MIN * Math.sqrt(own * common) && common >= SIZE_MIN ** 2 * own && both > 0;
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}
