/**
 * Which sequence numbers of one (device, boot, stream) were seen: a watermark and a window of 1,024 behind it.
 *
 * `mark` is true once per number, whatever the order within the window. A number below the watermark counts as seen. A hole (a
 * record that went to the dead letters) is given up, and counted, once numbers 1,024 later arrive; G3 keeps honest reordering
 * far below that. */
export const WINDOW_RECORDS = 1_024;
const WINDOW_BYTES = WINDOW_RECORDS / 8;

export type DedupeWindowState = { readonly watermark: bigint; readonly bitmap: Uint8Array };

export class DedupeWindow {
  #watermark: number;
  /** Ring: bit (seq mod 1,024) for watermark < seq <= watermark + 1,024. */
  readonly #ring = new Uint8Array(WINDOW_BYTES);
  #ahead = 0;

  constructor(state?: DedupeWindowState) {
    this.#watermark = Number(state?.watermark ?? 0n);
    const bitmap = state?.bitmap ?? new Uint8Array(0);
    for (let i = 0; i < Math.min(WINDOW_RECORDS, bitmap.length * 8); i++) {
      if (((bitmap[i >> 3] ?? 0) >> (i & 7)) & 1) this.#set(this.#watermark + 1 + i);
    }
    this.#advance();
  }

  has(seq: number): boolean {
    if (seq <= this.#watermark) return true;
    return seq <= this.#watermark + WINDOW_RECORDS && this.#bit(seq);
  }

  /** Returns whether it is new, and how many holes were given up for it. */
  mark(seq: number): { readonly fresh: boolean; readonly skipped: number } {
    if (this.has(seq)) return { fresh: false, skipped: 0 };
    let skipped = 0;
    const floor = seq - WINDOW_RECORDS;
    if (floor > this.#watermark + WINDOW_RECORDS) {
      skipped = floor - this.#watermark - this.#ahead; // nothing of the old window remains
      this.#ring.fill(0);
      this.#ahead = 0;
      this.#watermark = floor;
    }
    while (this.#watermark < floor) {
      this.#watermark++;
      if (this.#bit(this.#watermark)) this.#clear(this.#watermark);
      else skipped++;
    }
    this.#set(seq);
    this.#advance();
    return { fresh: true, skipped };
  }

  state(): DedupeWindowState {
    const bitmap = new Uint8Array(WINDOW_BYTES);
    let used = 0;
    for (let i = 0; i < WINDOW_RECORDS; i++) {
      if (!this.#bit(this.#watermark + 1 + i)) continue;
      bitmap[i >> 3] = (bitmap[i >> 3] ?? 0) | (1 << (i & 7));
      used = (i >> 3) + 1;
    }
    return { watermark: BigInt(this.#watermark), bitmap: bitmap.slice(0, used) };
  }

  #advance(): void {
    while (this.#ahead > 0 && this.#bit(this.#watermark + 1)) {
      this.#watermark++;
      this.#clear(this.#watermark);
    }
  }

  #bit(seq: number): boolean {
    const at = seq % WINDOW_RECORDS;
    return (((this.#ring[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
  }

  #set(seq: number): void {
    const at = seq % WINDOW_RECORDS;
    this.#ring[at >> 3] = (this.#ring[at >> 3] ?? 0) | (1 << (at & 7));
    this.#ahead++;
  }

  #clear(seq: number): void {
    const at = seq % WINDOW_RECORDS;
    this.#ring[at >> 3] = (this.#ring[at >> 3] ?? 0) & ~(1 << (at & 7));
    this.#ahead--;
  }
}
