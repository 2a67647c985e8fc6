/**
 * A table from frames whose class is known.
 *
 * R1. What a device claims of its frames is not proven: a frame weighs `WEIGHT_MAX` at most, and in each cell a device's frames weigh
 *     together at most 5 %, of fewer than 30 devices one and a half of their equal part. So no device decides for the others.
 * R2. Of the cells that one device alone names, its 10,000 heaviest are kept: so no device makes the table too large for the others.
 */
import { Failure } from "@tributary/kernel";
import { type Context, pathsOf, type WorldTable, worldLimits } from "./table.ts";

export type WorldFrame = {
  /** Null: it cannot be read. */
  readonly context: Context | null;
  readonly label: string;
  /** E.g. 1 / propensity; 1 by default. */
  readonly weight?: number;
  /** All frames without one count as one device's. */
  readonly deviceId?: string;
};

export type WorldTraining = {
  readonly table: WorldTable;
  readonly frames: number;
  /** Frames that were left out, by why. */
  readonly leftOut: Readonly<Record<string, number>>;
  /** Cells that were left out by R2. */
  readonly cellsLeftOut: number;
};

export type WorldRecipe = Pick<WorldTable, "labels" | "factors" | "prior" | "strength">;

/** Cells with less weight are left out: their parent says nearly the same. */
const WEIGHT_MIN = 3;
const WEIGHT_MAX = 1_000;
const DEVICE_SHARE_MAX = 0.05;
const EQUAL_PARTS_MAX = 1.5;
const OWN_CELLS_MAX = worldLimits.cellsMax / 20;

type Cell = {
  readonly path: string;
  readonly counts: readonly number[];
  readonly weight: number;
  /** Null: of several devices. */
  readonly owner: string | null;
};

/** Throws Failure where nothing can be learned, or the table would be too large. */
export function trainWorld(recipe: WorldRecipe, frames: Iterable<WorldFrame>): WorldTraining {
  const { labels } = recipe;
  const leftOut: Record<string, number> = {};
  const leave = (why: string) => {
    leftOut[why] = (leftOut[why] ?? 0) + 1;
  };
  const claims = new Map<string, Map<string, number[]>>();
  let used = 0;
  for (const { context, label, weight = 1, deviceId = "" } of frames) {
    const index = labels.indexOf(label);
    if (index < 0) {
      leave("class-unknown");
      continue;
    }
    if (context === null) {
      leave("context-malformed");
      continue;
    }
    let paths: readonly string[];
    try {
      paths = pathsOf(recipe, context);
    } catch (error) {
      leave(error instanceof Failure ? error.code : "context-invalid");
      continue;
    }
    used += 1;
    for (const path of paths) {
      const devices = claims.get(path) ?? new Map<string, number[]>();
      const counts = devices.get(deviceId) ?? labels.map(() => 0);
      counts[index] = (counts[index] ?? 0) + Math.min(weight, WEIGHT_MAX);
      claims.set(path, devices.set(deviceId, counts));
    }
  }
  if (used === 0)
    throw new Failure("world-no-frames", "ask-a-person", "no frame has a known class and a usable context");
  const cells = [...claims].map(([path, devices]): Cell => {
    const counts = bounded([...devices.values()]);
    const [owner = null, ...others] = devices.keys();
    return { path, counts, weight: sumOf(counts), owner: others.length === 0 ? owner : null };
  });
  const weighty = cells.filter(({ path, weight }) => path === "" || weight >= WEIGHT_MIN);
  const kept = withoutExcess(weighty);
  if (kept.length > worldLimits.cellsMax) {
    const advice = "use coarser places or fewer factors";
    throw new Failure(
      "world-too-large",
      "ask-a-person",
      `${kept.length} cells; at most ${worldLimits.cellsMax}: ${advice}`,
    );
  }
  const sorted = kept.toSorted((a, b) => (a.path < b.path ? -1 : 1)).map(({ path, counts }) => [path, counts]);
  const table: WorldTable = {
    formatVersion: 1,
    ...recipe,
    cells: Object.assign(Object.create(null), Object.fromEntries(sorted)),
  };
  return { table, frames: used, leftOut, cellsLeftOut: weighty.length - kept.length };
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** R2. A parent weighs at least as much as its parts, and is kept before them. */
function withoutExcess(cells: readonly Cell[]): readonly Cell[] {
  const own = new Map<string, number>();
  const heaviestFirst = cells.toSorted((a, b) => b.weight - a.weight || a.path.length - b.path.length);
  return heaviestFirst.filter(({ owner }) => {
    if (owner === null) return true;
    const count = (own.get(owner) ?? 0) + 1;
    own.set(owner, count);
    return count <= OWN_CELLS_MAX;
  });
}

/** Counts of a cell, by class, of those of its devices (R1). */
function bounded(devices: readonly (readonly number[])[]): readonly number[] {
  const weights = devices.map(sumOf);
  const share = Math.max(DEVICE_SHARE_MAX, EQUAL_PARTS_MAX / devices.length);
  // The bound is a share of what is left once it is kept, so it falls until it does no more.
  let bound = Math.max(...weights);
  for (let before = Number.POSITIVE_INFINITY; share < 1 && bound < before * (1 - 1e-6); ) {
    before = bound;
    bound = Math.min(bound, share * sumOf(weights.map((weight) => Math.min(weight, bound))));
  }
  const factors = weights.map((weight) => (weight > bound ? bound / weight : 1));
  const [first = []] = devices;
  return first.map((_, label) => sumOf(devices.map((counts, i) => (counts[label] ?? 0) * (factors[i] ?? 1))));
}
