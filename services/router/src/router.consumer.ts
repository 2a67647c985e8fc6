import { Inject, Injectable } from "@nestjs/common";
import { DeadLetters, KafkajsSink, KafkajsSource, Lease } from "@tributary/kafka";
import type { Random } from "@tributary/kernel";
import { CRASH, type Crash, Health, KAFKA, KafkaBatches, type KafkaConnection, RANDOM } from "@tributary/service-kit";
import { GROUP } from "./config.ts";
import { Partitions } from "./partitions.ts";

/** Brings the controller the batches of the partitions that this router holds. */
@Injectable()
export class RouterConsumer extends KafkaBatches {
  constructor(
    @Inject(KAFKA) kafka: KafkaConnection,
    @Inject(RANDOM) random: Random,
    @Inject(CRASH) onCrash: Crash,
    sink: KafkajsSink,
    lease: Lease,
    partitions: Partitions,
    health: Health,
  ) {
    const { clock, telemetry } = kafka;
    super({
      source: (topics) => partitions.fenced(new KafkajsSource({ ...kafka, group: GROUP, topics, lease })),
      events: partitions,
      deadLetters: new DeadLetters({ sink, group: GROUP, telemetry }),
      clock,
      random,
      telemetry,
      onCrash,
      health,
    });
  }
}
