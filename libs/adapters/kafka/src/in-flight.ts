/**
 * What a consumer holds of records that are handled independently, in records and bytes (G9). Pure.
 *
 * F1. Records that are not urgent leave a quarter of both bounds to those that are.
 * F2. An owner, a device by its key, holds at most its share of both, so that records of others find room.
 * F3. One record always finds room where nothing is held: else one above a bound would never be handled.
 */
export type InFlightBounds = {
  readonly recordsMax: number;
  readonly bytesMax: number;
  /** Of both for one owner. */
  readonly ownerShareMax: number;
};

/** What asks for room. */
export type Demand = { readonly owner: string; readonly bytes: number; readonly isUrgent: boolean };
export type Refusal = "full" | "owner-share";

type Held = { records: number; bytes: number };

const NOT_URGENT_SHARE = 0.75;
/** A paused partition is fetched again once so much of a bound is left: every fetch brings more than one record. */
const RESUME_SHARE = 0.5;

export class InFlight {
  readonly #bounds: InFlightBounds;
  readonly #all: Held = { records: 0, bytes: 0 };
  readonly #owners = new Map<string, Held>();

  constructor(bounds: InFlightBounds) {
    this.#bounds = bounds;
  }

  get records(): number {
    return this.#all.records;
  }

  get bytes(): number {
    return this.#all.bytes;
  }

  /** Why there is no room; undefined: there is. */
  refusal(demand: Demand): Refusal | undefined {
    return this.#refusal(demand, 1);
  }

  /** Whether a demand that was refused may come again. */
  hasRoomAgain(demand: Demand): boolean {
    return this.#refusal(demand, RESUME_SHARE) === undefined;
  }

  add({ owner, bytes }: Demand): void {
    const own = this.#owners.get(owner) ?? { records: 0, bytes: 0 };
    this.#owners.set(owner, own);
    for (const held of [this.#all, own]) {
      held.records++;
      held.bytes += bytes;
    }
  }

  remove({ owner, bytes }: Demand): void {
    const own = this.#owners.get(owner);
    if (own === undefined) return;
    for (const held of [this.#all, own]) {
      held.records--;
      held.bytes -= bytes;
    }
    if (own.records === 0) this.#owners.delete(owner);
  }

  #refusal({ owner, bytes, isUrgent }: Demand, share: number): Refusal | undefined {
    const own = this.#owners.get(owner);
    const ownerShare = this.#bounds.ownerShareMax * share;
    if (own !== undefined && !this.#fits(own, bytes, ownerShare)) return "owner-share"; // F2
    return this.#fits(this.#all, bytes, (isUrgent ? 1 : NOT_URGENT_SHARE) * share) ? undefined : "full"; // F1
  }

  #fits({ records, bytes }: Held, more: number, share: number): boolean {
    const { recordsMax, bytesMax } = this.#bounds;
    return records === 0 || (records + 1 <= recordsMax * share && bytes + more <= bytesMax * share); // F3
  }
}
