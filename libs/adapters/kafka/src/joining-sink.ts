/**
 * Joins concurrent sends into few requests, and keeps their order also during outages of Kafka.
 *
 * S1. One request is in flight; sends meanwhile form the next. Hence order per key is the order of `send` calls, and a busy
 *     sink batches by itself.
 * S2. A send resolves only when all its records are stored by all in-sync replicas (G1).
 * S3. When Kafka is unavailable for longer than the client's retries, the send in flight and every send queued behind it are
 *     rejected together: none may overtake a rejected one. A caller repeats rejected records before later ones of a key.
 * S4. Pending bytes are bounded (G9): a send beyond the bound is rejected at once. Callers that can wait look at
 *     `pendingBytes` and `drained`.
 * S5. A record that Kafka refuses permanently rejects only its own send.
 * S6. An idle sink lingers: no send waits longer than `lingerMsMax` for others, the time behind a request in flight included,
 *     and a full request leaves at once. A request costs Kafka and its client several times as much as a record.
 */
import { type Clock, Failure, reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { producerRenewed, recordsSent, sendFailed } from "./events.ts";
import type { OutRecord, Position, RecordSink, SchemaIds } from "./ports.ts";

/** A vendor's producer: idempotent, acks=all, Java's murmur2. Rejects with a Failure. */
export interface ProducerClient {
  readonly name: string;
  produce(records: readonly OutRecord[]): Promise<readonly Position[]>;
  /** Discards the present producer, whatever it is doing; the next `produce` starts a new one. */
  renew(): Promise<void>;
  close(): Promise<void>;
}

export type JoiningSinkOptions = {
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
  /** One request's records; below Kafka's default limit of a batch per partition. */
  readonly batchBytesMax?: number;
  /** The largest record; the topics' max.message.bytes less headers. */
  readonly recordBytesMax?: number;
  readonly pendingBytesMax?: number;
  /** How long a send may wait for others to share its request; 0, the default, for callers that send batches. */
  readonly lingerMsMax?: number;
  /** How long one request may take, all the client's retries included. */
  readonly deliveryMsMax?: number;
  readonly schemaIds?: SchemaIds | undefined;
};

/** The producer's state and the broker's do not agree and a new producer is needed (Kafka's errors 45, 47, 59, 90). */
export const PRODUCER_STATE_LOST = "kafka-producer-state-lost";
export const SINK_CLOSED = "kafka-sink-closed";
export const SINK_FULL = "kafka-sink-full";
export const UNAVAILABLE = "kafka-unavailable";
export const RECORD_OVERSIZED = "kafka-record-oversized";

const RENEWALS_MAX = 5;
const CLOSE_MS_MAX = 1_000;

type Send = {
  readonly records: readonly OutRecord[];
  readonly bytes: number;
  readonly resolve: (positions: readonly Position[]) => void;
  readonly reject: (failure: Failure) => void;
};

export class JoiningSink implements RecordSink {
  readonly #client: ProducerClient;
  readonly #telemetry: Telemetry | undefined;
  readonly #clock: Clock;
  readonly #batchBytesMax: number;
  readonly #recordBytesMax: number;
  readonly #pendingBytesMax: number;
  readonly #lingerMsMax: number;
  readonly #deliveryMsMax: number;
  readonly #schemaIds: SchemaIds | undefined;
  #queue: Send[] = [];
  #queuedBytes = 0;
  /** When the queue's first send came. */
  #queuedAtMs = 0;
  #endLinger: (() => void) | undefined;
  #pendingBytes = 0;
  #pumping: Promise<void> | undefined;
  #waiting: { readonly below: number; readonly resolve: () => void }[] = [];
  #closed = false;

  constructor(client: ProducerClient, options: JoiningSinkOptions = {}) {
    this.#client = client;
    this.#telemetry = options.telemetry;
    this.#clock = options.clock ?? systemClock;
    this.#batchBytesMax = options.batchBytesMax ?? 900_000;
    this.#recordBytesMax = options.recordBytesMax ?? 4 * 1024 * 1024;
    this.#pendingBytesMax = options.pendingBytesMax ?? 64 * 1024 * 1024;
    this.#lingerMsMax = options.lingerMsMax ?? 0;
    this.#deliveryMsMax = options.deliveryMsMax ?? 60_000;
    this.#schemaIds = options.schemaIds;
  }

  /** Bytes accepted and not yet settled. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Resolves once at most `bytes` are pending: backpressure for callers that can make their own source wait. */
  drained(bytes = Math.floor(this.#pendingBytesMax / 2)): Promise<void> {
    if (this.#pendingBytes <= bytes) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ below: bytes, resolve }));
  }

  send(records: readonly OutRecord[]): Promise<readonly Position[]> {
    if (records.length === 0) return Promise.resolve([]);
    let bytes = 0;
    for (const record of records) {
      const size = sizeOf(record);
      if (size > this.#recordBytesMax) {
        const what = `a record of ${size} bytes for ${record.topic}, key ${record.key}; at most ${this.#recordBytesMax}`;
        return Promise.reject(new Failure(RECORD_OVERSIZED, "give-up", what));
      }
      bytes += size;
    }
    if (this.#closed) return Promise.reject(new Failure(SINK_CLOSED, "give-up", "the Kafka sink is closed"));
    if (this.#pendingBytes > 0 && this.#pendingBytes + bytes > this.#pendingBytesMax) {
      const what = `${this.#pendingBytes} bytes wait for Kafka; at most ${this.#pendingBytesMax} may`;
      return Promise.reject(new Failure(SINK_FULL, "retry", what));
    }
    this.#pendingBytes += bytes;
    return new Promise((resolve, reject) => {
      if (this.#queue.length === 0 && this.#lingerMsMax > 0) this.#queuedAtMs = this.#clock.monotonicMs();
      this.#queue.push({ records, bytes, resolve, reject });
      this.#queuedBytes += bytes;
      if (this.#isFull) this.#endLinger?.();
      this.#pumping ??= this.#pump();
    });
  }

  /** Waits for pending sends, at most as long as one delivery may take. Later sends are rejected. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endLinger?.();
    await this.#pumping;
    await this.#briefly(this.#client.close());
  }

  async #pump(): Promise<void> {
    await Promise.resolve(); // sends of the same turn go together
    while (this.#queue.length > 0) {
      await this.#linger();
      await this.#deliver(this.#takeBatch());
    }
    this.#pumping = undefined;
  }

  get #isFull(): boolean {
    return this.#queuedBytes >= this.#batchBytesMax;
  }

  async #linger(): Promise<void> {
    if (this.#lingerMsMax === 0) return;
    const remainsMs = this.#queuedAtMs + this.#lingerMsMax - this.#clock.monotonicMs();
    if (remainsMs <= 0 || this.#isFull || this.#closed) return;
    const stop = new AbortController();
    this.#endLinger = () => stop.abort(OVER);
    await this.#clock.sleep(remainsMs, stop.signal).catch(() => {});
    this.#endLinger = undefined;
  }

  #takeBatch(): Send[] {
    let bytes = 0;
    let count = 0;
    for (const send of this.#queue) {
      if (count > 0 && bytes + send.bytes > this.#batchBytesMax) break;
      bytes += send.bytes;
      count++;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  /** Returns the failure that every send behind must share, if there is one. */
  async #deliver(batch: readonly Send[]): Promise<Failure | undefined> {
    try {
      const bytes = batch.reduce((sum, send) => sum + send.bytes, 0);
      const records = batch.flatMap((send) => send.records);
      const positions = await this.#produce(records, bytes);
      let at = 0;
      for (const send of batch) {
        send.resolve(positions.slice(at, at + send.records.length));
        at += send.records.length;
        this.#settle(send);
      }
    } catch (error) {
      const failure = asFailure(error);
      if (failure.advice === "retry") {
        await this.#renew();
        this.#queuedBytes = 0;
        this.#reject([...batch, ...this.#queue.splice(0)], failure);
        return failure;
      }
      if (batch.length === 1) {
        this.#reject(batch, failure);
        return undefined;
      }
      for (const [i, send] of batch.entries()) {
        const away = await this.#deliver([send]); // S5: find the one
        if (away === undefined) continue;
        this.#reject(batch.slice(i + 1), away);
        return away;
      }
    }
    return undefined;
  }

  async #produce(records: readonly OutRecord[], bytes: number): Promise<readonly Position[]> {
    const startedAt = this.#clock.monotonicMs();
    const ids = this.#schemaIds;
    const framed = ids === undefined ? records : records.map((record) => withKafkasIds(record, ids));
    for (let renewals = 0; ; renewals++) {
      try {
        const positions = await this.#bounded(this.#client.produce(framed), startedAt);
        const ms = this.#clock.monotonicMs() - startedAt;
        this.#telemetry?.emit(recordsSent, { client: this.#client.name, records: records.length, bytes, ms });
        return positions;
      } catch (error) {
        const failure = asFailure(error);
        if (failure.code !== PRODUCER_STATE_LOST || renewals >= RENEWALS_MAX) throw failure;
        const { code, message: reason } = failure;
        this.#telemetry?.emit(producerRenewed, { client: this.#client.name, code, reason });
        await this.#renew();
      }
    }
  }

  #renew(): Promise<void> {
    return this.#briefly(this.#client.renew());
  }

  /** Closing waits no longer than this: the connection may be the very thing that hangs. */
  async #briefly(closing: Promise<void>): Promise<void> {
    const stop = new AbortController();
    const enough = this.#clock.sleep(CLOSE_MS_MAX, stop.signal).catch(() => {});
    await Promise.race([closing.catch(() => {}), enough]);
    stop.abort(OVER);
  }

  /** The client bounds its retries by count; this bounds them by time, should it hang. */
  #bounded<T>(work: Promise<T>, startedAt: number): Promise<T> {
    const stop = new AbortController();
    const remains = Math.max(1, startedAt + this.#deliveryMsMax - this.#clock.monotonicMs());
    const late = this.#clock.sleep(remains, stop.signal).then(() => {
      throw new Failure(UNAVAILABLE, "retry", `Kafka did not acknowledge within ${this.#deliveryMsMax} ms`);
    });
    late.catch(() => {});
    work.catch(() => {});
    return Promise.race([work, late]).finally(() => stop.abort(OVER));
  }

  #reject(sends: readonly Send[], failure: Failure): void {
    const { code, message: reason } = failure;
    this.#telemetry?.emit(sendFailed, { client: this.#client.name, code, sends: sends.length, reason });
    for (const send of sends) {
      send.reject(failure);
      this.#settle(send);
    }
  }

  #settle(send: Send): void {
    this.#pendingBytes -= send.bytes;
    if (this.#waiting.length === 0) return;
    const ready = this.#waiting.filter((waiter) => this.#pendingBytes <= waiter.below);
    this.#waiting = this.#waiting.filter((waiter) => !ready.includes(waiter));
    for (const waiter of ready) waiter.resolve();
  }
}

/** Why a sleep ends early. A reason of our own: without one, each abort makes an exception with its stack. */
const OVER = "over";

export const withKafkasIds = (record: OutRecord, ids: SchemaIds | undefined): OutRecord =>
  ids === undefined || record.value === null ? record : { ...record, value: ids.toKafka(record.topic, record.value) };

const RECORD_OVERHEAD_BYTES = 64;

export function sizeOf(record: OutRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + record.key.length + (record.value?.length ?? 0);
  const { headers } = record;
  for (const name in headers) bytes += name.length + (headers[name] as string).length + 4;
  return bytes;
}

export const asFailure = (error: unknown): Failure =>
  error instanceof Failure ? error : new Failure(UNAVAILABLE, "retry", reasonOf(error), { cause: error });
