/** Cumulative counters of devices, as an external monitoring system keeps them: what they grew by between two observations.
 * Numbers that no counter can have are refused (fleet-metrics.ts F2).
 *
 * C1. Either counter lower than before: the device restarted, and what it counted since is the increase. As Prometheus does
 *     it, for both at once since one process counts them.
 * C2. An observation that is not newer than the last one of its device changes nothing: any number of instances may write
 *     the same moment, and the first in the log counts.
 * C3. An increase is of what was before if both its ends are, of the analysis if both are since its start. One that straddles
 *     a border is of neither: nobody knows which model it was of.
 * C4. A good outcome may be counted a moment after its frame was counted. Where good grew by more than total, the next
 *     observation is compared with the last but one, and nothing is lost.
 * C6. What is missed is not lost: the next increase covers it. */
import type { Instant } from "@tributary/kernel";

export type CounterSample = { readonly good: number; readonly total: number; readonly at: Instant };

/** What a counter grew by between two moments. */
export type Increase = {
  readonly good: number;
  readonly frames: number;
  readonly from: Instant;
  readonly to: Instant;
};

/** Beyond, doubles no longer count by one. */
const COUNTER_MAX = 2 ** 53;

export const isCounter = ({ good, total }: Pick<CounterSample, "good" | "total">): boolean =>
  good >= 0 && total >= 0 && total <= COUNTER_MAX && good <= total * (1 + 1e-9);

const COLUMNS = 5;
const [AT, GOOD, TOTAL, GOOD_BEFORE, FRAMES_BEFORE] = [0, 1, 2, 3, 4] as const;

/** What a restarted instance needs. */
export type CountersState = {
  readonly rows: ReadonlyMap<string, number>;
  readonly columns: Float64Array;
  readonly newest: Instant | null;
};

/** One metric of one rollout. */
export class Counters {
  readonly #rows: Map<string, number>;
  #columns: Float64Array;
  #newest: Instant | null;

  constructor(
    { rows, columns, newest }: CountersState = {
      rows: new Map(),
      columns: new Float64Array(64 * COLUMNS),
      newest: null,
    },
  ) {
    this.#rows = new Map(rows);
    this.#columns = Float64Array.from(columns);
    this.#newest = newest;
  }

  state(): CountersState {
    return { rows: this.#rows, columns: this.#columns, newest: this.#newest };
  }

  get devices(): number {
    return this.#rows.size;
  }

  get bytes(): number {
    return this.#columns.byteLength;
  }

  /** The newest moment that was observed. */
  get newest(): Instant | null {
    return this.#newest;
  }

  has(deviceId: string): boolean {
    return this.#rows.has(deviceId);
  }

  /** Null: it is the first of its device, or changes nothing (C2, C4). */
  increase(deviceId: string, { good, total, at }: CounterSample): Increase | null {
    if (this.#newest === null || at > this.#newest) this.#newest = at;
    const known = this.#rows.get(deviceId);
    const row = known ?? this.#rowOf(deviceId);
    const was = (column: number) => this.#columns[row + column] as number;
    const from = was(AT);
    if (known !== undefined && at <= from) return null;
    const isAnew = good < was(GOOD) || total < was(TOTAL);
    const grown = isAnew ? { good, frames: total } : { good: good - was(GOOD), frames: total - was(TOTAL) };
    if (known !== undefined && grown.good > grown.frames * (1 + 1e-9)) return null;
    this.#columns.set([at, good, total], row);
    return known === undefined ? null : { ...grown, from, to: at };
  }

  addBefore(deviceId: string, { good, frames }: Increase): void {
    const row = this.#rows.get(deviceId);
    if (row === undefined) return;
    this.#columns[row + GOOD_BEFORE] = (this.#columns[row + GOOD_BEFORE] as number) + good;
    this.#columns[row + FRAMES_BEFORE] = (this.#columns[row + FRAMES_BEFORE] as number) + frames;
  }

  before(deviceId: string): { readonly good: number; readonly frames: number } {
    const row = this.#rows.get(deviceId);
    if (row === undefined) return { good: 0, frames: 0 };
    return {
      good: this.#columns[row + GOOD_BEFORE] as number,
      frames: this.#columns[row + FRAMES_BEFORE] as number,
    };
  }

  #rowOf(deviceId: string): number {
    const row = this.#rows.size * COLUMNS;
    if (row + COLUMNS > this.#columns.length) {
      const columns = new Float64Array(Math.ceil(this.#columns.length * 1.5));
      columns.set(this.#columns);
      this.#columns = columns;
    }
    this.#rows.set(deviceId, row);
    return row;
  }
}
