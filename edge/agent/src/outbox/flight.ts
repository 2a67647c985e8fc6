/**
 * What is between this device and the broker's acknowledgement: one window per stream, one connection at a time. Pure.
 *
 * W1. At most `windowRecords` of a stream and `windowBytes` in all are in flight; a single record always may be.
 * W2. After a new connection, resends of a stream come before anything new of it, in the order they left (G3).
 * W3. What a failed commit wanted to resend or send is neither in flight nor forgotten.
 * W4. An answer about an earlier connection changes nothing here.
 */
import type { UplinkStream } from "@tributary/contracts";
import type { OutboxLimits, RecordKey } from "./rows.ts";

const nameOf = (key: RecordKey): string => `${key.boot}/${key.seq}`;

export class Flight {
  readonly #limits: Pick<OutboxLimits, "windowRecords" | "windowBytes">;
  readonly #streams = new Map<UplinkStream, Map<string, number>>();
  #resend: RecordKey[] = [];
  /** Taken to be resent by the commit at hand. */
  #taken: RecordKey[] = [];
  #bytes = 0;
  #reserved = new Map<UplinkStream, number>();
  #reservedBytes = 0;
  online = false;
  epoch = 0;

  constructor(limits: Pick<OutboxLimits, "windowRecords" | "windowBytes">) {
    this.#limits = limits;
  }

  /** A connection came or went; `left` is everything that left before and is unacknowledged. */
  link(online: boolean, epoch: number, left: readonly RecordKey[]): void {
    this.online = online;
    this.epoch = epoch;
    this.#resend = [...left];
    this.#streams.clear();
    this.#bytes = 0;
    this.keep();
  }

  get resending(): boolean {
    return this.#resend.some(({ stream }) => this.#room(stream) > 0);
  }

  get unacked(): number {
    let count = this.#resend.length;
    for (const flying of this.#streams.values()) count += flying.size;
    return count;
  }

  /** The next record to resend whose stream has room. W2 */
  nextResend(): RecordKey | undefined {
    const index = this.#resend.findIndex(({ stream }) => this.#room(stream) > 0);
    const [key] = index === -1 ? [] : this.#resend.splice(index, 1);
    if (key !== undefined) this.#taken.push(key);
    return key;
  }

  /** Room for new records of a stream. W1, W2 */
  free(stream: UplinkStream): number {
    return this.#resend.some((key) => key.stream === stream) ? 0 : this.#room(stream);
  }

  /** Holds room for what leaves with the commit at hand. */
  reserve(stream: UplinkStream, bytes: number): void {
    this.#reserved.set(stream, (this.#reserved.get(stream) ?? 0) + 1);
    this.#reservedBytes += bytes;
  }

  /** The commit at hand went through: what it let leave is told with `sent`. */
  keep(): void {
    this.#taken = [];
    this.#reserved.clear();
    this.#reservedBytes = 0;
  }

  /** It failed. W3 */
  giveBack(): void {
    this.#resend = [...this.#taken, ...this.#resend];
    this.keep();
  }

  sent(key: RecordKey, bytes: number): void {
    let flying = this.#streams.get(key.stream);
    if (flying === undefined) {
      flying = new Map();
      this.#streams.set(key.stream, flying);
    }
    flying.set(nameOf(key), bytes);
    this.#bytes += bytes;
  }

  settle(key: RecordKey, epoch: number): void {
    if (epoch !== this.epoch) return; // W4
    const flying = this.#streams.get(key.stream);
    const bytes = flying?.get(nameOf(key));
    if (flying === undefined || bytes === undefined) return;
    flying.delete(nameOf(key));
    this.#bytes -= bytes;
  }

  halfEmpty(stream: UplinkStream): boolean {
    return this.online && (this.#streams.get(stream)?.size ?? 0) <= this.#limits.windowRecords / 2;
  }

  #room(stream: UplinkStream): number {
    const isFullOfBytes = this.#bytes + this.#reservedBytes >= this.#limits.windowBytes;
    if (!this.online || isFullOfBytes) return 0;
    const inFlight = (this.#streams.get(stream)?.size ?? 0) + (this.#reserved.get(stream) ?? 0);
    return Math.max(0, this.#limits.windowRecords - inFlight);
  }
}
