import { Inject, Injectable } from "@nestjs/common";
import { BACKGROUND_ROUND_MS, DeadLetters, KafkajsSink, KafkajsSource, Lease } from "@tributary/kafka";
import type { Random } from "@tributary/kernel";
import { CRASH, type Crash, Health, KAFKA, KafkaBatches, type KafkaConnection, RANDOM } from "@tributary/service-kit";
import { GROUP } from "./config.ts";
import { Partitions } from "./partitions.ts";

/** Brings the controller the batches of the partitions that this instance holds. */
@Injectable()
export class DriftMonitorConsumer extends KafkaBatches {
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
      source: (topics) =>
        partitions.fenced(
          new KafkajsSource({ ...kafka, group: GROUP, topics, lease, roundMsMin: BACKGROUND_ROUND_MS }),
        ),
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
