/** Names a fault of preprocessing by the logits that a device computes for the golden frames: those of each fault were recorded
 * when the package was made, so the nearest recording names the fault. */
import type { FaultCodebook } from "@tributary/inference";
import { Failure, invariant } from "@tributary/kernel";

export type NamedFault = {
  readonly name: string;
  readonly distance: number;
  /** Empty if there is no other fault. */
  readonly runnerUp: string;
  readonly runnerUpDistance: number;
};

/** Answers of a device that has the fault are as near as pixels of another decoder make them: up to so many times the noise that was
 * recorded with it. Models differ by far in what such pixels change, and where they change little, other faults come near. */
const NOISE_MAX = 1.25;
/** Other runtimes round otherwise; in units of the spread of the golden logits, as all distances are. */
const ROUNDING = 0.01;
/** Packages without noise: pixels that differ by up to 2 of 255 make about .1 (bench drift); of a large deviation so much may remain. */
const WITHOUT_NOISE = { distance: 0.2, remainder: 0.25 } as const;
/** What a fault leaves at most of the distance from the right answers: a fault that changes little is as near as noise lets it be. */
const REMAINDER_OF_NOISE = 0.9;

/** Nearest pipeline fault of the logits (frames x classes) that a device reports for the first golden frames; null when the right
 * answers are nearer than every fault, or no fault is near. Throws `golden-logits-invalid` for another number of logits or NaN. */
export function nearestPipelineFault(
  codebook: FaultCodebook,
  golden: readonly (readonly number[])[],
  reported: ArrayLike<number>,
): NamedFault | null {
  const right = golden.slice(0, codebook.frames);
  const spread = Math.max(1e-12, spreadOf(right));
  checkLogits(right, reported);
  const rightDistance = distanceTo(right, reported) / spread;
  const distances = codebook.pipeline.map(({ name, logits }) => ({
    name,
    distance: distanceTo(logits, reported) / spread,
  }));
  const named = nearestOf(distances);
  if (named === null || named.distance > REMAINDER_OF_NOISE * rightDistance) return null;
  const noise = codebook.pipeline.find(({ name }) => name === named.name)?.noise;
  const { distance, remainder } = WITHOUT_NOISE;
  const limit =
    noise === undefined ? Math.max(distance, remainder * rightDistance) : ROUNDING + (NOISE_MAX * noise) / spread;
  return named.distance <= limit ? named : null;
}

/** The nearest, and the one after it. */
export function nearestOf(
  distances: readonly { readonly name: string; readonly distance: number }[],
): NamedFault | null {
  const [first, second] = [...distances].sort((a, b) => a.distance - b.distance);
  if (first === undefined) return null;
  return { ...first, runnerUp: second?.name ?? "", runnerUpDistance: second?.distance ?? Number.POSITIVE_INFINITY };
}

function checkLogits(right: readonly (readonly number[])[], reported: ArrayLike<number>): void {
  const classes = right[0]?.length ?? 0;
  if (reported.length !== right.length * classes) {
    const expected = `${right.length} golden frames of ${classes} classes`;
    throw new Failure("golden-logits-invalid", "give-up", `${reported.length} logits are reported for ${expected}`);
  }
  for (let i = 0; i < reported.length; i++) {
    if (Number.isFinite(reported[i])) continue;
    const place = `class ${i % classes} of golden frame ${Math.floor(i / classes)}`;
    throw new Failure("golden-logits-invalid", "give-up", `the logit of ${place} is ${reported[i]}`);
  }
}

/** Standard deviation of logits within a frame, over all frames: models differ in the scale of their logits. */
function spreadOf(logits: readonly (readonly number[])[]): number {
  let [squares, count] = [0, 0];
  for (const row of logits) {
    const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
    for (const value of row) squares += (value - mean) ** 2;
    count += row.length;
  }
  return Math.sqrt(squares / count);
}

function distanceTo(logits: readonly (readonly number[])[], reported: ArrayLike<number>): number {
  let [squares, i] = [0, 0];
  for (const row of logits) for (const value of row) squares += (value - (reported[i++] as number)) ** 2;
  invariant(i === reported.length, "a fault has as many logits as the golden frames");
  return Math.sqrt(squares / i);
}
