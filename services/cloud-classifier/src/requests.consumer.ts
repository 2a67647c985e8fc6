import { Inject, Injectable } from "@nestjs/common";
import { DeadLetters, KafkajsSink, KafkajsSource } from "@tributary/kafka";
import type { Random } from "@tributary/kernel";
import {
  CONFIG,
  CRASH,
  type Crash,
  Health,
  KAFKA,
  KafkaBatches,
  type KafkaConnection,
  RANDOM,
} from "@tributary/service-kit";
import type { ClassifierConfig } from "./config.ts";
import { GROUP } from "./requests.controller.ts";

/** Every partition number may have a batch waiting: micro-batches form across devices. */
const CONCURRENCY = 32;

@Injectable()
export class RequestsConsumer extends KafkaBatches {
  constructor(
    @Inject(CONFIG) { consumer }: ClassifierConfig,
    @Inject(KAFKA) kafka: KafkaConnection,
    @Inject(RANDOM) random: Random,
    @Inject(CRASH) onCrash: Crash,
    sink: KafkajsSink,
    health: Health,
  ) {
    const { clock, telemetry } = kafka;
    const options = { ...kafka, group: GROUP, concurrency: CONCURRENCY, batchRecordsMax: consumer.recordsMax };
    super({
      source: (topics) => new KafkajsSource({ ...options, topics }),
      deadLetters: new DeadLetters({ sink, group: GROUP, telemetry }),
      clock,
      random,
      telemetry,
      onCrash,
      health,
    });
  }
}
