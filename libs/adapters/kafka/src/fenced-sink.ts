/**
 * A sink for the owner of partitions: Kafka refuses the records of a former owner, whenever they arrive.
 *
 * `claim` makes a writer for one partition number; `send` stores records in partitions of that number. Any error ends the
 * writer, as it no longer knows what is stored: claim again, read the partition, continue.
 *
 * A send resolves when all its records are stored by all in-sync replicas, each once: sequence numbers let Kafka recognise
 * repeated batches.
 *
 * F1. Nothing that an earlier writer of the partition number sent is stored in a fenced topic after `claim` resolved, in this
 *     process or in another (producer-epochs.ts).
 * F2. A record enters only while the lease is held, and is not sent, or sent again, once it is not (lease.ts).
 * F4. One request per broker is in flight and carries the records of all writers; a partition that is refused or has no leader
 *     ends or delays its own writer only. A send is given up after `deliveryMsMax` (G9). */
import {
  compatibilityPartitioner,
  createRecordsBatch,
  type MessageRecord,
  NumericMap,
  produceV9,
  type ResponseError,
  Writer,
} from "@platformatic/kafka";
import { type Clock, Failure, reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { Cluster } from "./cluster.ts";
import { partitionClaimed, recordsSent, sendFailed } from "./events.ts";
import { RECORD_OVERSIZED, SINK_CLOSED, sizeOf, UNAVAILABLE, withKafkasIds } from "./joining-sink.ts";
import type { Lease } from "./lease.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import type { FencedWriter, OutRecord, Position } from "./ports.ts";
import { claimEpoch, FENCED, type ProducerEpoch } from "./producer-epochs.ts";

export type FencedSinkOptions = KafkaConnection & {
  /** Whose owners these are; part of the transactional ids, without the prefix. */
  readonly group: string;
  /** Topics whose partitions a claim fences, without the prefix. */
  readonly topics: readonly string[];
  readonly lease: Lease;
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
  readonly deliveryMsMax?: number;
};

/** The process no longer holds its lease on the partition. */
export const LEASE_LOST = "kafka-lease-lost";

const CLIENT = "fenced";
const REQUEST_TIMEOUT_MS = 10_000;
const DELIVERY_MS_MAX = 60_000;
/** Below Kafka's default limit of a batch. */
const BATCH_BYTES_MAX = 900_000;
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;
const RETRY_MS = { min: 50, max: 1_000 };
const PRODUCE = { apiKey: 0, version: 9 };

/** Kafka's error codes by their consequence. All others are retried. */
const FENCING_CODES = new Map([
  [45, "OUT_OF_ORDER_SEQUENCE_NUMBER"],
  [46, "DUPLICATE_SEQUENCE_NUMBER"],
  [47, "INVALID_PRODUCER_EPOCH"],
  [48, "INVALID_TXN_STATE"],
  [49, "INVALID_PRODUCER_ID_MAPPING"],
  [59, "UNKNOWN_PRODUCER_ID"],
  [90, "PRODUCER_FENCED"],
]);
const REFUSING_CODES = new Map([
  [2, "CORRUPT_MESSAGE"],
  [10, "MESSAGE_TOO_LARGE"],
  [18, "RECORD_LIST_TOO_LARGE"],
  [29, "TOPIC_AUTHORIZATION_FAILED"],
  [32, "INVALID_TIMESTAMP"],
  [87, "INVALID_RECORD"],
]);

/** Records of one send for one partition: one batch, of which Kafka stores all or nothing. */
type Part = {
  readonly writer: PartitionWriter;
  readonly topic: string;
  readonly messages: MessageRecord[];
  readonly bytes: number;
  readonly firstSequence: number;
  readonly givesUpAtMs: number;
  readonly stored: PromiseWithResolvers<bigint>;
  attempts: number;
};

export class FencedSink {
  readonly #options: FencedSinkOptions;
  readonly #clock: Clock;
  readonly #cluster: Cluster;
  readonly #queues = new Map<number, Part[]>();
  readonly #sending = new Set<number>();
  readonly #stop = new AbortController();

  constructor(options: FencedSinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { clientId, brokers } = options;
    this.#cluster = new Cluster({ clientId, brokers, requestTimeoutMs: REQUEST_TIMEOUT_MS });
  }

  /** Fences earlier writers of this partition number. Rejects with a Failure. */
  async claim(partition: number, signal: AbortSignal): Promise<FencedWriter> {
    const { prefix, group, topics, lease, telemetry } = this.#options;
    if (!lease.isHeld) throw leaseLost(partition);
    const startedAtMs = this.#clock.monotonicMs();
    const transactionalId = `${prefix}${group}-${partition}`;
    const claimed = { transactionalId, topics: topics.map((topic) => prefix + topic), partition };
    const epoch = await claimEpoch(this.#cluster, claimed, this.#clock, AbortSignal.any([signal, this.#stop.signal]));
    // A process that lost the partition while claiming it has fenced the new owner, which claims again; it must not start to write.
    if (!lease.isHeld) throw leaseLost(partition);
    const ms = this.#clock.monotonicMs() - startedAtMs;
    telemetry?.emit(partitionClaimed, { group, partition, epoch: epoch.producerEpoch, ms });
    return new PartitionWriter(partition, epoch, (writer, records) => this.#send(writer, records));
  }

  async close(): Promise<void> {
    this.#stop.abort(new Failure(SINK_CLOSED, "give-up", "the Kafka sink is closed"));
    await this.#cluster.close();
  }

  async #send(writer: PartitionWriter, records: readonly OutRecord[]): Promise<readonly Position[]> {
    if (records.length === 0) return [];
    const { telemetry, schemaIds } = this.#options;
    const startedAtMs = this.#clock.monotonicMs();
    try {
      const framed = records.map((record) => withKafkasIds(record, schemaIds));
      const parts = await this.#parts(writer, framed);
      const offsets = new Map<OutRecord, bigint>();
      const stored = parts.map(async ({ part, of }) => {
        const base = await part.stored.promise;
        for (const [i, record] of of.entries()) offsets.set(record, base + BigInt(i));
      });
      for (const { part } of parts) await this.#enqueue(part);
      await Promise.all(stored);
      const bytes = parts.reduce((sum, { part }) => sum + part.bytes, 0);
      telemetry?.emit(recordsSent, {
        client: CLIENT,
        records: records.length,
        bytes,
        ms: this.#clock.monotonicMs() - startedAtMs,
      });
      return framed.map((record) => ({
        topic: record.topic,
        partition: writer.partition,
        offset: offsets.get(record) ?? -1n,
      }));
    } catch (error) {
      const failure =
        error instanceof Failure ? error : new Failure(UNAVAILABLE, "retry", reasonOf(error), { cause: error });
      writer.end(failure);
      const { code, message: reason } = failure;
      telemetry?.emit(sendFailed, { client: CLIENT, code, sends: 1, reason });
      throw failure;
    }
  }

  /** One part per topic, or several of a topic whose records exceed a batch. */
  async #parts(
    writer: PartitionWriter,
    records: readonly OutRecord[],
  ): Promise<{ readonly part: Part; readonly of: readonly OutRecord[] }[]> {
    const givesUpAtMs = this.#clock.monotonicMs() + (this.#options.deliveryMsMax ?? DELIVERY_MS_MAX);
    const chunks: OutRecord[][] = [];
    const open = new Map<string, { readonly chunk: OutRecord[]; bytes: number }>();
    for (const record of records) {
      const size = sizeOf(record);
      let last = open.get(record.topic);
      if (last === undefined || last.bytes + size > BATCH_BYTES_MAX) {
        last = { chunk: [], bytes: 0 };
        chunks.push(last.chunk);
        open.set(record.topic, last);
      }
      last.chunk.push(record);
      last.bytes += size;
    }
    const { prefix } = this.#options;
    return await Promise.all(
      chunks.map(async (chunk) => {
        const topic = prefix + (chunk[0] as OutRecord).topic;
        const count = await this.#cluster.partitions(topic);
        const messages = chunk.map((record) => messageOf(record, topic, writer.partition, count));
        const bytes = chunk.reduce((sum, record) => sum + sizeOf(record), 0);
        const firstSequence = writer.take(topic, messages.length);
        const stored = Promise.withResolvers<bigint>();
        const part: Part = { writer, topic, messages, bytes, firstSequence, givesUpAtMs, stored, attempts: 0 };
        return { part, of: chunk };
      }),
    );
  }

  async #enqueue(part: Part): Promise<void> {
    part.stored.promise.catch(() => {});
    try {
      const node = await this.#cluster.leader(part.topic, part.writer.partition);
      const queue = this.#queues.get(node) ?? [];
      this.#queues.set(node, queue);
      queue.push(part);
      if (!this.#sending.has(node)) void this.#sendTo(node, queue);
    } catch (error) {
      void this.#again(part, error);
    }
  }

  async #sendTo(node: number, queue: Part[]): Promise<void> {
    this.#sending.add(node);
    await Promise.resolve(); // sends of the same turn share a request
    while (queue.length > 0) {
      const parts = takeRequest(queue).filter((part) => this.#maySend(part));
      if (parts.length === 0) continue;
      try {
        await this.#request(node, parts);
      } catch (error) {
        await this.#cluster.renew();
        for (const part of parts) void this.#again(part, error);
      }
    }
    this.#sending.delete(node);
  }

  #maySend(part: Part): boolean {
    const { partition, failure } = part.writer;
    if (failure !== undefined) part.stored.reject(failure);
    else if (!this.#options.lease.isHeld) part.stored.reject(leaseLost(partition));
    else if (this.#stop.signal.aborted) part.stored.reject(this.#stop.signal.reason);
    else return true;
    return false;
  }

  async #request(node: number, parts: readonly Part[]): Promise<void> {
    const connection = await this.#cluster.connection(node);
    const { promise, resolve, reject } = Promise.withResolvers<produceV9.ProduceResponse>();
    connection.send<produceV9.ProduceResponse>(
      PRODUCE.apiKey,
      PRODUCE.version,
      () => encode(parts),
      produceV9.parseResponse,
      true,
      true,
      (error, response) => {
        // One partition's error fails the whole response, which still has the results of the others.
        const whole = response ?? ((error as ResponseError | null)?.response as produceV9.ProduceResponse | undefined);
        if (whole?.responses === undefined) reject(error);
        else resolve(whole);
      },
    );
    const response = await promise;
    const results = new Map(
      response.responses.flatMap(({ name, partitionResponses }) =>
        partitionResponses.map((result) => [`${name}:${result.index}`, result] as const),
      ),
    );
    for (const part of parts) {
      const result = results.get(`${part.topic}:${part.writer.partition}`);
      if (result?.errorCode === 0) part.stored.resolve(result.baseOffset);
      else this.#refused(part, result?.errorCode ?? -1, result?.errorMessage ?? null);
    }
  }

  #refused(part: Part, errorCode: number, message: string | null): void {
    const where = `${part.topic}:${part.writer.partition}`;
    const fencing = FENCING_CODES.get(errorCode);
    if (fencing !== undefined) {
      part.stored.reject(new Failure(FENCED, "retry", `${where}: ${fencing}: another process owns this partition`));
      return;
    }
    const refusing = REFUSING_CODES.get(errorCode);
    if (refusing !== undefined) {
      const code = refusing.endsWith("TOO_LARGE") ? RECORD_OVERSIZED : "kafka-record-refused";
      part.stored.reject(
        new Failure(code, "give-up", `${where}: ${refusing}${message === null ? "" : `: ${message}`}`),
      );
      return;
    }
    this.#cluster.forgetLeaders();
    void this.#again(part, new Error(`${where}: Kafka's error ${errorCode}`));
  }

  /** The same batch with the same sequence number: Kafka knows it if it was stored after all. */
  async #again(part: Part, error: unknown): Promise<void> {
    if (this.#clock.monotonicMs() >= part.givesUpAtMs) {
      part.stored.reject(new Failure(UNAVAILABLE, "retry", reasonOf(error), { cause: error }));
      return;
    }
    const waitMs = Math.min(RETRY_MS.max, RETRY_MS.min * 2 ** Math.min(part.attempts++, 10));
    await this.#clock.sleep(waitMs, this.#stop.signal).catch(() => {});
    if (this.#maySend(part)) await this.#enqueue(part);
  }
}

/** One owner's right to write to one partition number. */
class PartitionWriter implements FencedWriter {
  readonly partition: number;
  readonly epoch: ProducerEpoch;
  readonly #deliver: (writer: PartitionWriter, records: readonly OutRecord[]) => Promise<readonly Position[]>;
  readonly #sequences = new Map<string, number>();
  #failure: Failure | undefined;

  constructor(
    partition: number,
    epoch: ProducerEpoch,
    deliver: (writer: PartitionWriter, records: readonly OutRecord[]) => Promise<readonly Position[]>,
  ) {
    this.partition = partition;
    this.epoch = epoch;
    this.#deliver = deliver;
  }

  get failure(): Failure | undefined {
    return this.#failure;
  }

  send(records: readonly OutRecord[]): Promise<readonly Position[]> {
    return this.#failure === undefined ? this.#deliver(this, records) : Promise.reject(this.#failure);
  }

  end(failure: Failure): void {
    this.#failure ??= new Failure(failure.code, "retry", failure.message, { cause: failure });
  }

  /** The sequence number of the first of `count` records. */
  take(topic: string, count: number): number {
    const first = this.#sequences.get(topic) ?? 0;
    this.#sequences.set(topic, (first + count) % 2 ** 31);
    return first;
  }
}

const leaseLost = (partition: number): Failure =>
  new Failure(LEASE_LOST, "retry", `the lease on partition ${partition} has ended: the group may have given it away`);

function messageOf(record: OutRecord, topic: string, partition: number, partitionCount: number): MessageRecord {
  const key = Buffer.from(record.key);
  const byKey = record.partition ?? compatibilityPartitioner({ topic, key, value: record.value }, key) % partitionCount;
  if (byKey !== partition) {
    const what = `${record.topic}: key ${record.key} belongs to partition ${byKey} of ${partitionCount}, not ${partition}`;
    throw new Failure("kafka-partitions-differ", "ask-a-person", what);
  }
  const headers = Object.entries(record.headers ?? {});
  return {
    topic,
    partition,
    key,
    // The types lack it, the protocol has it: a null value is a tombstone.
    value: record.value as Buffer,
    headers: new Map(headers.map(([name, value]) => [Buffer.from(name), Buffer.from(value)])),
    ...(record.timestamp !== undefined && { timestamp: BigInt(Math.round(record.timestamp)) }),
  };
}

/** The first parts that one request may carry: of a partition only one, so that their order holds. */
function takeRequest(queue: Part[]): Part[] {
  const taken = new Map<string, Part>();
  const left: Part[] = [];
  let bytes = 0;
  for (const part of queue) {
    const key = `${part.topic}:${part.writer.partition}`;
    if (taken.has(key) || (taken.size > 0 && bytes + part.bytes > REQUEST_BYTES_MAX)) left.push(part);
    else {
      taken.set(key, part);
      bytes += part.bytes;
    }
  }
  queue.splice(0, queue.length, ...left);
  return [...taken.values()];
}

/** A produce request whose batches are of different producers, which the client's own encoder cannot make. */
function encode(parts: readonly Part[]): Writer {
  const byTopic = Map.groupBy(parts, ({ topic }) => topic);
  return Writer.create()
    .appendString(null)
    .appendInt16(-1)
    .appendInt32(REQUEST_TIMEOUT_MS)
    .appendArray([...byTopic], (topics, [topic, ofTopic]) => {
      topics.appendString(topic).appendArray([...ofTopic], (partitions, part) => {
        const { producerId, producerEpoch } = part.writer.epoch;
        const sequences = new NumericMap([[`${topic}:${part.writer.partition}`, part.firstSequence]]);
        const batch = createRecordsBatch(part.messages, { producerId, producerEpoch, sequences });
        partitions
          .appendInt32(part.writer.partition)
          .appendUnsignedVarInt(batch.length + 1)
          .appendFrom(batch);
      });
    })
    .appendTaggedFields();
}
