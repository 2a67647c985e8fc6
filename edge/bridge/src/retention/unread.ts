/**
 * The bytes of one partition that its readers have not read, and which devices may add to them: pure.
 *
 * Readings of Kafka come every moment and may be late; between them the bytes of our own records are counted exactly, and those of
 * other writers are extrapolated. While a partition is `open` every device may write; while it is `scarce` those that have more
 * than their share of its unread bytes may not; while it is `closed` nobody may.
 *
 * N1. Unread bytes are overestimated rather than underestimated: readers count as far as the last reading whose offset they have
 *     passed, and records in flight count twice rather than not at all. What bridges do not see of each other between two readings
 *     has to fit into the fifth of `retention.bytes` that a closed partition leaves.
 * N2. A level is left at fewer unread bytes than it is entered, and a device resumes with less than it was stopped with.
 * N3. A device below its share is refused only where everybody is. Its share does not grow because the others are silent.
 * N4. Everything is bounded (G9): readings are merged, and silent devices are forgotten. */
export type Level = "open" | "scarce" | "closed";

export type UnreadReading = {
  readonly start: bigint;
  readonly end: bigint;
  /** Undefined if the readers never committed: they begin at the start. */
  readonly committed: bigint | undefined;
  /** Undefined where Kafka does not let us ask. */
  readonly bytes: number | undefined;
  /** Kafka keeps as many of the newest bytes; infinite without a bound. */
  readonly retentionBytes: number;
};

/** Parts of `retention.bytes`. */
const SCARCE = { from: 0.5, until: 0.35 };
const CLOSED = { from: 0.8, until: 0.65 };
/** So many devices share a partition at least: one that is alone there must not be all that is kept. */
const SHARES_MIN = 4;
/** Part of its share with which a device may resume. */
const RESUMED = 0.5;
const DEVICE_ACTIVE_MS = 600_000;
const READINGS_MAX = 64;
/** Bytes of records that stand where a restarted bridge cannot see them may be so many times the mean. */
const UNSEEN_FACTOR = 2;
/** Part of the others' rate that counts a reading later: they come in bursts. */
const OTHERS_REMEMBERED = 0.9;
/** Of a record, where nothing is known of any. */
const RECORD_BYTES_UNKNOWN = 64 * 1_024;

/** As many bytes were written before this offset; `own` are those of our devices' records that came behind it. */
type Mark = { readonly offset: bigint; bytes: number; readonly own: Map<string, number> };
type Writer = { unreadBytes: number; activeAtMs: number };

export class PartitionUnread {
  readonly #writers = new Map<string, Writer>();
  /** Oldest first; the first is at or before what is committed. */
  #marks: Mark[] = [];
  #retentionBytes = Number.POSITIVE_INFINITY;
  #level: Level = "open";
  #end = 0n;
  #start = 0n;
  /** As Kafka reported it last. */
  #size: number | undefined;
  #readAtMs = 0;
  #inFlight = 0;
  /** Own bytes since the last reading began, with those in flight then. */
  #own = 0;
  /** The same of the reading under way. */
  #ownNext = 0;
  #othersPerMs = 0;

  get level(): Level {
    return this.#level;
  }

  get retentionBytes(): number {
    return this.#retentionBytes;
  }

  /** A reading begins: what is in flight may be in it, or not (N1). */
  begin(): void {
    this.#ownNext = this.#inFlight;
  }

  observe(reading: UnreadReading, nowMs: number): void {
    const committed = clamp(reading.committed ?? reading.start, reading.start, reading.end);
    this.#retentionBytes = reading.retentionBytes;
    if (this.#marks.length === 0) this.#begin(reading, committed);
    else this.#append(reading, nowMs);
    this.#start = reading.start;
    this.#end = reading.end;
    this.#size = reading.bytes;
    this.#readAtMs = nowMs;
    this.#own = this.#ownNext;
    this.#forgetRead(committed);
    this.#forgetSilent(nowMs);
    this.#turn(this.unreadBytes(nowMs));
  }

  /** Takes the record into the account, or refuses it. `settled` follows once Kafka has it or does not take it. */
  admit(deviceId: string, bytes: number, nowMs: number): boolean {
    const writer = this.#writer(deviceId, nowMs);
    const unread = this.unreadBytes(nowMs);
    this.#turn(unread);
    if (!this.#isEmpty && !this.#fits(writer, unread, bytes)) return false; // a record of any size passes an empty partition
    writer.unreadBytes += bytes;
    const own = this.#marks.at(-1)?.own;
    own?.set(deviceId, (own.get(deviceId) ?? 0) + bytes);
    this.#inFlight += bytes;
    this.#own += bytes;
    this.#ownNext += bytes;
    return true;
  }

  #fits(writer: Writer, unread: number, bytes: number): boolean {
    if (this.#level === "closed") return false;
    const isModest = writer.unreadBytes === 0 || writer.unreadBytes + bytes <= this.#shareBytes;
    const isScarce = this.#level === "scarce" || unread + bytes > SCARCE.from * this.#retentionBytes;
    if (isScarce && !isModest) {
      this.#level = "scarce"; // N3: before its record closes the partition to others
      return false;
    }
    this.#turn(unread + bytes);
    return (this.#level as Level) !== "closed";
  }

  settled(bytes: number): void {
    this.#inFlight -= bytes;
  }

  /** Whether a device that was refused may send again (N2). */
  mayResume(deviceId: string, nowMs: number): boolean {
    this.#turn(this.unreadBytes(nowMs));
    if (this.#level !== "scarce") return this.#level === "open";
    return (this.#writers.get(deviceId)?.unreadBytes ?? 0) <= this.#shareBytes * RESUMED;
  }

  unreadBytes(nowMs: number): number {
    const [first, last] = [this.#marks[0], this.#marks.at(-1)];
    if (first === undefined || last === undefined) return 0;
    return last.bytes - first.bytes + this.#own + this.#othersPerMs * Math.max(0, nowMs - this.#readAtMs);
  }

  get #isEmpty(): boolean {
    return this.#own === 0 && this.#marks.at(-1)?.bytes === this.#marks[0]?.bytes;
  }

  get #shareBytes(): number {
    return (CLOSED.from * this.#retentionBytes) / Math.max(SHARES_MIN, this.#writers.size);
  }

  /** Of what was written before this process started, the bytes behind an offset can only be estimated. */
  #begin({ start, end, bytes }: UnreadReading, committed: bigint): void {
    const [records, unread] = [Number(end - start), Number(end - committed)];
    const size = bytes ?? records * RECORD_BYTES_UNKNOWN;
    const unreadBytes = records === 0 ? 0 : Math.min(size, (UNSEEN_FACTOR * size * unread) / records);
    this.#marks.push({ offset: committed, bytes: size - unreadBytes, own: new Map() });
    if (end > committed) this.#marks.push({ offset: end, bytes: size, own: new Map() });
  }

  #append(reading: UnreadReading, nowMs: number): void {
    const last = this.#marks.at(-1) as Mark;
    // What was admitted while the last reading was made may be in that or in this one: others' part is never overestimated by it.
    const grown = this.#grown(reading, Math.max(0, this.#own - this.#ownNext));
    const elapsedMs = Math.max(1, nowMs - this.#readAtMs);
    this.#othersPerMs = Math.max(Math.max(0, grown - this.#own) / elapsedMs, this.#othersPerMs * OTHERS_REMEMBERED);
    // A size is read before its end: what it lacked comes with the next, also if there is no new record then.
    if (reading.end > last.offset) this.#marks.push({ offset: reading.end, bytes: last.bytes + grown, own: new Map() });
    else last.bytes += grown;
    if (this.#marks.length > READINGS_MAX) this.#merge();
  }

  /** Bytes written since the reading before. Once segments were deleted the size does not say it. */
  #grown({ start, end, bytes }: UnreadReading, own: number): number {
    const size = this.#size;
    if (bytes !== undefined && size !== undefined && start === this.#start) return Math.max(0, bytes - size);
    const records = Number(end - start);
    const mean = bytes !== undefined && records > 0 ? bytes / records : RECORD_BYTES_UNKNOWN;
    return Math.max(own, Number(end - this.#end) * mean);
  }

  /** N1, N4: every other mark goes; what is read is then rounded to the one before. */
  #merge(): void {
    const merged: Mark[] = [];
    for (const [i, mark] of this.#marks.entries()) {
      const before = merged.at(-1);
      if (before === undefined || i % 2 === 0 || i === this.#marks.length - 1) merged.push(mark);
      else for (const [deviceId, bytes] of mark.own) before.own.set(deviceId, (before.own.get(deviceId) ?? 0) + bytes);
    }
    this.#marks = merged;
  }

  #forgetRead(committed: bigint): void {
    for (let next = this.#marks[1]; next !== undefined && next.offset <= committed; next = this.#marks[1]) {
      for (const [deviceId, bytes] of this.#marks.shift()?.own ?? []) {
        const writer = this.#writers.get(deviceId);
        if (writer !== undefined) writer.unreadBytes = Math.max(0, writer.unreadBytes - bytes);
      }
    }
  }

  #forgetSilent(nowMs: number): void {
    for (const [deviceId, { unreadBytes, activeAtMs }] of this.#writers) {
      if (unreadBytes === 0 && nowMs - activeAtMs > DEVICE_ACTIVE_MS) this.#writers.delete(deviceId);
    }
  }

  #writer(deviceId: string, nowMs: number): Writer {
    const writer = this.#writers.get(deviceId) ?? { unreadBytes: 0, activeAtMs: nowMs };
    this.#writers.set(deviceId, writer);
    writer.activeAtMs = nowMs;
    return writer;
  }

  /** N2 */
  #turn(unreadBytes: number): void {
    const part = Number.isFinite(this.#retentionBytes) ? unreadBytes / this.#retentionBytes : 0;
    if (part > CLOSED.from || (this.#level === "closed" && part > CLOSED.until)) this.#level = "closed";
    else if (part > SCARCE.from || (this.#level !== "open" && part > SCARCE.until)) this.#level = "scarce";
    else this.#level = "open";
  }
}

const clamp = (value: bigint, min: bigint, max: bigint): bigint => (value < min ? min : value > max ? max : value);
