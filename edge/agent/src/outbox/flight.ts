/**
 * Records in flight: one window per stream, one connection at a time. Pure.
 *
 * At most `windowRecords` of a stream and `windowBytes` in all are in flight; a single record always may be. After a new
 * connection, resends of a stream come before new records of it, in the order of their first sending (G3). Records of a failed
 * commit are neither in flight nor forgotten. An acknowledgement of an earlier connection has no effect.
 *
 * W5. If the broker's PUBACK does not mean that Kafka has it (`confirmMs`), it frees the window only: the record is kept until
 *     Kafka's acknowledgement names it, and sent again when that does not arrive. While nothing at all is confirmed the wait
 *     doubles, up to PATIENCE_MAX times, and only the oldest of each stream is sent: Kafka is unavailable. The newest
 *     number of a boot and stream is less than SPAN_MAX ahead of the oldest unconfirmed one, so that a record sent again is
 *     always within what consumers remember of the stream (1,024): beyond it they would take it for a repeat, and lose it. */
import type { UplinkStream } from "@tributary/contracts";
import type { OutboxLimits, RecordKey, SeqRange } from "./rows.ts";

type FlightLimits = Pick<OutboxLimits, "windowRecords" | "windowBytes" | "confirmMs">;
type Flying = { readonly key: RecordKey; readonly bytes: number };
type Held = { readonly key: RecordKey; readonly sinceMs: number };

export const SPAN_MAX = 512;
const PATIENCE_MAX = 16;

const nameOf = (key: RecordKey): string => `${key.boot}/${key.stream}/${key.seq}`;

export class Flight {
  readonly #limits: FlightLimits;
  readonly #streams = new Map<UplinkStream, Map<string, Flying>>();
  /** Records that the broker acknowledged, the oldest first. */
  readonly #held = new Map<string, Held>();
  /** The newest number given, by stream and boot. */
  readonly #newest = new Map<UplinkStream, Map<number, number>>();
  #patience = 1;
  #remindedMs = 0;
  #resend: RecordKey[] = [];
  /** Taken to be resent by the current commit. */
  #taken: RecordKey[] = [];
  #bytes = 0;
  #reserved = new Map<UplinkStream, number>();
  #reservedBytes = 0;
  online = false;
  epoch = 0;

  constructor(limits: FlightLimits) {
    this.#limits = limits;
  }

  /** The newest numbers that were given before this process. */
  numbered(newest: readonly RecordKey[]): void {
    for (const key of newest) this.#number(key);
  }

  /** A connection started or ended; `left` are all earlier records without an acknowledgement. */
  link(online: boolean, epoch: number, left: readonly RecordKey[]): void {
    this.online = online;
    this.epoch = epoch;
    this.#resend = [...left];
    this.#streams.clear();
    this.#held.clear();
    this.#patience = 1;
    this.#bytes = 0;
    this.keep();
  }

  get resending(): boolean {
    return this.#resend.some(({ stream }) => this.#room(stream) > 0);
  }

  get unacked(): number {
    let count = this.#resend.length + this.#held.size;
    for (const flying of this.#streams.values()) count += flying.size;
    return count;
  }

  /** The next record to resend whose stream has room. */
  nextResend(): RecordKey | undefined {
    const index = this.#resend.findIndex(({ stream }) => this.#room(stream) > 0);
    const [key] = index === -1 ? [] : this.#resend.splice(index, 1);
    if (key !== undefined) this.#taken.push(key);
    return key;
  }

  /** Room for new records of a stream. */
  free(stream: UplinkStream): number {
    if (this.#resend.some((key) => key.stream === stream)) return 0;
    const room = this.#room(stream);
    if (room === 0 || this.#limits.confirmMs === null) return room;
    return Math.max(0, Math.min(room, SPAN_MAX - this.#span(stream) - (this.#reserved.get(stream) ?? 0)));
  }

  /** Reserves room for the records of the current commit. */
  reserve(stream: UplinkStream, bytes: number): void {
    this.#reserved.set(stream, (this.#reserved.get(stream) ?? 0) + 1);
    this.#reservedBytes += bytes;
  }

  /** The current commit succeeded: its records are reported with `sent`. */
  keep(): void {
    this.#taken = [];
    this.#reserved.clear();
    this.#reservedBytes = 0;
  }

  /** It failed. */
  restore(): void {
    this.#resend = [...this.#taken, ...this.#resend];
    this.keep();
  }

  sent(key: RecordKey, bytes: number): void {
    let flying = this.#streams.get(key.stream);
    if (flying === undefined) {
      flying = new Map();
      this.#streams.set(key.stream, flying);
    }
    flying.set(nameOf(key), { key, bytes });
    this.#number(key);
    this.#bytes += bytes;
  }

  /** The broker answered. */
  settle(key: RecordKey, epoch: number, nowMs: number): void {
    if (epoch !== this.epoch || !this.#land(key)) return;
    if (this.#limits.confirmMs !== null) this.#held.set(nameOf(key), { key, sinceMs: nowMs });
  }

  /** Kafka has these: returns those that were in flight, which are removed. */
  confirm(boot: number, stream: UplinkStream, ranges: readonly SeqRange[]): readonly RecordKey[] {
    const isNamed = (key: RecordKey) =>
      key.boot === boot &&
      key.stream === stream &&
      ranges.some(({ first, last }) => first <= key.seq && key.seq <= last);
    const flying = [...(this.#streams.get(stream)?.values() ?? [])].map(({ key }) => key).filter(isNamed);
    const held = [...this.#held.values()].map(({ key }) => key).filter(isNamed);
    const waiting = this.#resend.filter(isNamed);
    for (const key of flying) this.#land(key);
    for (const key of held) this.#held.delete(nameOf(key));
    if (waiting.length > 0) this.#resend = this.#resend.filter((key) => !isNamed(key));
    const confirmed = [...flying, ...held, ...waiting];
    if (confirmed.length > 0) this.#patience = 1;
    return confirmed;
  }

  /** Records without a confirmation for too long are to be sent again. */
  remind(nowMs: number): void {
    const { confirmMs } = this.#limits;
    if (confirmMs === null || !this.online) return;
    const isSilent = this.#patience > 1;
    if (isSilent && nowMs - this.#remindedMs < confirmMs * this.#patience) return;
    const asking = new Set<UplinkStream>();
    const due: RecordKey[] = [];
    for (const { key, sinceMs } of this.#held.values()) {
      if (nowMs - sinceMs < confirmMs * this.#patience) break;
      if (!isSilent || !asking.has(key.stream)) due.push(key);
      asking.add(key.stream);
    }
    if (due.length === 0) return;
    this.#remindedMs = nowMs;
    for (const key of due) this.#held.delete(nameOf(key));
    this.#resend.push(...due);
    this.#patience = Math.min(this.#patience * 2, PATIENCE_MAX);
  }

  halfEmpty(stream: UplinkStream): boolean {
    return this.online && (this.#streams.get(stream)?.size ?? 0) <= this.#limits.windowRecords / 2;
  }

  #land(key: RecordKey): boolean {
    const flying = this.#streams.get(key.stream);
    const bytes = flying?.get(nameOf(key))?.bytes;
    if (flying === undefined || bytes === undefined) return false;
    flying.delete(nameOf(key));
    this.#bytes -= bytes;
    return true;
  }

  #number({ boot, stream, seq }: RecordKey): void {
    const boots = this.#newest.get(stream) ?? new Map<number, number>();
    this.#newest.set(stream, boots.set(boot, Math.max(boots.get(boot) ?? 0, seq)));
  }

  /** The widest of any boot's. */
  #span(stream: UplinkStream): number {
    const newest = this.#newest.get(stream);
    let widest = 0;
    const see = ({ boot, seq }: RecordKey) => {
      widest = Math.max(widest, (newest?.get(boot) ?? seq) - seq + 1);
    };
    for (const { key } of this.#streams.get(stream)?.values() ?? []) see(key);
    for (const { key } of this.#held.values()) if (key.stream === stream) see(key);
    for (const key of this.#taken) if (key.stream === stream) see(key);
    return widest;
  }

  #room(stream: UplinkStream): number {
    const isFullOfBytes = this.#bytes + this.#reservedBytes >= this.#limits.windowBytes;
    if (!this.online || isFullOfBytes) return 0;
    const inFlight = (this.#streams.get(stream)?.size ?? 0) + (this.#reserved.get(stream) ?? 0);
    return Math.max(0, this.#limits.windowRecords - inFlight);
  }
}
