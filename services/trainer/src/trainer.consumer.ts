import { Inject, Injectable } from "@nestjs/common";
import { BACKGROUND_ROUND_MS, DeadLetters, KafkajsSink, KafkajsSource, Lease } from "@tributary/kafka";
import type { Random } from "@tributary/kernel";
import { CRASH, type Crash, Health, KAFKA, KafkaBatches, type KafkaConnection, RANDOM } from "@tributary/service-kit";
import { GROUP } from "./config.ts";
import { Runs } from "./runs/runs.ts";

/** The group's member that holds the one partition of the verdicts owns the trainings. */
@Injectable()
export class TrainerConsumer extends KafkaBatches {
  constructor(
    @Inject(KAFKA) kafka: KafkaConnection,
    @Inject(RANDOM) random: Random,
    @Inject(CRASH) onCrash: Crash,
    sink: KafkajsSink,
    lease: Lease,
    runs: Runs,
    health: Health,
  ) {
    const { clock, telemetry } = kafka;
    super({
      source: (topics) =>
        runs.fenced(new KafkajsSource({ ...kafka, group: GROUP, topics, lease, roundMsMin: BACKGROUND_ROUND_MS })),
      events: runs,
      deadLetters: new DeadLetters({ sink, group: GROUP, telemetry }),
      clock,
      random,
      telemetry,
      onCrash,
      health,
    });
  }
}
