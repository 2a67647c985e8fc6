/**
 * Which records of boot 0 were seen: those of devices that speak only JSON and count nothing. Their numbers are digests,
 * in no order, so the last 1,024 are remembered and the one unused longest goes first (G9).
 */
export const DIGESTS_MAX = 1_024;
const DIGEST_BYTES = 8;

export class DigestWindow {
  /** Least recently seen first. */
  readonly #seen = new Set<bigint>();

  constructor(state: Uint8Array = new Uint8Array(0)) {
    const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    for (let at = 0; at + DIGEST_BYTES <= state.byteLength; at += DIGEST_BYTES) this.mark(view.getBigUint64(at));
  }

  /** Whether it is new. */
  mark(digest: bigint): boolean {
    const known = this.#seen.delete(digest);
    this.#seen.add(digest);
    if (this.#seen.size > DIGESTS_MAX) this.#seen.delete(this.#seen.values().next().value as bigint);
    return !known;
  }

  /** Eight bytes each, least recently seen first. */
  state(): Uint8Array {
    const bytes = new Uint8Array(this.#seen.size * DIGEST_BYTES);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const digest of this.#seen) {
      view.setBigUint64(at, digest);
      at += DIGEST_BYTES;
    }
    return bytes;
  }
}
