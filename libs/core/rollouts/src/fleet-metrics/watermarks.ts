/** Which records of a device's stream were folded already: a replayed report must not count twice (G2). Per device: one boot,
 * its highest `seq`, and which of the 32 before it were seen; so a broker that disorders a little loses nothing, and memory
 * is 20 bytes a device and stream. Boots are ordered by their id (24 bits of count lead): a record of an older boot that
 * comes after one of a newer boot is refused. Of two clones with one id only the one with the higher boot counts, so they
 * cannot count double. Devices without boots (`bootId` 0: JSON over MQTT) were deduped by the bridge, and pass. */

export type Freshness = "new" | "replayed" | "old-boot";

const WINDOW = 32n;

/** What a restarted instance needs. */
export type WatermarksState = {
  readonly boots: BigInt64Array;
  readonly seqs: BigInt64Array;
  readonly before: Uint32Array;
};

export class Watermarks {
  #boots = new BigInt64Array(0);
  #seqs = new BigInt64Array(0);
  #before = new Uint32Array(0);

  static of({ boots, seqs, before }: WatermarksState): Watermarks {
    const watermarks = new Watermarks();
    watermarks.#boots = BigInt64Array.from(boots);
    watermarks.#seqs = BigInt64Array.from(seqs);
    watermarks.#before = Uint32Array.from(before);
    return watermarks;
  }

  state(): WatermarksState {
    return { boots: this.#boots, seqs: this.#seqs, before: this.#before };
  }

  get bytes(): number {
    return this.#boots.byteLength + this.#seqs.byteLength + this.#before.byteLength;
  }

  grow(devices: number): void {
    this.#boots = grown(this.#boots, new BigInt64Array(devices));
    this.#seqs = grown(this.#seqs, new BigInt64Array(devices));
    this.#before = grown(this.#before, new Uint32Array(devices));
  }

  forget(device: number): void {
    this.#boots[device] = 0n;
    this.#seqs[device] = 0n;
    this.#before[device] = 0;
  }

  /** Marks the record as seen and returns whether it was new. */
  mark(device: number, bootId: bigint, seq: bigint): Freshness {
    if (bootId === 0n) return "new";
    const boot = this.#boots[device] as bigint;
    if (bootId < boot) return "old-boot";
    if (bootId > boot) {
      this.#boots[device] = bootId;
      this.#seqs[device] = seq;
      this.#before[device] = 0;
      return "new";
    }
    const ahead = seq - (this.#seqs[device] as bigint);
    const seen = this.#before[device] as number;
    if (ahead > 0n) {
      // Bit k: `seq - 1 - k` was seen.
      this.#before[device] =
        ahead > WINDOW ? 0 : ((ahead === WINDOW ? 0 : seen << Number(ahead)) | (1 << (Number(ahead) - 1))) >>> 0;
      this.#seqs[device] = seq;
      return "new";
    }
    if (ahead === 0n || ahead < -WINDOW) return "replayed";
    const bit = 1 << (Number(-ahead) - 1);
    if ((seen & bit) !== 0) return "replayed";
    this.#before[device] = (seen | bit) >>> 0;
    return "new";
  }
}

function grown<T extends BigInt64Array | Uint32Array>(from: T, to: T): T {
  (to as BigInt64Array).set(from as BigInt64Array);
  return to;
}
