/**
 * Cuts a stream of concatenated JPEGs into frames.
 *
 * J1. It follows segment lengths, so an embedded thumbnail's end marker does not end the frame.
 * J2. Bytes between frames (garbage, multipart headers) are skipped and counted; a truncated frame is dropped and counted, and
 *     the next start marker starts a new one; if it is truncated in its header, that marker is searched within the bytes that
 *     the header's lengths covered, a bounded number of times.
 * J3. No frame takes more than `frameBytesMax`; a larger one is read to its end without being kept, so that the next is found
 *     at its start (G9).
 * J4. The text between two frames is known when the second begins: a camera's timestamp is there (stamp.ts). Behind a frame that is cut it
 *     is the end of what that one seemed to contain.
 */
export type SplitterCounts = {
  readonly skippedBytes: number;
  readonly brokenFrames: number;
  readonly oversizedFrames: number;
};

export type SplitterHandlers = {
  /** A frame's first bytes are here. `before`: the end of what was skipped before them. Returns whether that is part of the frame, and so not
   * skipped. */
  readonly onBegin?: (before: string) => boolean;
  /** The frame that began last is dropped. */
  readonly onDropped?: (code: "camera-frame-broken" | "camera-frame-oversized") => void;
};

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const TEM = 0x01;
const isRestart = (marker: number): boolean => marker >= 0xd0 && marker <= 0xd7;

type State =
  | "seek" // for FF
  | "seek-start" // FF seen, for SOI
  | "marker" // for FF
  | "marker-code" // FF seen, for the code
  | "length-high"
  | "length-low"
  | "segment" // `#left` bytes of it to go
  | "scan" // entropy-coded data
  | "scan-code"; // FF seen inside it

export class JpegSplitter {
  readonly #frameBytesMax: number;
  readonly #onFrame: (jpeg: Buffer) => void;
  readonly #handlers: SplitterHandlers;
  #before = "";
  /** Bytes since the last frame. */
  #between = 0;
  #state: State = "seek";
  #left = 0;
  #isScanHeader = false;
  #parts: Buffer[] = [];
  #bytes = 0;
  #isOversized = false;
  #hasScan = false;
  #skippedBytes = 0;
  #brokenFrames = 0;
  #oversizedFrames = 0;

  constructor(frameBytesMax: number, onFrame: (jpeg: Buffer) => void, handlers: SplitterHandlers = {}) {
    this.#frameBytesMax = frameBytesMax;
    this.#onFrame = onFrame;
    this.#handlers = handlers;
  }

  get counts(): SplitterCounts {
    return {
      // What may be a header counts when it is known to be none.
      skippedBytes: this.#skippedBytes - (this.#between <= BEFORE_LENGTH_MAX ? this.#between : 0),
      brokenFrames: this.#brokenFrames,
      oversizedFrames: this.#oversizedFrames,
    };
  }

  push(bytes: Buffer): void {
    let chunk = bytes;
    let rescans = RESCANS_MAX;
    // Where in this chunk the current frame starts; -1 while none is.
    let start = this.#inFrame ? 0 : -1;
    for (let at = 0; at < chunk.length; ) {
      const byte = chunk[at] as number;
      let isBroken = false;
      switch (this.#state) {
        case "seek":
          at = this.#seek(chunk, at);
          continue;
        case "seek-start":
          if (byte === SOI) {
            this.#skippedBytes -= 1;
            this.#begin();
            start = at + 1;
          } else {
            this.#skippedBytes += 1;
            if (byte !== 0xff) this.#state = "seek";
          }
          break;
        case "marker":
          if (byte === 0xff) this.#state = "marker-code";
          else isBroken = true;
          break;
        case "marker-code":
          if (byte === 0xff) break; // fill byte
          if (byte === EOI) start = this.#end(chunk, start, at);
          else if (byte === SOI) {
            this.#before = this.#endOfFrame(chunk.subarray(start, at));
            this.#dropBroken();
            this.#begin();
            start = at + 1;
          } else if (byte === TEM || isRestart(byte)) this.#state = "marker";
          else if (byte === 0) isBroken = true;
          else {
            this.#isScanHeader = byte === SOS;
            this.#hasScan ||= this.#isScanHeader;
            this.#state = "length-high";
          }
          break;
        case "length-high":
          this.#left = byte << 8;
          this.#state = "length-low";
          break;
        case "length-low":
          this.#left = (this.#left | byte) - 2;
          if (this.#left < 0) isBroken = true;
          else this.#endSegmentIfDone();
          break;
        case "segment":
          at = this.#skipSegment(chunk, at);
          continue;
        case "scan":
          at = this.#scan(chunk, at);
          continue;
        case "scan-code":
          if (byte === 0 || isRestart(byte)) this.#state = "scan";
          else if (byte !== 0xff) {
            this.#state = "marker-code";
            continue; // the same byte, as a marker's code
          }
          break;
        default:
          this.#state satisfies never;
      }
      at += 1;
      if (!isBroken) continue;
      const swallowed = this.#breakOff(chunk.subarray(start, at));
      start = -1;
      if (swallowed === undefined || rescans-- === 0) continue;
      chunk = Buffer.concat([swallowed, chunk.subarray(at)]);
      at = 0;
    }
    if (this.#inFrame && start >= 0) this.#keep(chunk.subarray(start));
  }

  /** The stream ended: an incomplete frame is dropped. */
  end(): void {
    for (let rescans = RESCANS_MAX; this.#inFrame && rescans > 0; rescans--) {
      const swallowed = this.#breakOff(Buffer.alloc(0));
      if (swallowed !== undefined) this.push(swallowed);
    }
    this.#state = "seek";
    this.#between = 0;
  }

  get #inFrame(): boolean {
    return this.#state !== "seek" && this.#state !== "seek-start";
  }

  /** Skips the bytes before the next FF. Returns where to continue. */
  #seek(chunk: Buffer, at: number): number {
    const found = chunk.indexOf(0xff, at);
    const end = found === -1 ? chunk.length : found + 1;
    this.#skippedBytes += end - at;
    this.#between += end - at;
    const text = chunk.toString("latin1", Math.max(at, end - BEFORE_LENGTH_MAX), end); // It ends with the FF of the frame.
    this.#before = (this.#before + text).slice(-BEFORE_LENGTH_MAX); // J4
    if (found !== -1) this.#state = "seek-start";
    return end;
  }

  /** J1 */
  #skipSegment(chunk: Buffer, at: number): number {
    const step = Math.min(this.#left, chunk.length - at);
    this.#left -= step;
    this.#endSegmentIfDone();
    return at + step;
  }

  /** Follows entropy-coded data to the next FF. */
  #scan(chunk: Buffer, at: number): number {
    const found = chunk.indexOf(0xff, at);
    if (found === -1) return chunk.length;
    this.#state = "scan-code";
    return found + 1;
  }

  #begin(): void {
    this.#state = "marker";
    this.#parts = [SOI_BYTES];
    this.#bytes = SOI_BYTES.length;
    this.#isOversized = false;
    this.#hasScan = false;
    if (this.#handlers.onBegin?.(this.#before) === true) this.#skippedBytes -= Math.max(0, this.#between - 1);
    this.#before = "";
    this.#between = 0;
  }

  /** J4. `last`: its bytes of this chunk. */
  #endOfFrame(last: Buffer): string {
    const end = last.length < BEFORE_LENGTH_MAX ? Buffer.concat([...this.#parts, last]) : last;
    return end.subarray(-BEFORE_LENGTH_MAX).toString("latin1");
  }

  #dropBroken(): void {
    this.#brokenFrames += 1;
    this.#handlers.onDropped?.("camera-frame-broken");
  }

  #endSegmentIfDone(): void {
    if (this.#left > 0) this.#state = "segment";
    else this.#state = this.#isScanHeader ? "scan" : "marker";
  }

  /** J2. The bytes of the frame that may contain the next one: its header, without its own start. */
  #breakOff(last: Buffer): Buffer | undefined {
    const isHeader = !this.#hasScan && !this.#isOversized && this.#bytes + last.length <= RESCAN_BYTES_MAX;
    const swallowed = isHeader ? Buffer.concat([...this.#parts.slice(1), last]) : undefined;
    this.#dropBroken();
    this.#parts = [];
    this.#bytes = 0;
    this.#state = "seek";
    return swallowed;
  }

  #end(chunk: Buffer, start: number, at: number): -1 {
    this.#keep(chunk.subarray(start, at + 1));
    const parts = this.#parts;
    const isOversized = this.#isOversized;
    this.#parts = [];
    this.#bytes = 0;
    this.#state = "seek";
    if (isOversized) {
      this.#oversizedFrames += 1;
      this.#handlers.onDropped?.("camera-frame-oversized");
    } else this.#onFrame(Buffer.concat(parts));
    return -1;
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#frameBytesMax) {
      this.#isOversized = true;
      this.#parts = [];
    }
    if (!this.#isOversized && part.length > 0) this.#parts.push(part);
  }
}

/** A camera's header is a few hundred bytes, with a thumbnail some 64 kB. */
const RESCAN_BYTES_MAX = 192 << 10;
const RESCANS_MAX = 8;
/** Only so much before a picture is searched for its multipart header. */
const BEFORE_LENGTH_MAX = 512;
const SOI_BYTES = Buffer.from([0xff, SOI]);
