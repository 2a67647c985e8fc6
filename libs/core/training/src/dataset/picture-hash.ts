/**
 * Pictures that look alike: the difference hash (Krawetz 2013), one bit for each of 8 x 8 places, whether the picture gets darker to the
 * right. Frames of one scene differ in few bits; different scenes in about 32.
 *
 * H1. Hashes at a distance of at most `DISTANCE_MAX` agree in one of four bands of 16 bits, because 3 bits cannot differ in 4 bands.
 *     So each hash is compared with those of its bands only, and no pair is missed. A band is every fourth diagonal of the 8 x 8 places: a
 *     dark half of a picture then makes no band the same for all.
 */
import { Failure } from "@tributary/kernel";

export const HASH_WIDTH = 9;
export const HASH_HEIGHT = 8;
/** Bits (H1). */
export const DISTANCE_MAX = 3;

/** Of interleaved RGB pixels, 9 wide and 8 high. */
export function differenceHashOf(pixels: Uint8Array): string {
  const light = (at: number) =>
    299 * (pixels[3 * at] as number) + 587 * (pixels[3 * at + 1] as number) + 114 * (pixels[3 * at + 2] as number);
  let hash = "";
  for (let y = 0; y < HASH_HEIGHT; y++) {
    let row = 0;
    for (let x = 0; x < HASH_WIDTH - 1; x++) {
      const at = y * HASH_WIDTH + x;
      row = row * 2 + (light(at) > light(at + 1) ? 1 : 0);
    }
    hash += row.toString(16).padStart(2, "0");
  }
  return hash;
}

type Entry<T> = {
  /** Four numbers of 16 bits. */
  readonly bands: readonly number[];
  readonly high: number;
  readonly low: number;
  readonly values: T[];
};

/** Values under their hash: those near another hash are found without comparing it with all. */
export class HashIndex<T> {
  readonly #distanceMax: number;
  readonly #entries = new Map<string, Entry<T>>();
  /** Of each band: entries by its value. */
  readonly #bands = [0, 1, 2, 3].map(() => new Map<number, Entry<T>[]>());

  constructor(distanceMax: number) {
    if (!Number.isInteger(distanceMax) || distanceMax < 0 || distanceMax > DISTANCE_MAX) {
      const message = `near-duplicates may differ in 0 to ${DISTANCE_MAX} bits, not in ${distanceMax}`;
      throw new Failure("dataset-settings-invalid", "ask-a-person", message);
    }
    this.#distanceMax = distanceMax;
  }

  add(hash: string, value: T): void {
    const known = this.#entries.get(hash);
    if (known !== undefined) {
      known.values.push(value);
      return;
    }
    const entry = entryOf(hash, [value]);
    this.#entries.set(hash, entry);
    for (const [i, byValue] of this.#bands.entries()) {
      const band = entry.bands[i] as number;
      const entries = byValue.get(band);
      if (entries === undefined) byValue.set(band, [entry]);
      else entries.push(entry);
    }
  }

  /** Values of hashes near this one, its own among them. */
  near(hash: string): readonly T[] {
    const own = entryOf<T>(hash, []);
    const found: T[] = [];
    for (const [i, byValue] of this.#bands.entries()) {
      for (const other of byValue.get(own.bands[i] as number) ?? []) {
        if (distanceOf(own, other) > this.#distanceMax) continue;
        // Of the first band that both share, so that each comes once.
        if (own.bands.findIndex((band, j) => band === other.bands[j]) === i) found.push(...other.values);
      }
    }
    return found;
  }
}

function entryOf<T>(hash: string, values: T[]): Entry<T> {
  if (!/^[0-9a-f]{16}$/.test(hash)) {
    throw new Failure("dataset-hash-malformed", "give-up", `"${hash.slice(0, 40)}" is no picture hash: 16 hex digits`);
  }
  const bands = [0, 0, 0, 0];
  for (let y = 0; y < HASH_HEIGHT; y++) {
    const row = Number.parseInt(hash.slice(2 * y, 2 * y + 2), 16);
    for (let x = 0; x < 8; x++) bands[(x + y) % 4] = 2 * (bands[(x + y) % 4] as number) + ((row >>> x) & 1);
  }
  return { bands, high: Number.parseInt(hash.slice(0, 8), 16), low: Number.parseInt(hash.slice(8), 16), values };
}

const distanceOf = <T>(a: Entry<T>, b: Entry<T>): number => bitsOf(a.high ^ b.high) + bitsOf(a.low ^ b.low);

/** Set bits of 32 (Warren, Hacker's Delight, 5-1). */
function bitsOf(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
