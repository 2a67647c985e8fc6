/** Evidence of harm for a comparison whose end is known: a group-sequential test. It looks at moments fixed beforehand, and at each
 * compares the estimate with a bound that spends a part of its level (Lan & DeMets 1983; Jennison & Turnbull 2000, chapter 7). By its end it has
 * spent all, where a test without an end keeps most of it, and it sees no harm that starts later.
 *
 * Once crossed it is worth one over its level, before that nothing: of models that are alike its worth is 1 on average at most, so it is an e-value,
 * and merges with others by a weighted mean (Vovk & Wang 2021).
 *
 * The standardised estimates at the looks are those of a Brownian motion at its information, 1/variance. What has not crossed a bound
 * by the look before is carried on as a density on a grid, and the next bound is where as much is above it as is to be spent. An estimate with few
 * degrees of freedom is taken to the normal scale by its p-value. */
import { normalCdf, normalQuantile } from "@tributary/statistics";
import { type Comparison, pOfOneLook } from "./evidence.ts";

/** What of the level is spent by a share of the time, 0 to 1; all of it at 1. */
export type Spending = (share: number) => number;

/** As much for each doubling of the time, from the first look on: harm of any size is seen about when it can be. */
export const logarithmic =
  (level: number, firstShare: number): Spending =>
  (share) =>
    level * Math.min(1, Math.max(0, 1 - Math.log(share) / Math.log(firstShare / LOOKS_APART)));

export type GroupSequentialSettings = {
  /** ms since the start, growing. */
  readonly plannedMs: readonly number[];
  readonly spending: Spending;
};

/** What a restarted instance needs. */
export type GroupSequentialState = {
  readonly due: number;
  readonly spent: number;
  readonly density: Density | null;
  readonly crossedMs: number | null;
};

/** What did not cross a bound so far: where it is, in standardised estimates times the root of the information, and how much of it. */
type Density = { readonly information: number; readonly at: Float64Array; readonly mass: Float64Array };

/** Each look comes so many times as late as the one before. */
const LOOKS_APART = 1.12;
const FIRST_MS_MIN = 60_000;
const CELLS = 80;
const REACH = 7;

export class GroupSequential {
  readonly #settings: GroupSequentialSettings;
  #due = 0;
  #spent = 0;
  #density: Density | null = null;
  #crossedMs: number | null = null;

  constructor(settings: GroupSequentialSettings) {
    this.#settings = settings;
  }

  /** At which planned look the estimate was beyond the bound, ms since the start; null: at none so far. What showed once stays shown. */
  get crossedMs(): number | null {
    return this.#crossedMs;
  }

  state(): GroupSequentialState {
    return { due: this.#due, spent: this.#spent, density: this.#density, crossedMs: this.#crossedMs };
  }

  restore({ due, spent, density, crossedMs }: GroupSequentialState): void {
    [this.#due, this.#spent, this.#density, this.#crossedMs] = [due, spent, density, crossedMs];
  }

  /** Makes the look that is due, if one is; of several that were missed, one in their place. `comparison`: of the harm beyond what is
   * tolerated; null: there is too little, and nothing is spent. */
  look(sinceMs: number, comparison: Comparison | null): void {
    const { plannedMs, spending } = this.#settings;
    const due = plannedMs.filter((planned) => planned <= sinceMs).length;
    if (due === this.#due || this.#crossedMs !== null || comparison === null) return;
    this.#due = due;
    const information = 1 / comparison.variance;
    // More is known than at the look before, or this one would only spend.
    if (this.#density !== null && information <= 1.01 * this.#density.information) return;
    const share = (plannedMs[due - 1] as number) / (plannedMs.at(-1) as number);
    const spend = spending(share) - this.#spent;
    if (!(spend > 1e-9)) return;
    const { bound, density } = carried(this.#density, information, spend);
    this.#density = density;
    this.#spent += spend;
    if (-normalQuantile(pOfOneLook(comparison)) >= bound) this.#crossedMs = plannedMs[due - 1] as number;
  }
}

/** The bound above which there is as much as is to be spent, on the normal scale, and what does not cross it. */
function carried(
  before: Density | null,
  information: number,
  spend: number,
): { readonly bound: number; readonly density: Density } {
  const scale = Math.sqrt(information);
  const from = before ?? { information: 0, at: Float64Array.of(0), mass: Float64Array.of(1) };
  const step = Math.sqrt(information - from.information);
  const bound = boundOf(from, scale, step, spend);
  const width = (scale * (bound + REACH)) / CELLS;
  const at = Float64Array.from({ length: CELLS }, (_, i) => -REACH * scale + (i + 0.5) * width);
  const mass = at.map((to) => width * densityAt(from, to, step));
  return { bound, density: { information, at, mass } };
}

/** By Newton's method within a bracket; of a single look the bound would not be lower. */
function boundOf(from: Density, scale: number, step: number, spend: number): number {
  let [low, high] = [-REACH, Math.min(REACH, normalQuantile(1 - spend))];
  let bound = high;
  while (high - low > 1e-6) {
    let above = 0;
    for (let cell = 0; cell < from.at.length; cell++) {
      const z = (bound * scale - (from.at[cell] as number)) / step;
      if (z < REACH) above += (from.mass[cell] as number) * (1 - normalCdf(z));
    }
    if (above > spend) low = bound;
    else high = bound;
    const next = bound + (above - spend) / (scale * densityAt(from, bound * scale, step));
    if (Math.abs(next - bound) < 1e-6) break;
    bound = next > low && next < high ? next : (low + high) / 2;
  }
  return bound;
}

function densityAt({ at, mass }: Density, to: number, step: number): number {
  let sum = 0;
  for (let cell = 0; cell < at.length; cell++) {
    const z = (to - (at[cell] as number)) / step;
    if (z < REACH && z > -REACH) sum += (mass[cell] as number) * Math.exp((-z * z) / 2);
  }
  return sum / (step * Math.sqrt(2 * Math.PI));
}

/** A test of harm until the end of an analysis. Null: it ends before it could look. */
export function groupSequentialUntil(level: number, burnInMs: number, endMs: number): GroupSequential | null {
  const firstMs = Math.max(burnInMs, Math.min(FIRST_MS_MIN, endMs / 8));
  if (!(firstMs < endMs)) return null;
  return new GroupSequential({ plannedMs: looksUntil(firstMs, endMs), spending: logarithmic(level, firstMs / endMs) });
}

/** Planned looks, ms: the first, the last, and those between. */
export function looksUntil(firstMs: number, lastMs: number): readonly number[] {
  const count = Math.max(1, Math.ceil(Math.log(lastMs / firstMs) / Math.log(LOOKS_APART)));
  const looks = Array.from({ length: count }, (_, i) => firstMs * (lastMs / firstMs) ** (i / count));
  return [...looks, lastMs]; // Computed, it could be a little later than the analysis ends, and never be due.
}
