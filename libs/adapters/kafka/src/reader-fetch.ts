/** One fetch loop per broker, for all cursors whose partition it leads (reader.ts R2). */

import { type ClusterMetadata, ConnectionPool, type Consumer, fetchV13 } from "@platformatic/kafka";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { clientNoted } from "./events.ts";
import { UNAVAILABLE } from "./joining-sink.ts";
import type { Cursor } from "./reader-cursor.ts";
import { endSilentConnections } from "./silent-socket.ts";

const FETCH = { waitMsMax: 250, bytesMax: 16 * 1024 * 1024, partitionBytesMax: 1024 * 1024 };
const RETRY_MS = { min: 100, max: 2_000 };
const OFFSET_OUT_OF_RANGE = 1;
const EARLIEST = -2n;

export const TIMEOUTS = { connectTimeout: 5_000, requestTimeout: 10_000 };

type FetchResponse = fetchV13.FetchResponse;

export type FetchLoopsOptions = {
  readonly clientId: string;
  readonly unavailableMsMax: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry | undefined;
};

export class FetchLoops {
  readonly #client: Consumer;
  readonly #options: FetchLoopsOptions;
  readonly #cursors = new Set<Cursor>();
  readonly #running = new Map<number, Promise<void>>();
  readonly #stop = new AbortController();
  #pool: ConnectionPool;
  #wakeUp: PromiseWithResolvers<void> | undefined;
  #failingSinceMs: number | undefined;
  #failures = 0;
  #starting = false;

  constructor(client: Consumer, options: FetchLoopsOptions) {
    this.#client = client;
    this.#options = options;
    this.#pool = this.#newPool();
  }

  add(cursor: Cursor): void {
    this.#cursors.add(cursor);
    this.wake();
  }

  remove(cursor: Cursor): void {
    this.#cursors.delete(cursor);
  }

  /** There may be more to fetch. */
  wake(): void {
    this.#wakeUp?.resolve();
    this.#wakeUp = undefined;
    void this.#startLoops();
  }

  async close(): Promise<void> {
    this.#stop.abort(new Failure("kafka-reader-closed", "give-up", "the reader is closed"));
    for (const cursor of this.#cursors) cursor.finish();
    this.wake();
    await this.#pool.close().catch(() => {});
    await Promise.allSettled(this.#running.values());
  }

  /** Starts a loop for each broker that leads a wanted partition and has none. */
  async #startLoops(): Promise<void> {
    if (this.#starting || this.#stop.signal.aborted) return;
    this.#starting = true;
    try {
      while (!this.#stop.signal.aborted && [...this.#cursors].some((cursor) => cursor.wantsMore)) {
        try {
          const metadata = await this.#metadata();
          for (const cursor of this.#cursors) {
            const node = leaderOf(metadata, cursor);
            if (node === undefined) throw new Error(`no leader for ${cursor.name}:${cursor.partition}`);
            if (!this.#running.has(node)) this.#running.set(node, this.#loop(node));
          }
          return;
        } catch (error) {
          await this.#failed(error);
        }
      }
    } finally {
      this.#starting = false;
    }
  }

  async #loop(node: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const metadata = await this.#metadata();
        // A cursor that was added while these were awaited is not in them, and would be assigned to another broker.
        if ([...this.#cursors].some(({ name }) => !metadata.topics.has(name))) continue;
        const led = [...this.#cursors].filter((cursor) => leaderOf(metadata, cursor) === node);
        if (led.length === 0) break;
        const wanted = led.filter((cursor) => cursor.wantsMore);
        if (wanted.length === 0) {
          this.#wakeUp ??= Promise.withResolvers<void>();
          await this.#wakeUp.promise;
          continue;
        }
        await this.#fetch(metadata, node, wanted);
        this.#failingSinceMs = undefined;
        this.#failures = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        await this.#failed(error);
        this.#running.delete(node);
        return this.wake(); // the leader may be another broker now
      }
    }
    this.#running.delete(node); // in the same turn as the last look at the cursors, or `wake` would miss the end
    // A read that found this loop running while the loop saw another leader would wait forever.
    if ([...this.#cursors].some((cursor) => cursor.wantsMore)) void this.#startLoops();
  }

  async #fetch(metadata: ClusterMetadata, node: number, cursors: readonly Cursor[]): Promise<void> {
    const broker = metadata.brokers.get(node);
    if (broker === undefined) throw new Error(`broker ${node} is unknown`);
    const connection = await this.#pool.get(broker);
    // Two readers of one partition take turns: a fetch names a partition once.
    const byPartition = new Map<string, Cursor>();
    for (const cursor of cursors) {
      const id = metadata.topics.get(cursor.name)?.id ?? "";
      const key = `${id}:${cursor.partition}`;
      if (!byPartition.has(key)) byPartition.set(key, cursor);
    }
    const byTopic = Map.groupBy(byPartition.values(), (cursor) => metadata.topics.get(cursor.name)?.id ?? "");
    const response = await this.#request(connection, byTopic);
    for (const { topicId, partitions } of response.responses) {
      for (const partition of partitions) {
        const cursor = byPartition.get(`${topicId}:${partition.partitionIndex}`);
        if (cursor === undefined) continue;
        if (partition.errorCode === OFFSET_OUT_OF_RANGE) await this.#moveToRetained(cursor);
        else if (partition.errorCode !== 0)
          throw new Error(`${cursor.name}:${cursor.partition}: error ${partition.errorCode}`);
        else cursor.accept(partition.records ?? []);
        // The next fetch asks for the readers that waited for their turn first.
        if (this.#cursors.delete(cursor)) this.#cursors.add(cursor);
      }
    }
  }

  async #request(
    connection: Parameters<typeof fetchV13.api>[0],
    byTopic: Map<string, Cursor[]>,
  ): Promise<FetchResponse> {
    const topics = [...byTopic].map(([topicId, cursors]) => ({
      topicId,
      partitions: cursors.map((cursor) => ({
        partition: cursor.partition,
        currentLeaderEpoch: -1,
        fetchOffset: cursor.position,
        lastFetchedEpoch: -1,
        partitionMaxBytes: FETCH.partitionBytesMax,
      })),
    }));
    try {
      // Session epoch -1: no fetch session, each request stands for itself.
      return await fetchV13.api.async(connection, FETCH.waitMsMax, 1, FETCH.bytesMax, 0, 0, -1, topics, [], "");
    } catch (error) {
      // One partition's error fails the whole response, which still holds the others' records.
      const { response } = error as { response?: FetchResponse };
      if (response?.responses !== undefined && response.errorCode === 0) return response;
      throw error;
    }
  }

  /** Retention passed the cursor: it continues with the earliest record. A position behind the log's end is an error. */
  async #moveToRetained(cursor: Cursor): Promise<void> {
    const { name, partition } = cursor;
    const asked = { topics: [name], partitions: { [name]: [partition] }, timestamp: EARLIEST };
    const earliest = (await this.#client.listOffsets(asked)).get(name)?.[partition] ?? 0n;
    if (earliest > cursor.position) cursor.position = earliest;
    else {
      const what = `${name}:${partition} has no offset ${cursor.position}`;
      cursor.finish(new Failure("kafka-offset-out-of-range", "ask-a-person", what));
    }
  }

  #metadata(): Promise<ClusterMetadata> {
    const topics = [...new Set([...this.#cursors].map((cursor) => cursor.name))];
    return this.#client.metadata({ topics });
  }

  async #failed(error: unknown): Promise<void> {
    const { clock, telemetry, unavailableMsMax } = this.#options;
    const reason = reasonOf(error);
    telemetry?.emit(clientNoted, { client: "reader", reason });
    this.#failingSinceMs ??= clock.monotonicMs();
    this.#client.clearMetadata();
    await this.#pool.close().catch(() => {});
    this.#pool = this.#newPool();
    if (clock.monotonicMs() - this.#failingSinceMs > unavailableMsMax) {
      this.#failingSinceMs = undefined;
      const what = `Kafka cannot be read for ${unavailableMsMax} ms: ${reason}`;
      for (const cursor of this.#cursors) cursor.finish(new Failure(UNAVAILABLE, "retry", what)); // reader.ts R4
      return;
    }
    const waitMs = Math.min(RETRY_MS.max, RETRY_MS.min * 2 ** Math.min(this.#failures++, 10));
    await clock.sleep(waitMs, this.#stop.signal).catch(() => {});
  }

  #newPool(): ConnectionPool {
    return endSilentConnections(new ConnectionPool(this.#options.clientId, TIMEOUTS));
  }
}

const leaderOf = (metadata: ClusterMetadata, cursor: Cursor): number | undefined => {
  const leader = metadata.topics.get(cursor.name)?.partitions[cursor.partition]?.leader;
  return leader === undefined || leader < 0 ? undefined : leader;
};
