/**
 * Frames of the archive in columns of numbers, about a hundred bytes each: an object of texts has seven times that. Pure.
 *
 * A frame has a slot under its id, which an index finds by open addressing (linear probing, deletion by backward shift: Knuth, TAOCP 3,
 * 6.4, algorithm R). A slot without a frame is for labels whose frame is not known. Texts that repeat are kept once.
 */
import type { ArchivedFrame } from "@tributary/contracts";
import type { FrameId, Instant } from "@tributary/kernel";

const CAPACITY_MIN = 1_024;
const GROWTH = 1.25;
/** Slots of the index that are used at most. */
const LOAD_MAX = 0.75;
const DIGEST_BYTES = 32;
const FREE = 0;
const HAS_FRAME = 2;
const IS_DRAWN = 4;
const NO_TEXT = -1;

type Stream = { readonly deviceId: string; readonly cameraId: string };

/** What is asked of a frame. */
export type ColumnFrame = Stream & {
  readonly frameId: string;
  readonly digest: string;
  readonly receivedAt: Instant;
  readonly sampleDrawn: boolean;
  readonly samplePropensity: number;
  readonly cloudLabel: string | null;
  readonly cloudConfidence: number | null;
};

export type FrameFilter = {
  /** Received at this moment or later. */
  readonly since: Instant;
  /** Its picture is there for longer. */
  readonly now: Instant;
  readonly isStream: (stream: Stream) => boolean;
  readonly isSite: (site: string) => boolean;
  readonly isModel: (modelDigest: string) => boolean;
};

const columnsOf = (capacity: number) => ({
  /** FREE, or 1 with what else is so. */
  state: new Uint8Array(capacity),
  stream: new Int32Array(capacity),
  seq: new BigInt64Array(capacity),
  model: new Int32Array(capacity),
  site: new Int32Array(capacity),
  cloudLabel: new Int32Array(capacity),
  cloudConfidence: new Float64Array(capacity),
  propensity: new Float64Array(capacity),
  receivedAt: new Float64Array(capacity),
  expiresAt: new Float64Array(capacity),
  digest: new Uint8Array(DIGEST_BYTES * capacity),
});

export class FrameColumns {
  readonly #slotsMax: number;
  #columns: ReturnType<typeof columnsOf>;
  #capacity: number;
  /** Slots below it were used once. */
  #used = 0;
  readonly #free: number[] = [];
  #size = 0;
  /** Slots + 1 by hash; 0: none. */
  #index: Int32Array;
  readonly #streams = new Texts();
  readonly #texts = new Texts();

  constructor(slotsMax: number) {
    this.#slotsMax = slotsMax;
    this.#capacity = Math.min(CAPACITY_MIN, slotsMax);
    this.#columns = columnsOf(this.#capacity);
    this.#index = new Int32Array(indexSize(this.#capacity));
  }

  get size(): number {
    return this.#size;
  }

  /** Its slot, a new one if it has none. There must be room. */
  slotOf(id: FrameId): number {
    const text = streamText(id);
    const known = this.#streams.idOf(text);
    if (known !== undefined) {
      const at = this.#placeOf(known, id.frameSeq);
      const slot = (this.#index[at] as number) - 1;
      if (slot >= 0) return slot;
    }
    if (this.#free.length === 0 && this.#used === this.#capacity) this.#grow();
    const slot = this.#free.pop() ?? this.#used++;
    const { state, stream, seq } = this.#columns;
    stream[slot] = this.#streams.take(text);
    seq[slot] = id.frameSeq;
    state[slot] = 1;
    this.#index[this.#placeOf(stream[slot], id.frameSeq)] = slot + 1;
    this.#size += 1;
    return slot;
  }

  hasFrame(slot: number): boolean {
    return ((this.#columns.state[slot] as number) & HAS_FRAME) !== 0;
  }

  setFrame(slot: number, frame: ArchivedFrame): void {
    this.clearFrame(slot);
    const { state, model, site, cloudLabel, cloudConfidence, propensity, receivedAt, expiresAt, digest } =
      this.#columns;
    state[slot] = 1 | HAS_FRAME | (frame.sampleDrawn ? IS_DRAWN : 0);
    model[slot] = this.#texts.take(frame.modelDigest);
    site[slot] = this.#texts.take(frame.site);
    cloudLabel[slot] = frame.cloudLabel === null ? NO_TEXT : this.#texts.take(frame.cloudLabel);
    cloudConfidence[slot] = frame.cloudConfidence ?? Number.NaN;
    propensity[slot] = frame.samplePropensity;
    receivedAt[slot] = frame.receivedAt;
    expiresAt[slot] = frame.expiresAt;
    digest.set(Buffer.from(frame.digest, "hex").subarray(0, DIGEST_BYTES), DIGEST_BYTES * slot);
  }

  /** What the archive knew of it; the slot stays. */
  clearFrame(slot: number): void {
    if (!this.hasFrame(slot)) return;
    const { state, model, site, cloudLabel } = this.#columns;
    for (const column of [model, site, cloudLabel]) this.#texts.release(column[slot] as number);
    state[slot] = 1;
  }

  remove(slot: number): void {
    this.clearFrame(slot);
    const { state, stream, seq } = this.#columns;
    this.#unindex(this.#placeOf(stream[slot] as number, seq[slot] as bigint));
    this.#streams.release(stream[slot] as number);
    state[slot] = FREE;
    this.#free.push(slot);
    this.#size -= 1;
  }

  /** Slots that are used, in no order. One may be removed meanwhile. */
  *slots(): Generator<number> {
    for (let slot = 0; slot < this.#used; slot++) if (this.#columns.state[slot] !== FREE) yield slot;
  }

  /** Slots of frames that are so; each text is asked about once. */
  *framesOf({ since, now, isStream, isSite, isModel }: FrameFilter): Generator<number> {
    const { state, stream, site, model, receivedAt, expiresAt } = this.#columns;
    const ofStream = oncePerText(this.#streams, (text) => isStream(streamOf(text)));
    const [ofSite, ofModel] = [oncePerText(this.#texts, isSite), oncePerText(this.#texts, isModel)];
    for (let slot = 0; slot < this.#used; slot++) {
      if (((state[slot] as number) & HAS_FRAME) === 0) continue;
      if ((receivedAt[slot] as number) < since || (expiresAt[slot] as number) <= now) continue;
      if (ofStream(stream[slot] as number) && ofSite(site[slot] as number) && ofModel(model[slot] as number))
        yield slot;
    }
  }

  frame(slot: number): ColumnFrame {
    const { state, stream, seq, cloudLabel, cloudConfidence, propensity, receivedAt, digest } = this.#columns;
    const text = this.#streams.text(stream[slot] as number);
    const confidence = cloudConfidence[slot] as number;
    const label = cloudLabel[slot] as number;
    return {
      ...streamOf(text),
      frameId: `${text}:${seq[slot]}`,
      digest: Buffer.from(digest.subarray(DIGEST_BYTES * slot, DIGEST_BYTES * (slot + 1))).toString("hex"),
      receivedAt: receivedAt[slot] as number,
      sampleDrawn: ((state[slot] as number) & IS_DRAWN) !== 0,
      samplePropensity: propensity[slot] as number,
      cloudLabel: label === NO_TEXT ? null : this.#texts.text(label),
      cloudConfidence: Number.isNaN(confidence) ? null : confidence,
    };
  }

  receivedAt(slot: number): Instant {
    return this.#columns.receivedAt[slot] as number;
  }

  expiresAt(slot: number): Instant {
    return this.#columns.expiresAt[slot] as number;
  }

  modelDigest(slot: number): string {
    return this.#texts.text(this.#columns.model[slot] as number);
  }

  #grow(): void {
    this.#capacity = Math.min(this.#slotsMax, Math.ceil(GROWTH * this.#capacity));
    const grown = columnsOf(this.#capacity);
    for (const name of Object.keys(grown) as (keyof typeof grown)[]) {
      (grown[name] as Uint8Array).set(this.#columns[name] as Uint8Array);
    }
    this.#columns = grown;
    if (indexSize(this.#capacity) === this.#index.length) return;
    this.#index = new Int32Array(indexSize(this.#capacity));
    const { stream, seq } = grown;
    for (const slot of this.slots()) {
      this.#index[this.#placeOf(stream[slot] as number, seq[slot] as bigint)] = slot + 1;
    }
  }

  /** In the index: where it is, or would be. */
  #placeOf(streamId: number, frameSeq: bigint): number {
    const { stream, seq } = this.#columns;
    const mask = this.#index.length - 1;
    for (let at = hashOf(streamId, frameSeq) & mask; ; at = (at + 1) & mask) {
      const slot = (this.#index[at] as number) - 1;
      if (slot < 0 || (stream[slot] === streamId && seq[slot] === frameSeq)) return at;
    }
  }

  /** Those after it that it was in the way of move up. */
  #unindex(from: number): void {
    const { stream, seq } = this.#columns;
    const mask = this.#index.length - 1;
    let gap = from;
    this.#index[gap] = 0;
    for (let at = (gap + 1) & mask; this.#index[at] !== 0; at = (at + 1) & mask) {
      const slot = (this.#index[at] as number) - 1;
      const home = hashOf(stream[slot] as number, seq[slot] as bigint) & mask;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      this.#index[gap] = slot + 1;
      this.#index[at] = 0;
      gap = at;
    }
  }
}

const indexSize = (capacity: number): number => 2 ** Math.ceil(Math.log2(capacity / LOAD_MAX + 1));

const streamText = ({ deviceId, bootId, cameraId }: FrameId): string => `${deviceId}:${bootId}:${cameraId}`;

function streamOf(text: string): Stream {
  const [deviceId = "", , cameraId = ""] = text.split(":");
  return { deviceId, cameraId };
}

const words = new Uint32Array(2);
const wide = new BigInt64Array(words.buffer);

function hashOf(streamId: number, frameSeq: bigint): number {
  wide[0] = frameSeq;
  let hash = Math.imul(streamId + 1, 0x9e3779b1) ^ (words[0] as number) ^ Math.imul(words[1] as number, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function oncePerText(texts: Texts, isSo: (text: string) => boolean): (id: number) => boolean {
  const known = new Map<number, boolean>();
  return (id) => {
    const before = known.get(id);
    if (before !== undefined) return before;
    const now = isSo(texts.text(id));
    known.set(id, now);
    return now;
  };
}

/** Texts under numbers, each as long as it is used. */
class Texts {
  readonly #ids = new Map<string, number>();
  readonly #texts: string[] = [];
  readonly #uses: number[] = [];
  readonly #free: number[] = [];

  idOf(text: string): number | undefined {
    return this.#ids.get(text);
  }

  text(id: number): string {
    return this.#texts[id] as string;
  }

  take(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#free.pop() ?? this.#texts.length;
      this.#ids.set(text, id);
      this.#texts[id] = text;
      this.#uses[id] = 0;
    }
    this.#uses[id] = (this.#uses[id] as number) + 1;
    return id;
  }

  release(id: number): void {
    if (id === NO_TEXT) return;
    const uses = (this.#uses[id] as number) - 1;
    this.#uses[id] = uses;
    if (uses > 0) return;
    this.#ids.delete(this.text(id));
    this.#texts[id] = "";
    this.#free.push(id);
  }
}
