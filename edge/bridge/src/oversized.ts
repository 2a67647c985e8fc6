/**
 * Handles a PUBLISH larger than the limit: its body is hashed as it arrives and not kept, and the broker gets a packet with the
 * same header and the first bytes of the payload. So it is acknowledged like any other, once its dead letter is stored (G8),
 * within its device's rates and with little memory.
 */
import { createHash } from "node:crypto";
import { CUT_BYTES, type Whole } from "@tributary/kafka";

/** MQTT's longest topic and its length, and a packet identifier. */
const VARIABLE_HEADER_BYTES_MAX = 2 + 65_535 + 2;
/** What is held of a body of any length. */
export const KEPT_BYTES_MAX = VARIABLE_HEADER_BYTES_MAX + CUT_BYTES;

export class OversizedPublish {
  readonly #first: number;
  readonly #length: number;
  readonly #kept: Buffer;
  readonly #hash = createHash("sha256");
  #bytes = 0;
  /** Where the payload starts; unknown until the topic's length is there. */
  #payloadAt: number | undefined;

  /** `first`: the packet's first byte, with its flags; `length`: the bytes behind its fixed header. */
  constructor(first: number, length: number) {
    this.#first = first;
    this.#length = length;
    this.#kept = Buffer.allocUnsafe(Math.min(length, KEPT_BYTES_MAX));
  }

  get bytesLeft(): number {
    return this.#length - this.#bytes;
  }

  /** Its topic is longer than it is. */
  get isMalformed(): boolean {
    return (this.#payloadAt ?? 0) > this.#length;
  }

  /** The next bytes of the body; at most `bytesLeft`. */
  take(part: Buffer): void {
    const from = this.#bytes;
    part.copy(this.#kept, from);
    this.#bytes += part.length;
    if (this.#payloadAt === undefined) {
      if (this.#bytes < 2) return;
      const hasPacketId = (this.#first & 0b0110) !== 0;
      this.#payloadAt = 2 + this.#kept.readUInt16BE(0) + (hasPacketId ? 2 : 0);
    }
    this.#hash.update(part.subarray(Math.max(0, this.#payloadAt - from)));
  }

  /** Once no bytes are left: the packet in its place, and its payload's length and digest. */
  end(): { readonly packet: Buffer; readonly whole: Whole } {
    const payloadAt = this.#payloadAt ?? 0;
    const body = this.#kept.subarray(0, payloadAt + CUT_BYTES);
    const whole = { bytes: this.#length - payloadAt, sha256: this.#hash.digest("hex") };
    return { packet: Buffer.concat([Buffer.from([this.#first, ...remainingLength(body.length)]), body]), whole };
  }
}

/** MQTT 3.1.1, 2.2.3. */
function remainingLength(length: number): number[] {
  const bytes: number[] = [];
  let rest = length;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}
