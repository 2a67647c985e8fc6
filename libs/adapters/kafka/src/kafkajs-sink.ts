/** The services' sink. */
import { Failure, reasonOf } from "@tributary/kernel";
import { type ICustomPartitioner, type Kafka, type Message, Partitioners, type Producer } from "kafkajs";
import {
  JoiningSink,
  type JoiningSinkOptions,
  PRODUCER_STATE_LOST,
  type ProducerClient,
  RECORD_OVERSIZED,
  UNAVAILABLE,
} from "./joining-sink.ts";
import { kafkajsClient } from "./kafkajs-client.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import type { OutRecord, Position } from "./ports.ts";

export type KafkajsSinkOptions = KafkaConnection & JoiningSinkOptions;

export class KafkajsSink extends JoiningSink {
  constructor(options: KafkajsSinkOptions) {
    super(new KafkajsProducer(options, options.deliveryMsMax ?? 60_000), options);
  }
}

class KafkajsProducer implements ProducerClient {
  readonly name = "kafkajs";
  readonly #kafka: Kafka;
  readonly #prefix: string;
  readonly #partitionOf = new WeakMap<Message, number>();
  #producer: Promise<Producer> | undefined;

  constructor(options: KafkajsSinkOptions, deliveryMsMax: number) {
    this.#prefix = options.prefix;
    this.#kafka = kafkajsClient(options, options.telemetry, {
      initialRetryTime: 100,
      maxRetryTime: 1_000,
      retries: Math.ceil(deliveryMsMax / 1_000),
    });
  }

  async produce(records: readonly OutRecord[]): Promise<readonly Position[]> {
    const messages: Message[] = [];
    const byTopic = new Map<string, Message[]>();
    for (const record of records) {
      const message: Message = {
        key: record.key,
        value: record.value,
        ...(record.headers && { headers: { ...record.headers } }),
        ...(record.timestamp !== undefined && { timestamp: String(Math.round(record.timestamp)) }),
      };
      messages.push(message);
      const topic = this.#prefix + record.topic;
      const ofTopic = byTopic.get(topic);
      if (ofTopic === undefined) byTopic.set(topic, [message]);
      else ofTopic.push(message);
    }
    try {
      this.#producer ??= this.#start();
      const producer = await this.#producer;
      const stored = await producer.sendBatch({
        acks: -1,
        topicMessages: [...byTopic].map(([topic, ofTopic]) => ({ topic, messages: ofTopic })),
      });
      const next = new Map(stored.map((s) => [`${s.topicName}:${s.partition}`, BigInt(s.baseOffset ?? -1)]));
      return records.map(({ topic }, i) => {
        const partition = this.#partitionOf.get(messages[i] as Message) ?? -1;
        const at = `${this.#prefix + topic}:${partition}`;
        const offset = next.get(at) ?? -1n;
        next.set(at, offset + 1n);
        return { topic, partition, offset };
      });
    } catch (error) {
      throw failureOf(error);
    }
  }

  async renew(): Promise<void> {
    const old = this.#producer;
    this.#producer = undefined;
    await old?.then((producer) => producer.disconnect());
  }

  async close(): Promise<void> {
    await this.renew();
  }

  async #start(): Promise<Producer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: this.#rememberingPartitioner,
    });
    try {
      await producer.connect();
      return producer;
    } catch (error) {
      this.#producer = undefined;
      throw error;
    }
  }

  /** Java's murmur2; remembers its choice, which kafkajs does not return. */
  readonly #rememberingPartitioner: ICustomPartitioner = () => {
    const javaCompatible = Partitioners.DefaultPartitioner();
    return (args) => {
      const partition = javaCompatible(args);
      this.#partitionOf.set(args.message, partition);
      return partition;
    };
  };
}

type KafkaJsError = Error & { readonly code?: unknown; readonly type?: unknown; readonly cause?: unknown };

const STATE_LOST = new Set(["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID", "INVALID_PRODUCER_EPOCH"]);
const REFUSED = new Set([
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "INVALID_RECORD",
  "INVALID_TIMESTAMP",
  "CORRUPT_MESSAGE",
]);

function failureOf(error: unknown): Failure {
  const reason = reasonOf(error);
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const type = String((at as KafkaJsError).type ?? "");
    if (STATE_LOST.has(type)) return new Failure(PRODUCER_STATE_LOST, "retry", reason, { cause: error });
    if (REFUSED.has(type)) {
      const code = type.endsWith("TOO_LARGE") ? RECORD_OVERSIZED : "kafka-record-refused";
      return new Failure(code, "give-up", `${type}: ${reason}`, { cause: error });
    }
  }
  return new Failure(UNAVAILABLE, "retry", reason, { cause: error });
}
