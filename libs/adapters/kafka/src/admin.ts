import { Admin as PlatformaticAdmin } from "@platformatic/kafka";
import { type Clock, Failure, reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { Admin, Kafka, KafkaJSAggregateError } from "kafkajs";
import { kafkajsClient } from "./kafkajs-client.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import type { TopicAdmin, TopicChange, TopicFacts, TopicSpec } from "./ports.ts";
import { TOPIC_RESOURCE, topicFacts } from "./topic-facts.ts";

export type KafkajsAdminOptions = KafkaConnection & { readonly telemetry?: Telemetry; readonly clock?: Clock };

const VISIBLE_MS_MAX = 15_000;
/** As in the protocol. */
const SET = 0;

export class KafkajsAdmin implements TopicAdmin {
  readonly #kafka: Kafka;
  readonly #connection: KafkaConnection;
  readonly #prefix: string;
  readonly #clock: Clock;
  #admin: Promise<Admin> | undefined;

  constructor(options: KafkajsAdminOptions) {
    this.#kafka = kafkajsClient(options, options.telemetry, {
      initialRetryTime: 200,
      maxRetryTime: 2_000,
      retries: 20,
    });
    this.#connection = options;
    this.#prefix = options.prefix;
    this.#clock = options.clock ?? systemClock;
  }

  async ensure(topics: readonly TopicSpec[]): Promise<readonly string[]> {
    const admin = await this.#connected();
    const missing = async () => {
      const existing = new Set(await admin.listTopics());
      return topics.filter((topic) => !existing.has(this.#prefix + topic.name));
    };
    const create = await missing();
    if (create.length === 0) return [];
    try {
      await admin.createTopics({
        waitForLeaders: false,
        timeout: 30_000,
        topics: create.map((topic) => ({
          topic: this.#prefix + topic.name,
          numPartitions: topic.partitions,
          replicationFactor: topic.replicationFactor ?? 1,
          configEntries: Object.entries(topic.config ?? {}).map(([name, value]) => ({ name, value })),
        })),
      });
    } catch (error) {
      // Another process may have created it; a topic that is still missing then is a failure.
      const [first, ...others] = await missing();
      if (first !== undefined) throw await this.#refused(error, [first, ...others]);
    }
    const givesUpAt = this.#clock.monotonicMs() + VISIBLE_MS_MAX;
    const names = create.map((topic) => this.#prefix + topic.name);
    while (!(await haveLeaders(admin, names)) && this.#clock.monotonicMs() < givesUpAt) await this.#clock.sleep(100);
    return create.map(({ name }) => name);
  }

  async describe(names: readonly string[], internal: readonly string[] = []): Promise<readonly TopicFacts[]> {
    return topicFacts(await this.#connected(), this.#prefix, names, internal);
  }

  /** By @platformatic/kafka: kafkajs can only replace all settings of a topic at once. */
  async alter(changes: readonly TopicChange[]): Promise<void> {
    if (changes.length === 0) return;
    const { brokers, clientId } = this.#connection;
    const admin = new PlatformaticAdmin({ clientId, bootstrapBrokers: [...brokers], retries: 5 });
    try {
      await admin.incrementalAlterConfigs({
        resources: changes.map(({ topic, isInternal, config }) => ({
          resourceType: TOPIC_RESOURCE,
          resourceName: isInternal ? topic : this.#prefix + topic,
          configs: Object.entries(config).map(([name, value]) => ({ name, configOperation: SET, value })),
        })),
      });
    } finally {
      await admin.close();
    }
  }

  /** As retention does: what is before these offsets, by partition, is gone. */
  async deleteBefore(topic: string, offsets: ReadonlyMap<number, bigint>): Promise<void> {
    const admin = await this.#connected();
    const name = this.#prefix + topic;
    await admin.fetchTopicOffsets(name); // Else kafkajs has no metadata to delete with.
    const partitions = [...offsets].map(([partition, offset]) => ({ partition, offset: `${offset}` }));
    await admin.deleteTopicRecords({ topic: name, partitions });
  }

  /** Names without the prefix, of topics that have it. */
  async topics(): Promise<readonly string[]> {
    const names = await (await this.#connected()).listTopics();
    return names.filter((name) => name.startsWith(this.#prefix)).map((name) => name.slice(this.#prefix.length));
  }

  async close(): Promise<void> {
    const admin = this.#admin;
    this.#admin = undefined;
    await admin?.then((connected) => connected.disconnect()).catch(() => {});
  }

  /** kafkajs says no more than that there were errors. */
  async #refused(error: unknown, [topic, ...others]: readonly [TopicSpec, ...TopicSpec[]]): Promise<unknown> {
    const [reason] = (error as Partial<KafkaJSAggregateError>).errors ?? [];
    if (reason === undefined) return error;
    const { brokers } = await (await this.#connected()).describeCluster();
    const { name, replicationFactor = 1 } = topic;
    const more = others.length > 0 ? ` and ${others.length} more` : "";
    let what = `${this.#prefix}${name}${more} cannot be created: ${reasonOf(reason)}`;
    if (replicationFactor > brokers.length)
      what += `: it is ${replicationFactor}, and Kafka's brokers are ${brokers.length}`;
    return new Failure("kafka-topics-refused", "ask-a-person", what, { cause: error });
  }

  #connected(): Promise<Admin> {
    this.#admin ??= (async () => {
      const admin = this.#kafka.admin();
      await admin.connect();
      return admin;
    })().catch((error) => {
      this.#admin = undefined;
      throw error;
    });
    return this.#admin;
  }
}

/** A topic that is listed may have partitions without a leader for a moment: offsets could not be asked yet. */
async function haveLeaders(admin: Admin, names: readonly string[]): Promise<boolean> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
    return topics.length === names.length && topics.every(({ partitions }) => partitions.every((p) => p.leader >= 0));
  } catch {
    return false;
  }
}
