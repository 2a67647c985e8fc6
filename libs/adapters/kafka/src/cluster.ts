/**
 * Connections to the brokers that lead partitions and coordinate transactions, for requests that the clients' own producers
 * cannot make. Versions of requests are fixed at those that Kafka 2.8 to 4 understand.
 */
import {
  type ClusterMetadata,
  type Connection,
  ConnectionPool,
  FindCoordinatorKeyTypes,
  findCoordinatorV4,
  Producer,
} from "@platformatic/kafka";
import { endSilentConnections } from "./silent-socket.ts";

const CONNECT_TIMEOUT_MS = 5_000;

export type ClusterOptions = {
  readonly clientId: string;
  readonly brokers: readonly string[];
  readonly requestTimeoutMs: number;
};

export class Cluster {
  readonly #options: ClusterOptions;
  /** Fetches metadata only. */
  readonly #client: Producer;
  #pool: ConnectionPool;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#client = new Producer({
      clientId: options.clientId,
      bootstrapBrokers: [...options.brokers],
      retries: 2,
      retryDelay: 200,
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: options.requestTimeoutMs,
    });
    endSilentConnections(this.#client.connections);
    this.#pool = this.#newPool();
  }

  /** The broker that leads the partition; rejects while there is none. */
  async leader(topic: string, partition: number): Promise<number> {
    const metadata: ClusterMetadata = await this.#client.metadata({ topics: [topic] });
    const leader = metadata.topics.get(topic)?.partitions[partition]?.leader;
    if (leader === undefined || leader < 0) throw new Error(`${topic}:${partition} has no leader`);
    return leader;
  }

  async partitions(topic: string): Promise<number> {
    const metadata: ClusterMetadata = await this.#client.metadata({ topics: [topic] });
    const count = metadata.topics.get(topic)?.partitionsCount ?? 0;
    if (count === 0) throw new Error(`${topic} has no partitions`);
    return count;
  }

  forgetLeaders(): void {
    this.#client.clearMetadata();
  }

  async connection(node: number): Promise<Connection> {
    const { brokers } = await this.#client.metadata({ topics: [] });
    const broker = brokers.get(node);
    if (broker === undefined) throw new Error(`broker ${node} is unknown`);
    return await this.#pool.get(broker);
  }

  /** To the broker that coordinates the transactional id. */
  async coordinator(transactionalId: string): Promise<Connection> {
    const { brokers } = await this.#client.metadata({ topics: [] });
    const any = await this.#pool.getFirstAvailable([...brokers.values()]);
    const found = await findCoordinatorV4.api.async(any, FindCoordinatorKeyTypes.TRANSACTION, [transactionalId]);
    const [coordinator] = found.coordinators;
    if (coordinator === undefined) throw new Error(`no coordinator for ${transactionalId}`);
    return await this.#pool.get({ host: coordinator.host, port: coordinator.port });
  }

  /** Discards metadata and connections: the one may be wrong, and the other may hang. */
  async renew(): Promise<void> {
    this.#client.clearMetadata();
    const old = this.#pool;
    this.#pool = this.#newPool();
    await old.close().catch(() => {});
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#pool.close(), this.#client.close(true)]);
  }

  #newPool(): ConnectionPool {
    const { clientId, requestTimeoutMs } = this.#options;
    const timeouts = { connectTimeout: CONNECT_TIMEOUT_MS, requestTimeout: requestTimeoutMs };
    return endSilentConnections(new ConnectionPool(clientId, timeouts));
  }
}
