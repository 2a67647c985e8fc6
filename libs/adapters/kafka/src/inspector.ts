/** The state that a cluster reports, for diagnosis. Reads only. */
import { Failure, reasonOf } from "@tributary/kernel";
import type { Admin } from "kafkajs";
import { UNAVAILABLE } from "./joining-sink.ts";
import { kafkajsClient } from "./kafkajs-client.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import type { TopicFacts } from "./ports.ts";
import { topicFacts } from "./topic-facts.ts";
import { INTERNAL_TOPICS } from "./tributary-topics.ts";

export type ClusterBrokers = { readonly clusterId: string; readonly brokers: readonly string[] };

export type TopicState = {
  /** Without the prefix. */
  readonly name: string;
  readonly partitions: number;
  readonly leaderless: number;
  readonly underReplicated: number;
};

export type GroupLag = {
  /** Without the prefix. */
  readonly group: string;
  readonly state: string;
  readonly members: number;
  /** Of topics it has committed to. */
  readonly topics: readonly { readonly topic: string; readonly lag: bigint }[];
};

export class KafkaInspector {
  readonly #admin: Admin;
  readonly #prefix: string;
  #connected: Promise<void> | undefined;

  constructor(connection: KafkaConnection) {
    // Few tries: the caller waits for the answer.
    const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 2 };
    this.#admin = kafkajsClient(connection, undefined, retry).admin();
    this.#prefix = connection.prefix;
  }

  cluster(): Promise<ClusterBrokers> {
    return this.#ask(async (admin) => {
      const { clusterId, brokers } = await admin.describeCluster();
      return { clusterId, brokers: brokers.map(({ host, port }) => `${host}:${port}`) };
    });
  }

  /** Topics that have the prefix, by name. */
  topics(): Promise<readonly TopicState[]> {
    return this.#ask(async (admin) => {
      const names = (await admin.listTopics()).filter((name) => name.startsWith(this.#prefix));
      if (names.length === 0) return [];
      const { topics } = await admin.fetchTopicMetadata({ topics: names });
      return topics
        .map(({ name, partitions }) => ({
          name: name.slice(this.#prefix.length),
          partitions: partitions.length,
          leaderless: partitions.filter(({ leader }) => leader < 0).length,
          underReplicated: partitions.filter(({ isr, replicas }) => isr.length < replicas.length).length,
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  /** Replicas and settings in force of these topics and of Kafka's own. */
  facts(topics: readonly string[]): Promise<readonly TopicFacts[]> {
    return this.#ask((admin) => topicFacts(admin, this.#prefix, topics, INTERNAL_TOPICS));
  }

  /** Offsets retained of each topic, all partitions together: as many records, compaction and transactions apart. */
  counts(topics: readonly string[]): Promise<Map<string, bigint>> {
    return this.#ask(async (admin) => {
      const counts = topics.map(async (topic) => {
        const offsets = await admin.fetchTopicOffsets(this.#prefix + topic);
        return [topic, offsets.reduce((sum, { high, low }) => sum + BigInt(high) - BigInt(low), 0n)] as const;
      });
      return new Map(await Promise.all(counts));
    });
  }

  /** Consumer groups that have the prefix. A partition without a commit counts from its earliest record. */
  groups(): Promise<readonly GroupLag[]> {
    return this.#ask(async (admin) => {
      const { groups } = await admin.listGroups();
      const ids = groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(this.#prefix));
      if (ids.length === 0) return [];
      const described = await admin.describeGroups(ids.sort());
      return Promise.all(
        described.groups.map(async ({ groupId, state, members }) => ({
          group: groupId.slice(this.#prefix.length),
          state: String(state),
          members: members.length,
          topics: await this.#lagOf(admin, groupId),
        })),
      );
    });
  }

  async close(): Promise<void> {
    await this.#connected?.then(() => this.#admin.disconnect()).catch(() => {});
  }

  async #lagOf(admin: Admin, groupId: string): Promise<GroupLag["topics"]> {
    const committed = await admin.fetchOffsets({ groupId });
    return Promise.all(
      committed.map(async ({ topic, partitions }) => {
        const ends = new Map((await admin.fetchTopicOffsets(topic)).map((end) => [end.partition, end]));
        const lag = partitions.reduce((sum, { partition, offset }) => {
          const end = ends.get(partition);
          if (end === undefined) return sum;
          const at = BigInt(offset) < 0n ? BigInt(end.low) : BigInt(offset);
          return sum + (BigInt(end.high) > at ? BigInt(end.high) - at : 0n);
        }, 0n);
        return { topic: topic.slice(this.#prefix.length), lag };
      }),
    );
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    try {
      this.#connected ??= this.#admin.connect();
      await this.#connected;
      return await question(this.#admin);
    } catch (error) {
      throw new Failure(UNAVAILABLE, "retry", reasonOf(error), { cause: error });
    }
  }
}
