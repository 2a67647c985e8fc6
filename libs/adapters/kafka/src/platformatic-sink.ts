/** The bridge's sink: @platformatic/kafka costs a quarter of kafkajs's CPU a record (DESIGN, decisions). */

import { compatibilityPartitioner, MultipleErrors, Producer } from "@platformatic/kafka";
import { Failure, reasonOf } from "@tributary/kernel";
import {
  JoiningSink,
  type JoiningSinkOptions,
  PRODUCER_STATE_LOST,
  type ProducerClient,
  RECORD_OVERSIZED,
  UNAVAILABLE,
} from "./joining-sink.ts";
import type { OutRecord, Position, SchemaIds } from "./ports.ts";
import { endSilentConnections } from "./silent-socket.ts";

export type KafkaConnection = {
  readonly brokers: readonly string[];
  /** Before every topic and group name. */
  readonly prefix: string;
  readonly clientId: string;
  /** Where the schema registry is not ours. */
  readonly schemaIds?: SchemaIds | undefined;
};

export type PlatformaticSinkOptions = KafkaConnection & JoiningSinkOptions;

export class PlatformaticSink extends JoiningSink {
  constructor(options: PlatformaticSinkOptions) {
    super(new PlatformaticProducer(options, options.deliveryMsMax ?? 60_000), options);
  }
}

const RETRY_MS = { min: 100, max: 1_000 };
const REQUEST_TIMEOUT_MS = 10_000;

class PlatformaticProducer implements ProducerClient {
  readonly name = "platformatic";
  readonly #connection: KafkaConnection;
  readonly #retries: number;
  #producer: Producer | undefined;

  constructor(connection: KafkaConnection, deliveryMsMax: number) {
    this.#connection = connection;
    this.#retries = Math.ceil(deliveryMsMax / RETRY_MS.max) + 4;
  }

  async produce(records: readonly OutRecord[]): Promise<readonly Position[]> {
    this.#producer ??= this.#start();
    const producer = this.#producer;
    const { prefix } = this.#connection;
    const now = Date.now();
    const messages = records.map(({ topic, key: text, value, headers, timestamp }) => {
      const key = Buffer.from(text);
      return {
        topic: prefix + topic,
        key,
        // The types lack it, the protocol has it: a null value is a tombstone.
        value: value as Buffer,
        headers: headersOf(headers),
        timestamp: BigInt(Math.round(timestamp ?? now)),
        // The whole hash: the client takes it modulo the topic's partitions.
        partition: compatibilityPartitioner({ topic }, key),
      };
    });
    const topics = [...new Set(messages.map((message) => message.topic))];
    try {
      const metadata = await producer.metadata({ topics });
      const { offsets = [] } = await producer.send({ messages });
      const next = new Map(offsets.map((o) => [`${o.topic}:${o.partition}`, o.offset]));
      return messages.map((message, i) => {
        const count = metadata.topics.get(message.topic)?.partitionsCount ?? 1;
        const partition = message.partition % count;
        const at = `${message.topic}:${partition}`;
        const offset = next.get(at) ?? -1n;
        next.set(at, offset + 1n);
        return { topic: (records[i] as OutRecord).topic, partition, offset };
      });
    } catch (error) {
      throw failureOf(error);
    }
  }

  async renew(): Promise<void> {
    const old = this.#producer;
    this.#producer = undefined;
    await old?.close(true);
  }

  async close(): Promise<void> {
    await this.renew();
  }

  #start(): Producer {
    const producer = new Producer({
      clientId: this.#connection.clientId,
      bootstrapBrokers: [...this.#connection.brokers],
      idempotent: true,
      acks: -1,
      partitioner: compatibilityPartitioner,
      retries: this.#retries,
      retryDelay: (_client: unknown, _operation: string, attempt: number) =>
        Math.min(RETRY_MS.max, RETRY_MS.min * 2 ** Math.min(attempt, 10)) * (0.8 + 0.4 * Math.random()),
      connectTimeout: 5_000,
      timeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
    });
    endSilentConnections(producer.connections);
    return producer;
  }
}

/** Names of headers are few, and the same in every record. */
const headerNames = new Map<string, Buffer>();
const HEADER_NAMES_MAX = 64;

function headersOf(headers: Readonly<Record<string, string>> | undefined): Map<Buffer, Buffer> {
  const encoded = new Map<Buffer, Buffer>();
  for (const name in headers) encoded.set(headerNameOf(name), Buffer.from(headers[name] as string));
  return encoded;
}

function headerNameOf(name: string): Buffer {
  const known = headerNames.get(name);
  if (known !== undefined) return known;
  const bytes = Buffer.from(name);
  if (headerNames.size < HEADER_NAMES_MAX) headerNames.set(name, bytes);
  return bytes;
}

type KafkaError = Error & { readonly apiId?: string; readonly errors?: readonly unknown[]; readonly cause?: unknown };

/** The protocol errors anywhere in the chain. */
export function apiIdsOf(error: unknown, depth = 0): string[] {
  if (!(error instanceof Error) || depth > 8) return [];
  const { apiId, errors, cause } = error as KafkaError;
  return [
    ...(apiId === undefined ? [] : [apiId]),
    ...(errors ?? []).flatMap((inner) => apiIdsOf(inner, depth + 1)),
    ...apiIdsOf(cause, depth + 1),
  ];
}

const STATE_LOST = ["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"];
const REFUSED = [
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "INVALID_RECORD",
  "INVALID_TIMESTAMP",
  "CORRUPT_MESSAGE",
];

function failureOf(error: unknown): Failure {
  const ids = apiIdsOf(error);
  const reason = deepest(error);
  const refused = ids.find((id) => REFUSED.includes(id));
  if (refused !== undefined) {
    const code = refused.endsWith("TOO_LARGE") ? RECORD_OVERSIZED : "kafka-record-refused";
    return new Failure(code, "give-up", `${refused}: ${reason}`, { cause: error });
  }
  if (ids.some((id) => STATE_LOST.includes(id)))
    return new Failure(PRODUCER_STATE_LOST, "retry", reason, { cause: error });
  return new Failure(UNAVAILABLE, "retry", reason, { cause: error });
}

export function deepest(error: unknown): string {
  if (error instanceof MultipleErrors && error.errors.length > 0) return deepest(error.errors.at(-1));
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? reasonOf(error) : `${reasonOf(error)} (${deepest(cause)})`;
}
