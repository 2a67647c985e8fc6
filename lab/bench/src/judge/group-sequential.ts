/** Another method: a group-sequential test of harm, for a comparison whose end is known. It has a few looks at moments fixed beforehand; at each the
 * estimate is compared with a bound that spends a part of alpha (Lan & DeMets 1983; Jennison & Turnbull 2000, chapter 7). It knows when it ends, so it
 * spends all of alpha by then, where a test that has no end keeps most of it; and harm that starts after its end it does not see.
 *
 * The standardised estimates at the looks are those of a Brownian motion at its information, 1/variance. What has not crossed a bound
 * by the look before is carried on as a density on a grid, and the next bound is where as much is above it as is to be spent. An estimate with few
 * degrees of freedom is taken to the normal scale by its p-value. */
import { type MetricLook, pOfOneLook } from "@tributary/rollouts/judge";
import { normalCdf, normalQuantile } from "@tributary/statistics";

type Comparison = MetricLook["comparison"];

/** What of alpha is spent by a share of the time, 0 to 1. */
export type Spending = (share: number) => number;

/** Nearly nothing early, so that the last look has nearly all of alpha (after O'Brien & Fleming 1979). */
export const obrienFleming =
  (alpha: number): Spending =>
  (share) =>
    Math.min(alpha, 2 * (1 - normalCdf(normalQuantile(1 - alpha / 2) / Math.sqrt(share))));

/** As much for each doubling of the time, from the first look on: harm of any size is seen when it can be. */
export const logarithmic =
  (alpha: number, firstShare: number): Spending =>
  (share) =>
    alpha * Math.min(1, Math.max(0, 1 - Math.log(share) / Math.log(firstShare / 1.2)));

export type GroupSequentialSettings = {
  /** ms since the start, growing. */
  readonly plannedMs: readonly number[];
  readonly spending: Spending;
};

const CELLS = 240;
const REACH = 7;

type Density = { readonly information: number; readonly at: Float64Array; readonly mass: Float64Array };

export class GroupSequential {
  readonly #settings: GroupSequentialSettings;
  #due = 0;
  #spent = 0;
  #density: Density | null = null;
  /** By a look, and so it stays. */
  isHarmful = false;

  constructor(settings: GroupSequentialSettings) {
    this.#settings = settings;
  }

  /** Makes the look that is due, if one is; of several that were missed, one in their place. `comparison`: of the harm beyond what is
   * tolerated; null: there is too little, and nothing is spent. */
  look(sinceMs: number, comparison: Comparison | null): void {
    const { plannedMs, spending } = this.#settings;
    const due = plannedMs.filter((planned) => planned <= sinceMs).length;
    if (due === this.#due || this.isHarmful || comparison === null) return;
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
    this.isHarmful = normalQuantile(1 - pOfOneLook(comparison)) >= bound;
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
  const above = (bound: number) => {
    let sum = 0;
    for (let i = 0; i < from.at.length; i++)
      sum += (from.mass[i] as number) * (1 - normalCdf((bound * scale - (from.at[i] as number)) / step));
    return sum;
  };
  let [low, high] = [-REACH, REACH + 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (above(middle) > spend) low = middle;
    else high = middle;
  }
  const bound = high;
  const width = (scale * (bound + REACH)) / CELLS;
  const at = Float64Array.from({ length: CELLS }, (_, i) => -REACH * scale + (i + 0.5) * width);
  const mass = at.map((to) => {
    let sum = 0;
    for (let i = 0; i < from.at.length; i++) {
      const z = (to - (from.at[i] as number)) / step;
      sum += ((from.mass[i] as number) * Math.exp((-z * z) / 2)) / step / Math.sqrt(2 * Math.PI);
    }
    return sum * width;
  });
  return { bound, density: { information, at, mass } };
}

/** Looks from the first to the last minute, each about an eighth later than the one before. */
export function looksUntil(firstMinute: number, lastMinute: number): readonly number[] {
  const looks: number[] = [];
  for (let minute = firstMinute; minute < lastMinute; minute = Math.max(minute + 1, Math.round(1.12 * minute)))
    looks.push(minute * 60_000);
  return [...looks, lastMinute * 60_000];
}
