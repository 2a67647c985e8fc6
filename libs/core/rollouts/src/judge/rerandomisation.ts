/** A cross-check of a comparison that assumes no distribution, however few the devices: re-randomisation (Fisher 1935).
 *
 * Under the sharp null, "no device would do otherwise with the other model", chance drew the arms alone, so every draw
 * within the strata is as likely as the one that was made, and p is exact. The statistic is the comparison's own t, computed
 * again for every draw; being studentised it keeps the level for large arms also where effects differ between devices (Chung
 * and Romano 2013; Wu and Ding 2021). It looks at moments fixed beforehand, each of which adds an equal part of alpha to
 * what is spent (Lan and DeMets 1983). The draws are the same at every look, and at most the share spent of them is ever
 * called harmful, so the made one is with a chance of at most alpha. Ties count against harm. The seed, the arms and the
 * moments decide (G10). */
import { invariant, seededRandom } from "@tributary/kernel";
import {
  type Added,
  addDevice,
  addedBy,
  compareSums,
  noSums,
  originOf,
  type Sums,
  type Weighing,
  weighingOf,
} from "./comparison.ts";
import type { Counts } from "./harm-process.ts";

/** Number of each device's stratum, in the arm's order. */
export type Strata = { readonly control: ArrayLike<number>; readonly canary: ArrayLike<number> };

export type CrossCheckSettings = {
  /** Chance of calling an equal model harmful at some look. */
  readonly alpha: number;
  /** Moments of the looks, ms since the start, growing. */
  readonly plannedMs: readonly number[];
  readonly strata: Strata;
  readonly seed: number;
};

export type CrossCheckLook = {
  /** ms since the start. */
  readonly sinceMs: number;
  /** One-sided. */
  readonly p: number;
  /** What of alpha may be spent by now. */
  readonly spent: number;
  readonly isHarmful: boolean;
};

/** What a restarted instance needs beside the settings. */
export type CrossCheckState = {
  readonly called: Uint8Array;
  readonly looks: readonly CrossCheckLook[];
  readonly due: number;
};

const DRAWS = 999;
const DRAWS_MAX = 9_999;
const LOOKS_MAX = 8;
/** Devices that one look may pass over, all draws together: 4,000 of them with 999 draws. */
const PASSED_MAX = 4_000_000;
/** What differs by less is a tie: sums in another order. */
const TIE = 1e-9;

/** From the first moment to the last, each look at least twice as late as the one before. */
export function plannedLooks(firstMs: number, lastMs: number): readonly number[] {
  const ratio = lastMs / firstMs;
  const looks = ratio >= 2 ? Math.min(LOOKS_MAX, 1 + Math.floor(Math.log2(ratio))) : 1;
  const secondOf = (ms: number) => 1_000 * Math.round(ms / 1_000);
  return Array.from({ length: looks }, (_, i) => (i === 0 ? firstMs : secondOf(firstMs * ratio ** (i / (looks - 1)))));
}

/** 999 draws, or as many more as let one of them be called at each look. */
export const drawsFor = (alpha: number, looks: number): number =>
  Math.min(DRAWS_MAX, Math.max(DRAWS, Math.ceil(looks / alpha) - 1));

/** Why it cannot be made, or could not show anything; null: it can. Known before the first look. */
export function crossCheckProblem({ control, canary }: Strata, alpha: number, looks: number): string | null {
  const devices = control.length + canary.length;
  const devicesMax = Math.floor(PASSED_MAX / drawsFor(alpha, looks));
  if (devices > devicesMax) return `it is for at most ${devicesMax} devices, and these are ${devices}`;
  const possible = logDraws(canary, control);
  if (possible >= Math.log(looks / alpha)) return null;
  return `its strata can be drawn in ${Math.round(Math.exp(possible))} ways, and ${Math.ceil(looks / alpha)} are needed`;
}

export class CrossCheck {
  /** Beside the one that was made. */
  readonly draws: number;
  readonly plannedMs: readonly number[];
  readonly #settings: CrossCheckSettings;
  /** Draws that a look called harmful; 0 is the one that was made. */
  readonly #called: Uint8Array;
  readonly #looks: CrossCheckLook[] = [];
  #due = 0;

  constructor(settings: CrossCheckSettings) {
    this.#settings = settings;
    this.plannedMs = settings.plannedMs;
    this.draws = drawsFor(settings.alpha, settings.plannedMs.length);
    this.#called = new Uint8Array(this.draws + 1);
  }

  state(): CrossCheckState {
    return { called: this.#called, looks: this.#looks, due: this.#due };
  }

  restore({ called, looks, due }: CrossCheckState): void {
    this.#called.set(called);
    this.#looks.splice(0, this.#looks.length, ...looks);
    this.#due = due;
  }

  /** Those made so far: none after one that called the canary harmful. */
  get looks(): readonly CrossCheckLook[] {
    return this.#looks;
  }

  /** Makes the look that is due, if one is; of several that were missed, one in their place. */
  look(sinceMs: number, counts: Counts): void {
    const { alpha, strata, seed } = this.#settings;
    const due = this.plannedMs.filter((planned) => planned <= sinceMs).length;
    if (due === this.#due || this.#called[0] === 1) return;
    this.#due = due;
    const spent = (alpha * due) / this.plannedMs.length;
    const p = this.#call(drawnStatistics(counts, strata, this.draws, seed), spent);
    this.#looks.push({ sinceMs, p, spent, isHarmful: this.#called[0] === 1 });
  }

  /** P of the draw that was made, and calls harmful whatever may be. */
  #call(statistics: Float64Array, spent: number): number {
    const left = statistics.filter((_, draw) => this.#called[draw] === 0).sort();
    const before = statistics.length - left.length;
    const made = statistics[0] as number;
    const atLeast = left.reduce((count, one) => count + (one >= made - TIE ? 1 : 0), 0);
    const room = Math.floor(spent * statistics.length + TIE) - before;
    // The worst of those for which there is no room: who is called is worse than it, ties aside.
    const bar = left.at(-1 - room) ?? Number.NEGATIVE_INFINITY;
    for (let draw = 0; draw < statistics.length; draw++)
      if (this.#called[draw] === 0 && (statistics[draw] as number) - TIE > bar) this.#called[draw] = 1;
    return (before + atLeast) / statistics.length;
  }
}

/** Of the draw that was made, then of `draws` others. Where an arm has too few devices with frames it is -Infinity. */
export function drawnStatistics(counts: Counts, strata: Strata, draws: number, seed: number): Float64Array {
  const { control, canary } = counts;
  invariant(
    strata.canary.length === canary.frames.length && strata.control.length === control.frames.length,
    "a stratum for each device",
  );
  const weighing = weighingOf(control, canary);
  const pool = poolOf(counts, weighing);
  const groups = groupsOf(strata);
  const isCanary = new Uint8Array(pool.w.length).fill(1, 0, canary.frames.length);
  const random = seededRandom(seed);
  const statistics = new Float64Array(draws + 1).fill(Number.NEGATIVE_INFINITY);
  const everybody = sumsWhere(pool, new Uint8Array(isCanary.length).fill(1));
  for (let draw = 0; draw <= draws; draw++) {
    if (draw > 0) for (const group of groups) redraw(group, isCanary, random);
    const drawn = sumsWhere(pool, isCanary);
    const comparison = compareSums(without(everybody, drawn), drawn, weighing);
    if (comparison !== null) statistics[draw] = comparison.harm / Math.sqrt(comparison.variance);
  }
  return statistics;
}

/** What each device adds: canary, then control. Of one that is missing, `w` is 0. */
type Pool = Readonly<Record<keyof Added, Float64Array>>;

function poolOf({ control, canary }: Counts, weighing: Weighing): Pool {
  const origin = originOf(control) ?? { x: 0, y: 0 };
  const column = () => new Float64Array(canary.frames.length + control.frames.length);
  const pool = { w: column(), x: column(), y: column(), bad: column(), chance: column(), badChance: column() };
  let device = 0;
  for (const arm of [canary, control]) {
    for (let i = 0; i < arm.frames.length; i++, device++) {
      const added = addedBy(arm, i, origin, weighing);
      if (added !== null) for (const key of Object.keys(pool) as (keyof Added)[]) pool[key][device] = added[key];
    }
  }
  return pool;
}

/** In the pool's order, so that the same arms give the same sums to the last bit. */
function sumsWhere(pool: Pool, isIn: Uint8Array): Sums {
  const sums = noSums();
  for (let device = 0; device < isIn.length; device++) {
    const [w, x, y] = [pool.w[device] as number, pool.x[device] as number, pool.y[device] as number];
    if (isIn[device] === 0 || w === 0) continue;
    const [bad, chance] = [pool.bad[device] as number, pool.chance[device] as number];
    addDevice(sums, { w, x, y, bad, chance, badChance: pool.badChance[device] as number });
  }
  return sums;
}

function without(all: Sums, some: Sums): Sums {
  const left = { ...all };
  for (const key of Object.keys(left) as (keyof Sums)[]) left[key] -= some[key];
  return left;
}

/** Devices of a stratum, by their place in the pool of canary, then control. */
type Group = { readonly devices: Int32Array; readonly canaries: number };

/** Only those in which there is something to draw. */
function groupsOf({ canary, control }: Strata): readonly Group[] {
  const groups = new Map<number, { devices: number[]; canaries: number }>();
  for (let device = 0; device < canary.length + control.length; device++) {
    const isCanary = device < canary.length;
    const stratum = (isCanary ? canary[device] : control[device - canary.length]) as number;
    let group = groups.get(stratum);
    if (group === undefined) {
      group = { devices: [], canaries: 0 };
      groups.set(stratum, group);
    }
    group.devices.push(device);
    if (isCanary) group.canaries += 1;
  }
  return [...groups.values()]
    .filter(({ devices, canaries }) => canaries > 0 && canaries < devices.length)
    .map(({ devices, canaries }) => ({ devices: Int32Array.from(devices), canaries }));
}

/** As many canaries of the stratum as before, any of its devices alike (Fisher and Yates). */
function redraw({ devices, canaries }: Group, isCanary: Uint8Array, random: () => number): void {
  for (let i = 0; i < canaries; i++) {
    const drawn = i + Math.floor(random() * (devices.length - i));
    const device = devices[drawn] as number;
    devices[drawn] = devices[i] as number;
    devices[i] = device;
    isCanary[device] = 1;
  }
  for (let i = canaries; i < devices.length; i++) isCanary[devices[i] as number] = 0;
}

/** ln of how many draws there are. */
function logDraws(canary: ArrayLike<number>, control: ArrayLike<number>): number {
  let sum = 0;
  for (const { devices, canaries } of groupsOf({ canary, control }))
    for (let i = 0; i < canaries; i++) sum += Math.log((devices.length - i) / (i + 1));
  return sum;
}
