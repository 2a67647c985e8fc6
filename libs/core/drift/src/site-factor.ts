/**
 * What the cameras of a site have in common: weather and daylight change them all, so a camera that changed as the others at its
 * site did has no fault of its own, whether or not theirs are alarmed yet. */
import { LABEL_PREFIX } from "./drift-reference.ts";
import type { DriftingCamera, ModelLook, SeenCamera } from "./fleet-view.ts";

/** Of the angle between a camera's change and that of the others at its site, and of the part of it that theirs is. An open verdict of
 * the site keeps its cameras for less, and one of the camera gives it up for more. */
const ALIKE = {
  none: { cosine: 0.7, size: 0.4 },
  site: { cosine: 0.5, size: 0.25 },
  camera: { cosine: 0.85, size: 0.6 },
} as const;

/** Other cameras at its site that are compared with their past. */
export function matesOf({ deviceId, camera, attributes }: DriftingCamera, look: ModelLook): readonly SeenCamera[] {
  const ofSite = look.bySite.get(attributes.site ?? "") ?? [];
  return ofSite.filter((mate) => mate.deviceId !== deviceId || mate.cameraId !== camera.cameraId);
}

/** Whether the others at its site changed in the same way: their median, so that one of them decides nothing. */
export function changedWithSite(camera: DriftingCamera, look: ModelLook, open: keyof typeof ALIKE): boolean {
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
  const { cosine, size } = ALIKE[open];
  return both >= cosine * Math.sqrt(own * common) && common >= size ** 2 * own && both > 0;
}

/** NaN of none. */
export function medianOf(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}
