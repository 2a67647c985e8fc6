/** Cameras that changed in the same way: their shifts have one direction, whatever their size. */
import type { DriftingCamera } from "./fleet-view.ts";

/** Cosine of the largest angle between a camera's shift and its cluster's. */
const COSINE_MIN = 0.8;

export type Cluster = readonly DriftingCamera[];

/**
 * Clusters by leader: the strongest shift starts a cluster, each other joins the nearest one within the angle or starts its own; then
 * each joins the nearest of the clusters' means, so that one noisy leader does not decide. Strongest cluster first.
 */
export function clustersOf(cameras: readonly DriftingCamera[]): Cluster[] {
  const units = cameras
    .map((camera) => ({ camera, unit: unitOf(camera.drift.shifts), size: normOf(camera.drift.shifts) }))
    .filter(({ size }) => size > 0)
    .sort((a, b) => b.size - a.size); // stable: of equals the first by device and camera
  const leaders: ArrayLike<number>[] = [];
  for (const { unit } of units) if (nearest(leaders, unit) < 0) leaders.push(unit);
  const first = assign(units, leaders);
  const means = first.filter((cluster) => cluster.length > 0).map((cluster) => unitOf(meanOf(cluster)));
  const strays = units.filter(({ unit }) => nearest(means, unit) < 0).map(({ unit }) => unit);
  const clusters = assign(units, [...means, ...strays]);
  return clusters.filter((cluster) => cluster.length > 0).map((cluster) => cluster.map(({ camera }) => camera));
}

/** Mean of the cameras' shifts, by stream. */
export function meanShift(cameras: readonly Pick<DriftingCamera, "drift">[]): Float64Array {
  return meanOf(cameras.map(({ drift }) => ({ unit: drift.shifts })));
}

/** Mean of the cameras' baselines, by stream. */
export function meanBefore(cameras: readonly Pick<DriftingCamera, "drift">[]): Float64Array {
  return meanOf(cameras.map(({ drift }) => ({ unit: drift.before })));
}

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const sizes = normOf(a) * normOf(b);
  return sizes === 0 ? 0 : dot(a, b) / sizes;
}

type Unit = { readonly camera: DriftingCamera; readonly unit: ArrayLike<number> };

function assign<T extends Unit>(units: readonly T[], centres: readonly ArrayLike<number>[]): T[][] {
  const clusters = centres.map((): T[] => []);
  for (const one of units) clusters[nearest(centres, one.unit)]?.push(one);
  return clusters;
}

/** Index of the nearest within the angle; -1: none. */
function nearest(centres: readonly ArrayLike<number>[], unit: ArrayLike<number>): number {
  let [best, bestCosine] = [-1, COSINE_MIN];
  for (const [i, centre] of centres.entries()) {
    const near = dot(centre, unit);
    if (near < bestCosine || (best >= 0 && near === bestCosine)) continue;
    [best, bestCosine] = [i, near];
  }
  return best;
}

function meanOf(units: readonly { readonly unit: ArrayLike<number> }[]): Float64Array {
  const mean = new Float64Array(units[0]?.unit.length ?? 0);
  for (const { unit } of units)
    for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] as number) + (unit[i] as number);
  return mean.map((sum) => sum / units.length);
}

function unitOf(vector: ArrayLike<number>): Float64Array {
  const size = normOf(vector);
  return Float64Array.from(vector, (value) => value / size);
}

const normOf = (vector: ArrayLike<number>): number => Math.sqrt(dot(vector, vector));

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
