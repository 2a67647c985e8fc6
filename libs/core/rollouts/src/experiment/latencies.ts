/** Latencies as counts in buckets that grow by a twentieth: quantiles within 5 %, whatever their number. */
const [FIRST_MS, GROWTH, BUCKETS] = [0.1, 1.05, 320] as const;

/** What a restarted instance needs. */
export type LatenciesState = { readonly count: number; readonly buckets: Float64Array };

export class Latencies {
  count = 0;
  readonly #buckets = new Float64Array(BUCKETS);

  state(): LatenciesState {
    return { count: this.count, buckets: this.#buckets };
  }

  restore({ count, buckets }: LatenciesState): void {
    this.count = count;
    this.#buckets.set(buckets);
  }

  /** Of one frame, in ms; what no frame can take is left out. */
  add(ms: number): void {
    if (!(ms >= 0) || ms === Number.POSITIVE_INFINITY) return;
    const bucket = Math.ceil(Math.log(Math.max(ms, FIRST_MS) / FIRST_MS) / Math.log(GROWTH));
    const place = Math.min(BUCKETS - 1, bucket);
    this.#buckets[place] = (this.#buckets[place] as number) + 1;
    this.count += 1;
  }

  /** The upper edge of the bucket of this quantile, in ms; 0 without frames. */
  quantile(level: number): number {
    let left = level * this.count;
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#buckets[i] as number;
      if (left <= 0 && this.count > 0) return FIRST_MS * GROWTH ** i;
    }
    return 0;
  }
}
