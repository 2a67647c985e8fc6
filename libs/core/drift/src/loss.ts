/**
 * Whether frames are lost: labelled random draws against what the validation set lets expect of frames of their classes.
 *
 * The null is "of no class the error rate is more than `tolerance` above that on the validation set", whose rates are only known by a
 * sample. For any rates r the wealth of bets on w (loss - r[class] - tolerance) is at most 1 in expectation, however classes are mixed,
 * drawn or labelled; the evidence is its minimum over the region of rates that the validation set does not refute.
 *
 * L1. (any mix, any moment) P(LOST ever) is at most alpha under the null while draws are only added: half for the region, half
 *     for the bets (Ville). Half of the wealth bets on all draws together, half on single classes.
 * L2. What was LOST stays so until the newest draws refute, at the same level, that more than that is lost.
 * L3. Draws of a class of which the validation set has fewer than FRAMES_MIN frames say nothing. */
import type { Instant } from "@tributary/kernel";
import { BET_SHARES, LossBet, logMeanExp, RateRegion, type RateSample, type WeighedDraw } from "@tributary/statistics";

/** `truth`: index of the true class. Lists are in the order of time. */
export type ClassedDraw = WeighedDraw & { readonly truth: number; readonly at: Instant };

export type LossVerdict = {
  /** LOST: see L1 and L2. */
  readonly state: "NO_DATA" | "UNPROVEN" | "LOST";
  /** Those that say something; all where none does. */
  readonly draws: number;
  /** Weighted; null without draws. */
  readonly errorRate: number | null;
  /** Error rate that the validation set has for a mix of classes like the draws'; null where it says nothing of them. */
  readonly expected: number | null;
  /** Index of the class whose loss is proven where that of all frames together is not; else null. */
  readonly lostClass: number | null;
  /** Whether the devices had as many errors before: then nothing was lost since. */
  readonly isAsBefore: boolean;
};

/** Of validation frames, per class (L3). */
export const FRAMES_MIN = 20;
/** A single class of which a loss was proven is still suspect at this evidence. */
const SUSPECT_LOG = Math.log(10);
/** Newest draws that may refute a loss (L2); each next number is twice as large. */
const NEWEST_MIN = 64;

type OfClass = { readonly truth: number; readonly rate: number; readonly q: number; readonly u: number };
type Rows = readonly (readonly ClassedDraw[])[];

export class LossTest {
  readonly #tolerance: number;
  readonly #alpha: number;
  readonly #classes: readonly OfClass[];
  /** By true class, its place in `#classes`. */
  readonly #places: ReadonlyMap<number, number>;
  readonly #region: RateRegion | null;

  /** `validation`: frames of each class and those that are lost; null if the package does not record them. */
  constructor(validation: readonly RateSample[] | null, tolerance: number, alpha: number) {
    const usable = [...(validation ?? []).entries()].filter(([, { items }]) => items >= FRAMES_MIN);
    const samples = usable.map(([, sample]) => sample);
    const region = samples.length === 0 ? null : new RateRegion(samples, alpha / 2);
    this.#tolerance = tolerance;
    this.#alpha = alpha;
    this.#region = region;
    this.#places = new Map(usable.map(([truth], c) => [truth, c]));
    this.#classes = usable.map(([truth, { items, events }], c) => {
      return { truth, rate: events / items, q: region?.lower[c] as number, u: region?.upper[c] as number };
    });
  }

  /** What is allowed of a draw of this class, as far as the validation set knows it; 1 where it does not. */
  allowed(truth: number): number {
    const c = this.#places.get(truth);
    return c === undefined ? 1 : (this.#classes[c] as OfClass).rate + this.#tolerance;
  }

  /** Whether these draws may prove a loss: a sum, where the proof is a product. What says no needs no proof. */
  mayBeLost(draws: Iterable<ClassedDraw>): boolean {
    const sums = this.#classes.map(() => 0);
    for (const { truth, weight, loss } of draws) {
      const c = this.#places.get(truth);
      if (c === undefined) continue;
      const { rate } = this.#classes[c] as OfClass;
      sums[c] = (sums[c] as number) + weight * ((loss ? 1 : 0) - rate - this.#tolerance);
    }
    // log(1 + x) is at most x, no bet is larger than 1 / (u + tolerance), and the rates that were seen are in the region.
    const bar = Math.log(2 / this.#alpha);
    const widest = this.#widest();
    const all = sums.reduce((sum, of) => sum + of, 0);
    return all >= bar * widest || sums.some((of, c) => of >= bar * ((this.#classes[c] as OfClass).u + this.#tolerance));
  }

  /** `wasLost`: whether a loss was proven before (L2). */
  judge(draws: readonly ClassedDraw[], wasLost = false): LossVerdict {
    const usable = draws.filter(({ truth }) => this.#places.has(truth));
    const nothing = { expected: null, lostClass: null, isAsBefore: false };
    if (usable.length === 0) {
      const state = wasLost ? "LOST" : draws.length === 0 ? "NO_DATA" : "UNPROVEN";
      return { state, draws: draws.length, errorRate: errorRateOf(draws), ...nothing };
    }
    const weight = usable.reduce((sum, draw) => sum + draw.weight, 0);
    const expected = usable.reduce((sum, draw) => sum + draw.weight * this.#of(draw).rate, 0) / weight;
    const rows = this.#rowsOf(usable);
    const may = wasLost || this.mayBeLost(usable);
    const [all, byClass] = may ? [this.#logOfAll(rows), this.#logsOfClasses(rows)] : [0, []];
    const evidence = logMeanExp([all, logMeanExp(byClass)]);
    const isProven = may && evidence >= Math.log(2 / this.#alpha);
    const isLost = isProven || (wasLost && !this.#isRefuted(usable, rows, byClass));
    const most = byClass.reduce((best, log, c) => (log > (byClass[best] as number) ? c : best), 0);
    const isOfOne = isProven && byClass.length > 1 && (byClass[most] as number) > all;
    return {
      state: isLost ? "LOST" : "UNPROVEN",
      draws: usable.length,
      errorRate: errorRateOf(usable),
      expected,
      lostClass: isOfOne ? (this.#classes[most] as OfClass).truth : null,
      isAsBefore: false,
    };
  }

  #of({ truth }: ClassedDraw): OfClass {
    return this.#classes[this.#places.get(truth) as number] as OfClass;
  }

  #widest(): number {
    return this.#classes.reduce((most, { u }) => Math.max(most, u), 0) + this.#tolerance;
  }

  #rowsOf(draws: readonly ClassedDraw[]): Rows {
    const rows = this.#classes.map((): ClassedDraw[] => []);
    for (const draw of draws) rows[this.#places.get(draw.truth) as number]?.push(draw);
    return rows;
  }

  /** ln of the wealth of bets on the draws of one class, if its error rate on the validation set is `rate`. */
  #logWealth(row: readonly ClassedDraw[], bet: number, rate: number): number {
    const limit = rate + this.#tolerance;
    return row.reduce((sum, { weight, loss }) => sum + Math.log1p(bet * weight * ((loss ? 1 : 0) - limit)), 0);
  }

  /** Its minimum over the region of rates: ln of the wealth is concave in each rate, so between 0 and u it is nowhere below the line
   * between its values at both. */
  #logOfAll(rows: Rows): number {
    const widest = this.#widest();
    const logs = BET_SHARES.map((share) => {
      const bet = share / widest;
      let atLower = 0;
      const costs = this.#classes.map(({ q, u }, c) => {
        const row = rows[c] as readonly ClassedDraw[];
        if (row.length === 0) return 0;
        const atZero = this.#logWealth(row, bet, 0);
        const cost = (atZero - this.#logWealth(row, bet, u)) / u;
        atLower += atZero - cost * q;
        return cost;
      });
      return atLower - (this.#region as RateRegion).most(costs);
    });
    return logMeanExp(logs);
  }

  #logsOfClasses(rows: Rows): readonly number[] {
    return this.#classes.map(({ u }, c) => {
      const row = rows[c] as readonly ClassedDraw[];
      return logMeanExp(BET_SHARES.map((share) => this.#logWealth(row, share / (u + this.#tolerance), u)));
    });
  }

  /** L2 */
  #isRefuted(draws: readonly ClassedDraw[], rows: Rows, byClass: readonly number[]): boolean {
    const suspects = rows.filter((_, c) => (byClass[c] as number) >= SUSPECT_LOG);
    return [draws, ...suspects].every((some) => this.#isBelow(some));
  }

  /** Whether of some number of newest draws the error rate is shown to be below what may be validated, and tolerated. */
  #isBelow(draws: readonly ClassedDraw[]): boolean {
    const sizes: number[] = [];
    for (let size = NEWEST_MIN; size < draws.length; size *= 2) sizes.push(size);
    sizes.push(draws.length);
    return sizes.some((size) => {
      const newest = draws.slice(-size);
      const weight = newest.reduce((sum, draw) => sum + draw.weight, 0);
      const costs = this.#rowsOf(newest).map((row) => row.reduce((sum, draw) => sum + draw.weight, 0) / weight);
      const lower = this.#classes.reduce((sum, { q }, c) => sum + q * (costs[c] as number), 0);
      const limit = lower + (this.#region as RateRegion).most(costs) + this.#tolerance;
      if (limit >= 1) return false; // they are of classes of which too little is known
      const bet = new LossBet(
        newest.map((draw) => draw.weight),
        limit,
      );
      for (const draw of newest) if (draw.loss) bet.lose(draw.weight);
      return bet.refutes(this.#alpha / sizes.length);
    });
  }
}

function errorRateOf(draws: readonly ClassedDraw[]): number | null {
  if (draws.length === 0) return null;
  const weight = draws.reduce((sum, draw) => sum + draw.weight, 0);
  return draws.reduce((sum, draw) => sum + (draw.loss ? draw.weight : 0), 0) / weight;
}
