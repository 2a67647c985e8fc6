/** Names what happened to a camera by the direction in which its features moved, compared with how faults made on purpose move
 * those of the validation set. */
import type { FaultCodebook } from "@tributary/inference";
import { type NamedFault, nearestOf } from "./codebook.ts";

/** Faults that no weather and no time of day makes. */
export const sensorOnlyFaults: ReadonlySet<string> = new Set([
  "channels-swapped",
  "greyscale",
  "hard-compression",
  "low-resolution",
  "upside-down",
  "sensor-noise",
]);

/** Square root of the part of the shift that the fault leaves unexplained; .6 is an angle with a cosine of .8. */
const DISTANCE_MAX = 0.6;
/** Severity relative to the fault that was made on purpose. */
const SEVERITY = { min: 0.2, max: 3 } as const;

/**
 * Nearest camera fault of a shift (now - before, by feature); null when near none. A fault may be of any severity: the shift is
 * compared with the multiple of the fault's that fits it best. `frames` are those behind the shift, whose noise (at least 1/12/frames
 * per feature, that of a value uniform over the bins) is no distance. The mix of predicted classes (label:CLASS) depends
 * on what a camera sees and is not compared.
 */
export function nearestCameraFault(
  faults: FaultCodebook["camera"],
  shift: Readonly<Record<string, number>>,
  frames: number,
): NamedFault | null {
  const named = nearestOf(faults.map(({ name, shifts }) => ({ name, distance: distanceTo(shifts, shift, frames) })));
  return named === null || named.distance > DISTANCE_MAX ? null : named;
}

function distanceTo(
  fault: Readonly<Record<string, number>>,
  shift: Readonly<Record<string, number>>,
  frames: number,
): number {
  const features = Object.keys(fault).filter((feature) => feature in shift && !feature.startsWith("label:"));
  const pairs = features.map((feature) => [fault[feature] as number, shift[feature] as number] as const);
  const own = pairs.reduce((sum, [f]) => sum + f * f, 0);
  const both = pairs.reduce((sum, [f, s]) => sum + f * s, 0);
  const total = pairs.reduce((sum, [, s]) => sum + s * s, 0);
  if (own === 0 || total === 0 || both <= 0) return 1;
  const severity = Math.max(SEVERITY.min, Math.min(SEVERITY.max, both / own));
  const rest = pairs.reduce((sum, [f, s]) => sum + (s - severity * f) ** 2, 0);
  const noise = (pairs.length - 1) / 12 / frames;
  return Math.sqrt(Math.max(0, rest - noise) / total);
}
