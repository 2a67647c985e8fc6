/**
 * What a light device owes: as the agent's outbox, but in memory, so it ends with its process.
 *
 * B1. A record is forgotten once the broker has acknowledged it (G1), and sent again in its order on the next connection (G3).
 * B2. Bounded (G9): beyond `recordsMax` of a stream the oldest that has not left goes, and is counted.
 */
import type { UplinkStream } from "@tributary/contracts";

type Owed = { readonly payload: Uint8Array; isSent: boolean };
type Stream = { seq: bigint; readonly owed: Owed[] };

const WINDOW = 16;

export type Publish = (stream: UplinkStream, payload: Uint8Array, settled: (acked: boolean) => void) => void;

export class MemoryOutbox {
  readonly #publish: Publish;
  readonly #recordsMax: number;
  readonly #streams = new Map<UplinkStream, Stream>();
  #isOnline = false;
  dropped = 0;

  constructor(publish: Publish, recordsMax = 512) {
    this.#publish = publish;
    this.#recordsMax = recordsMax;
  }

  /** `form` makes the record's bytes from its number. */
  add(name: UplinkStream, form: (seq: bigint) => Uint8Array): void {
    const stream = this.#streams.get(name) ?? { seq: 0n, owed: [] };
    this.#streams.set(name, stream);
    if (stream.owed.length >= this.#recordsMax) {
      const at = stream.owed.findIndex(({ isSent }) => !isSent); // B2
      if (at < 0) return;
      stream.owed.splice(at, 1);
      this.dropped += 1;
    }
    stream.seq += 1n;
    stream.owed.push({ payload: form(stream.seq), isSent: false });
    this.#send(name, stream);
  }

  online(): void {
    this.#isOnline = true;
    for (const [name, stream] of this.#streams) {
      for (const one of stream.owed) one.isSent = false; // B1
      this.#send(name, stream);
    }
  }

  offline(): void {
    this.#isOnline = false;
  }

  #send(name: UplinkStream, stream: Stream): void {
    if (!this.#isOnline) return;
    for (const one of stream.owed.slice(0, WINDOW)) {
      if (one.isSent) continue;
      one.isSent = true;
      this.#publish(name, one.payload, (acked) => {
        if (!acked) return; // The next connection sends it again.
        const at = stream.owed.indexOf(one);
        if (at >= 0) stream.owed.splice(at, 1);
        this.#send(name, stream);
      });
    }
  }
}
