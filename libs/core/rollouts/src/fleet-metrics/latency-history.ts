/** How long devices took for their frames with the model that they run: what a rollout freezes its latency limit from. A
 * histogram a device, of the model of its newest frames: another model starts a new one. Buckets grow by a quarter, so a figure
 * is right within that; counts are halved where one is full, so what is newer weighs more. The device is the unit: the limit
 * is the p99 that nine of ten devices stay within. Devices that report wrong latencies, or are slow for reasons of their own,
 * move it only if they are more than one of ten. */

/** Upper edges from `FIRST_MS` on. */
const [FIRST_MS, GROWTH, BUCKETS] = [0.25, 1.25, 72] as const;
/** Below it a p99 is a guess. */
const FRAMES_MIN = 100;
const SHARE_OF_DEVICES = 0.9;
const COUNT_MAX = 65_535;

type Row = { modelDigest: string; readonly counts: Uint16Array; frames: number };
/** What a restarted instance needs, by device. */
export type LatencyHistoryState = ReadonlyMap<string, Readonly<Row>>;

export class LatencyHistory {
  readonly #rows = new Map<string, Row>();
  readonly #devicesMax: number;

  constructor(devicesMax = 1_000_000) {
    this.#devicesMax = devicesMax;
  }

  state(): LatencyHistoryState {
    return this.#rows;
  }

  restore(rows: LatencyHistoryState): void {
    const digests = new Map<string, string>(); // One string for all devices of a model.
    this.#rows.clear();
    for (const [deviceId, { modelDigest: digest, counts, frames }] of rows) {
      const modelDigest = digests.get(digest) ?? digest;
      digests.set(digest, modelDigest);
      this.#rows.set(deviceId, { modelDigest, counts: Uint16Array.from(counts), frames });
    }
  }

  add(deviceId: string, modelDigest: string, latencyMs: number): void {
    if (!(latencyMs > 0) || !Number.isFinite(latencyMs)) return;
    const row = this.#rowOf(deviceId, modelDigest);
    if (row === null) return;
    const bucket = Math.ceil(Math.log(latencyMs / FIRST_MS) / Math.log(GROWTH));
    const i = Math.min(BUCKETS - 1, Math.max(0, bucket));
    if (row.counts[i] === COUNT_MAX) {
      row.frames = 0;
      for (let j = 0; j < BUCKETS; j++) row.frames += row.counts[j] = (row.counts[j] as number) >> 1;
    }
    row.counts[i] = (row.counts[i] as number) + 1;
    row.frames += 1;
  }

  /** Of one device with that model; null: too little is known. */
  p99(deviceId: string, modelDigest: string): number | null {
    const row = this.#rows.get(deviceId);
    if (row === undefined || row.modelDigest !== modelDigest || row.frames < FRAMES_MIN) return null;
    let left = 0.01 * row.frames;
    for (let i = BUCKETS - 1; i >= 0; i--) {
      left -= row.counts[i] as number;
      if (left < 0) return FIRST_MS * GROWTH ** i;
    }
    return null;
  }

  /** The p99 that nine of ten of those devices stay within; null: of fewer than `devicesMin` of them anything is known. */
  limitOf(deviceIds: readonly string[], modelDigest: string, devicesMin: number): number | null {
    const known = deviceIds.flatMap((deviceId) => this.p99(deviceId, modelDigest) ?? []).sort((a, b) => a - b);
    if (known.length < devicesMin) return null;
    return known[Math.min(known.length - 1, Math.floor(SHARE_OF_DEVICES * known.length))] ?? null;
  }

  #rowOf(deviceId: string, modelDigest: string): Row | null {
    const known = this.#rows.get(deviceId);
    if (known === undefined) {
      if (this.#rows.size >= this.#devicesMax) return null;
      const row = { modelDigest, counts: new Uint16Array(BUCKETS), frames: 0 };
      this.#rows.set(deviceId, row);
      return row;
    }
    if (known.modelDigest !== modelDigest) {
      known.modelDigest = modelDigest;
      known.counts.fill(0);
      known.frames = 0;
    }
    return known;
  }
}
