/**
 * Exchanges the schema id in Confluent's five bytes, both ways, and loses nothing.
 *
 * It is a permutation of ids: an id exchanged on the way in is restored on the way out, also an unknown one, so a dead letter
 * has its original bytes (G8). A foreign id never becomes one of ours unless the registry confirms that it is the same schema:
 * ids of ours that the registry gave to other schemas are mapped to unused ones. */
import type { TopicIds } from "./sync.ts";

const HEADER_BYTES = 5;

export class IdSwap {
  readonly #toOurs = new Map<number, number>();
  readonly #toTheirs = new Map<number, number>();

  constructor(theirsByOurs: TopicIds) {
    for (const [ours, theirs] of theirsByOurs) {
      this.#toTheirs.set(ours, theirs);
      if (!this.#toOurs.has(theirs)) this.#toOurs.set(theirs, ours); // Two versions may be one schema: the lowest id of ours.
    }
    const free = [...this.#toOurs.keys()].filter((theirs) => !this.#toTheirs.has(theirs));
    for (const ours of theirsByOurs.keys()) {
      if (this.#toOurs.has(ours)) continue;
      const stray = free.shift() ?? ~ours;
      this.#toOurs.set(ours, stray);
      this.#toTheirs.set(stray, ours);
    }
  }

  toOurs(theirs: number): number {
    return this.#toOurs.get(theirs) ?? theirs;
  }

  toTheirs(ours: number): number {
    return this.#toTheirs.get(ours) ?? ours;
  }
}

/** Undefined: not Confluent's format. */
export const idIn = (value: Buffer): number | undefined =>
  value.length >= HEADER_BYTES && value[0] === 0 ? value.readInt32BE(1) : undefined;

/** A copy with another id: the caller may use the bytes again. */
export function withId(value: Buffer, id: number): Buffer {
  const copy = Buffer.from(value);
  copy.writeInt32BE(id, 1);
  return copy;
}
