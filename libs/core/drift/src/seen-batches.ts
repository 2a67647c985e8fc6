/** Which batches of a device's stream were folded: every boot numbers them from 1, and they arrive in order. */
import type { StateReader, StateWriter } from "./state-bytes.ts";

/** A device's outbox outlives a reboot, so batches of earlier boots may still come. */
const BOOTS_MAX = 4;

export class SeenBatches {
  /** Highest number by boot; the latest boot last. */
  readonly #last = new Map<bigint, bigint>();

  /** Whether it is new. */
  add({ bootId, seq }: { readonly bootId: bigint; readonly seq: bigint }): boolean {
    const last = this.#last.get(bootId);
    if (last !== undefined && seq <= last) return false;
    // A boot that was forgotten is older than all that are known.
    if (last === undefined && this.#last.size === BOOTS_MAX && [...this.#last.keys()].every((boot) => boot > bootId)) {
      return false;
    }
    this.#last.delete(bootId);
    this.#last.set(bootId, seq);
    if (this.#last.size > BOOTS_MAX) this.#last.delete([...this.#last.keys()].sort(ascending)[0] as bigint);
    return true;
  }

  write(to: StateWriter): void {
    to.u8(this.#last.size);
    for (const [bootId, seq] of this.#last) {
      to.i64(bootId);
      to.i64(seq);
    }
  }

  static read(from: StateReader): SeenBatches {
    const seen = new SeenBatches();
    for (let left = from.u8(BOOTS_MAX); left > 0; left--) seen.#last.set(from.i64(), from.i64());
    return seen;
  }
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
