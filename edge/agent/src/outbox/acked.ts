/** Acknowledged records that are not deleted yet: the next commit deletes them, and one that fails returns them. Pure. */
import type { RecordKey } from "./rows.ts";

const nameOf = ({ boot, stream, seq }: RecordKey) => `${boot}/${stream}/${seq}`;

export class Acked {
  #keys: RecordKey[] = [];

  get size(): number {
    return this.#keys.length;
  }

  add(...keys: readonly RecordKey[]): void {
    this.#keys.push(...keys);
  }

  take(): readonly RecordKey[] {
    return this.#keys.splice(0);
  }

  restore(keys: readonly RecordKey[]): void {
    this.#keys = [...keys, ...this.#keys];
  }

  /** Those of `left` that are still pending. */
  pending(left: readonly RecordKey[]): readonly RecordKey[] {
    if (this.#keys.length === 0) return left;
    const acked = new Set(this.#keys.map(nameOf));
    return left.filter((key) => !acked.has(nameOf(key)));
  }
}
