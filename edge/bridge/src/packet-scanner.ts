/** Finds where MQTT packets start in a stream of bytes, from their fixed headers alone. */

export const PUBLISH = 3;

export type PacketHeader = {
  /** MQTT control packet type, e.g. 1 CONNECT, 3 PUBLISH. */
  readonly type: number;
  /** The packet's first byte: its type and its flags. */
  readonly first: number;
  /** Bytes of the fixed header. */
  readonly headerBytes: number;
  /** Bytes that follow the fixed header. */
  readonly length: number;
};

/** Undefined where a length is not a number of at most four bytes; then nothing behind it can be trusted. */
export type Scanned = { readonly at: number; readonly header: PacketHeader | undefined };

export class PacketScanner {
  #first = -1;
  #headerBytes = 0;
  #length = 0;
  #multiplier = 1;
  #body = 0;
  #malformed = false;

  get isMalformed(): boolean {
    return this.#malformed;
  }

  /** Whether a packet has started and not ended. */
  get isInside(): boolean {
    return this.#headerBytes > 0 || this.#body > 0;
  }

  /** Bytes of a fixed header that has started and not ended. */
  get partialBytes(): number {
    return this.#headerBytes;
  }

  /** Reads on from `from`: to just behind the next fixed header, or to the end of the chunk. */
  scan(chunk: Uint8Array, from: number): Scanned {
    let at = from;
    for (;;) {
      const skipped = Math.min(this.#body, chunk.length - at);
      this.#body -= skipped;
      at += skipped;
      const byte = chunk[at];
      if (byte === undefined) return { at, header: undefined };
      at++;
      this.#headerBytes++;
      if (this.#headerBytes === 1) {
        this.#first = byte;
        this.#length = 0;
        this.#multiplier = 1;
        continue;
      }
      this.#length += (byte & 0x7f) * this.#multiplier;
      this.#multiplier *= 128;
      if (byte >= 0x80) {
        this.#malformed = this.#multiplier > 128 ** 3;
        if (this.#malformed) return { at, header: undefined };
        continue;
      }
      const header = {
        type: this.#first >> 4,
        first: this.#first,
        headerBytes: this.#headerBytes,
        length: this.#length,
      };
      this.#headerBytes = 0;
      this.#body = this.#length;
      return { at, header };
    }
  }
}
