/**
 * A world model: how often each class is seen in a context, as a table. A context is where and when a frame was taken (place, hour, weather,
 * speed), as the device's surroundings know it.
 *
 * Counts are of a tree: the first factor, then the first two, and so on. What a context says is the Dirichlet posterior mean of its
 * counts with its parent's as prior, worth `strength` frames (hierarchical shrinkage; MacKay & Peto 1995): a cell of a few frames says
 * nearly what its surroundings say, and one that was never seen says just that.
 *
 * T1. A context with a value that cannot be is refused with its name; a missing factor ends the path there. Keys that the table does not use
 *     are ignored: one source of contexts serves several tables.
 */
import { Failure } from "@tributary/kernel";

export type Factor =
  /** A word; `values`: the only ones that there are. */
  | { readonly name: string; readonly kind: "text"; readonly values?: readonly string[] }
  /** A number from `min` to `max`, of which only its interval counts: below the first edge is 0. */
  | {
      readonly name: string;
      readonly kind: "number";
      readonly min: number;
      readonly max: number;
      readonly edges: readonly number[];
    };

export type WorldTable = {
  readonly formatVersion: 1;
  readonly labels: readonly string[];
  /** In the order of the path. */
  readonly factors: readonly Factor[];
  /** Shares of the classes among the frames that the perception model was trained on. */
  readonly prior: readonly number[];
  readonly strength: number;
  /** Frames by class, in the order of `labels`; by path, whose values are joined by `/`. "" is of all. */
  readonly cells: Readonly<Record<string, readonly number[]>>;
};

export type Context = Readonly<Record<string, unknown>>;

export const worldLimits = { factorsMax: 8, cellsMax: 200_000, labelsMax: 1_000 } as const;

const CODE = "world-invalid";
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;
const VALUE = /^[A-Za-z0-9_.:-]{1,64}$/;

/** Throws Failure that names what is wrong. */
export function parseWorldTable(json: unknown): WorldTable {
  const table = objectOf(json, "world.json");
  only(table, ["formatVersion", "labels", "factors", "prior", "strength", "cells"], "world.json");
  if (table.formatVersion !== 1) throw wrong("formatVersion", "1", table.formatVersion);
  const { labels, factors, prior, strength } = table;
  const areLabels = Array.isArray(labels) && labels.length >= 2 && labels.length <= worldLimits.labelsMax;
  if (!areLabels || !labels.every((label) => typeof label === "string") || new Set(labels).size !== labels.length) {
    throw wrong("labels", `2 to ${worldLimits.labelsMax} different texts`, labels);
  }
  if (!Array.isArray(factors) || factors.length < 1 || factors.length > worldLimits.factorsMax) {
    throw wrong("factors", `1 to ${worldLimits.factorsMax} factors`, factors);
  }
  const parsed = factors.map((factor, i) => parseFactor(factor, `factors[${i}]`));
  if (new Set(parsed.map(({ name }) => name)).size !== parsed.length)
    throw wrong("factors", "different names", factors);
  if (!isShares(prior, labels.length)) throw wrong("prior", `${labels.length} shares above 0 that add up to 1`, prior);
  if (typeof strength !== "number" || !(strength > 0 && strength <= 1e6)) throw wrong("strength", "0 to 1e6", strength);
  return {
    formatVersion: 1,
    labels: labels as readonly string[],
    factors: parsed,
    prior,
    strength,
    cells: parseCells(table.cells, labels.length),
  };
}

function parseFactor(json: unknown, at: string): Factor {
  const factor = objectOf(json, at);
  const { name, kind, values, min, max, edges } = factor;
  if (typeof name !== "string" || !NAME.test(name) || name === "at") throw wrong(`${at}.name`, "a name, not at", name);
  if (kind === "text") {
    only(factor, ["name", "kind", "values"], at);
    if (values === undefined) return { name, kind };
    const areGood = Array.isArray(values) && values.length > 0 && values.every(isValue);
    if (!areGood) throw wrong(`${at}.values`, "texts of letters, digits and _.:-", values);
    return { name, kind, values };
  }
  if (kind !== "number") throw wrong(`${at}.kind`, "text or number", kind);
  only(factor, ["name", "kind", "min", "max", "edges"], at);
  if (!isNumber(min) || !isNumber(max) || !(min < max)) throw wrong(`${at}.min`, "min below max", [min, max]);
  const isAscending =
    Array.isArray(edges) && edges.every((edge, i) => isNumber(edge) && edge > (edges[i - 1] ?? min) && edge < max);
  if (!isAscending) throw wrong(`${at}.edges`, "ascending numbers between min and max", edges);
  return { name, kind, min, max, edges: edges as readonly number[] };
}

function parseCells(json: unknown, classes: number): WorldTable["cells"] {
  const cells = objectOf(json, "cells");
  const entries = Object.entries(cells);
  if (entries.length > worldLimits.cellsMax) throw wrong("cells", `at most ${worldLimits.cellsMax}`, entries.length);
  for (const [path, counts] of entries) {
    const isGood = Array.isArray(counts) && counts.length === classes && counts.every((n) => isNumber(n) && n >= 0);
    if (!isGood) throw wrong(`cells["${path}"]`, `${classes} numbers from 0`, counts);
  }
  // What every object inherits is no cell.
  return Object.assign(Object.create(null), cells);
}

/** The path of a context, longest part last: "", "u33d", "u33d/2". Throws Failure (T1). */
export function pathsOf({ factors }: Pick<WorldTable, "factors">, context: Context): readonly string[] {
  const paths = [""];
  for (const factor of factors) {
    const value = context[factor.name];
    if (value === undefined || value === null) break;
    const step = stepOf(factor, value);
    paths.push(paths.length === 1 ? step : `${paths.at(-1)}/${step}`);
  }
  return paths;
}

function stepOf(factor: Factor, value: unknown): string {
  const refused = (expected: string) =>
    new Failure("context-invalid", "give-up", `${factor.name}: expected ${expected}, got ${shown(value)}`);
  if (factor.kind === "text") {
    if (!isValue(value)) throw refused("letters, digits and _.:-, at most 64");
    if (factor.values !== undefined && !factor.values.includes(value)) throw refused(factor.values.join(", "));
    return value;
  }
  const { min, max, edges } = factor;
  if (!isNumber(value) || value < min || value > max) throw refused(`a number from ${min} to ${max}`);
  return String(edges.filter((edge) => value >= edge).length);
}

/** p(class | context), in the order of the labels. Throws Failure (T1). */
export function classesIn(table: WorldTable, context: Context): Float64Array {
  let shares = Float64Array.from(table.prior);
  for (const path of pathsOf(table, context)) {
    const counts = table.cells[path];
    if (counts === undefined) break;
    const total = counts.reduce((sum, n) => sum + n, 0);
    shares = shares.map((share, i) => ((counts[i] ?? 0) + table.strength * share) / (total + table.strength));
  }
  return shares;
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isValue = (value: unknown): value is string => typeof value === "string" && VALUE.test(value);

function isShares(value: unknown, count: number): value is readonly number[] {
  if (!Array.isArray(value) || value.length !== count || !value.every((share) => isNumber(share) && share > 0))
    return false;
  return Math.abs(value.reduce((sum, share) => sum + share, 0) - 1) < 1e-6;
}

function objectOf(json: unknown, at: string): Record<string, unknown> {
  if (json !== null && typeof json === "object" && !Array.isArray(json)) return json as Record<string, unknown>;
  throw wrong(at, "an object", json);
}

function only(object: Record<string, unknown>, keys: readonly string[], at: string): void {
  const unknown = Object.keys(object).filter((key) => !keys.includes(key));
  if (unknown.length > 0) throw new Failure(CODE, "give-up", `${at}: unknown ${unknown.join(", ")}`);
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 80);

const wrong = (at: string, expected: string, value: unknown) =>
  new Failure(CODE, "give-up", `${at}: expected ${expected}, got ${shown(value)}`);
