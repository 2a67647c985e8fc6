import { Inject, Injectable } from "@nestjs/common";
import { topics as contract } from "@tributary/contracts";
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

/** Partition numbers whose records are taken at once: micro-batches form across devices. */
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
    // A call that hangs delays no request behind it (ADR 77): results are idempotent, so that order and repeats do not matter (G2).
    const independent = {
      recordsMax: consumer.requestsMax,
      bytesMax: consumer.bytesMax,
      ownerShareMax: consumer.deviceShareMax,
      isUrgent: (topic: string) => topic === contract.requestsHigh.name,
    };
    const options = { ...kafka, group: GROUP, concurrency: CONCURRENCY, independent };
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
