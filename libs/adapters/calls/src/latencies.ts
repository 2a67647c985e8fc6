/** Quantiles of the last answers' latencies. */
const SEEN = 256;
const SEEN_MIN = 20;
/** Sorting at every call would cost more than the freshness is worth. */
const STALE_AFTER = 16;

export class Latencies {
  readonly #ring: number[] = [];
  #next = 0;
  #sorted: readonly number[] = [];
  #unsorted = 0;

  record(ms: number): void {
    this.#ring[this.#next] = ms;
    this.#next = (this.#next + 1) % SEEN;
    this.#unsorted++;
  }

  /** Undefined until there are enough of them. */
  quantile(share: number): number | undefined {
    if (this.#ring.length < SEEN_MIN) return undefined;
    if (this.#sorted.length === 0 || this.#unsorted >= STALE_AFTER) {
      this.#sorted = [...this.#ring].sort((a, b) => a - b);
      this.#unsorted = 0;
    }
    return this.#sorted[Math.min(this.#sorted.length - 1, Math.floor(share * this.#sorted.length))];
  }
}
