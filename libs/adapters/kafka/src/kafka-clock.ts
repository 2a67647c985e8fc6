/**
 * Kafka's clock, measured by this process.
 *
 * The response to a record of ours contains when Kafka appended it, by the clock of the partition's leader. That moment is
 * between our request and the response: the middle is taken, with half the round trip as uncertainty. A reading refers to our
 * monotonic clock, so that a jump of our wall clock shows at once, without another request. */
import type { Clock, Instant } from "@tributary/kernel";
import type { Kafka, Producer } from "kafkajs";
import { kafkajsClient } from "./kafkajs-client.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import { CLOCK_PROBES } from "./tributary-topics.ts";

export type ClockReading = {
  /** Kafka's time when our monotonic clock showed zero. */
  readonly kafkaAtZero: Instant;
  readonly uncertaintyMs: number;
};

export type KafkaClockOptions = KafkaConnection & { readonly clock: Clock };

export class KafkaClock {
  readonly #clock: Clock;
  readonly #kafka: Kafka;
  readonly #topic: string;
  readonly #who: string;
  #producer: Promise<Producer> | undefined;

  constructor(options: KafkaClockOptions) {
    this.#clock = options.clock;
    this.#topic = options.prefix + CLOCK_PROBES.name;
    this.#who = options.clientId;
    this.#kafka = kafkajsClient(options, undefined, { initialRetryTime: 100, maxRetryTime: 500, retries: 1 });
  }

  /** Undefined when the topic's timestamps are CreateTime: then Kafka's response has no time in it. */
  async read(): Promise<ClockReading | undefined> {
    this.#producer ??= this.#connect();
    const producer = await this.#producer;
    const sentMs = this.#clock.monotonicMs();
    const message = { key: this.#who, value: Buffer.alloc(0), partition: 0 };
    const [stored] = await producer.send({ topic: this.#topic, acks: 1, messages: [message] });
    const answeredMs = this.#clock.monotonicMs();
    const appendedAt = Number(stored?.logAppendTime ?? -1);
    if (!(appendedAt >= 0)) return undefined;
    return { kafkaAtZero: appendedAt - (sentMs + answeredMs) / 2, uncertaintyMs: (answeredMs - sentMs) / 2 };
  }

  async close(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.then((connected) => connected.disconnect()).catch(() => {});
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({ allowAutoTopicCreation: false });
    try {
      await producer.connect();
      return producer;
    } catch (error) {
      this.#producer = undefined;
      throw error;
    }
  }
}

/** How far our wall clock is ahead of Kafka's; negative when it is behind. */
export const clockOffsetMs = ({ kafkaAtZero }: ClockReading, clock: Pick<Clock, "now" | "monotonicMs">): number =>
  clock.now() - (kafkaAtZero + clock.monotonicMs());
