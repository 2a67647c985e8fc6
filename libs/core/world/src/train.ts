/** A table from frames whose class is known. */
import { Failure } from "@tributary/kernel";
import { type Context, pathsOf, type WorldTable, worldLimits } from "./table.ts";

export type WorldFrame = {
  readonly context: Context;
  readonly label: string /** E.g. 1 / propensity; 1 by default. */;
  readonly weight?: number;
};

export type WorldTraining = {
  readonly table: WorldTable;
  readonly frames: number;
  /** Frames that were left out, by why. */
  readonly leftOut: Readonly<Record<string, number>>;
};

export type WorldRecipe = Pick<WorldTable, "labels" | "factors" | "prior" | "strength">;

/** Cells with less weight are left out: their parent says nearly the same. */
const WEIGHT_MIN = 3;

/** Throws Failure where nothing can be learned, or the table would be too large. */
export function trainWorld(recipe: WorldRecipe, frames: Iterable<WorldFrame>): WorldTraining {
  const { labels } = recipe;
  const cells = new Map<string, number[]>();
  const leftOut: Record<string, number> = {};
  const leave = (why: string) => {
    leftOut[why] = (leftOut[why] ?? 0) + 1;
  };
  let used = 0;
  for (const { context, label, weight = 1 } of frames) {
    const index = labels.indexOf(label);
    if (index < 0) {
      leave("class-unknown");
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
      const counts = cells.get(path) ?? labels.map(() => 0);
      counts[index] = (counts[index] ?? 0) + weight;
      cells.set(path, counts);
    }
  }
  if (used === 0)
    throw new Failure("world-no-frames", "ask-a-person", "no frame has a known class and a usable context");
  const kept = [...cells].filter(
    ([path, counts]) => path === "" || counts.reduce((sum, n) => sum + n, 0) >= WEIGHT_MIN,
  );
  if (kept.length > worldLimits.cellsMax) {
    const advice = "use coarser places or fewer factors";
    throw new Failure(
      "world-too-large",
      "ask-a-person",
      `${kept.length} cells; at most ${worldLimits.cellsMax}: ${advice}`,
    );
  }
  const sorted = kept.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const table: WorldTable = {
    formatVersion: 1,
    ...recipe,
    cells: Object.assign(Object.create(null), Object.fromEntries(sorted)),
  };
  return { table, frames: used, leftOut };
}
