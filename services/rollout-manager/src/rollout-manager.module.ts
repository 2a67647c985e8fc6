import { Inject, Injectable, Module, type OnApplicationShutdown } from "@nestjs/common";
import { APP_FILTER } from "@nestjs/core";
import { KafkajsSink, KafkaReader } from "@tributary/kafka";
import type { Random } from "@tributary/kernel";
import {
  ClockWatch,
  CONFIG,
  Health,
  KAFKA,
  type KafkaConnection,
  KafkaModule,
  ProblemFilter,
  RANDOM,
  ServiceReader,
  TELEMETRY,
} from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { RolloutManagerConfig } from "./config.ts";
import { ExperimentsController } from "./http/experiments.controller.ts";
import { RolloutsController } from "./http/rollouts.controller.ts";
import { Manager } from "./manager.ts";

/** KafkaReader of its own: reading a slice would otherwise wait for the long polls of followed topics. */
const SLICES = Symbol("Slices");

/** A checkpoint is large, others do not wait behind it; and it is worth little wait where Kafka stops at the same time. */
@Injectable()
class CheckpointSink extends KafkajsSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection) {
    super({ ...kafka, deliveryMsMax: CHECKPOINT_MS_MAX });
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}

const CHECKPOINT_MS_MAX = 5_000;

function managerOf(
  config: RolloutManagerConfig,
  reader: KafkaReader,
  slices: KafkaReader,
  sink: KafkajsSink,
  checkpointSink: CheckpointSink,
  clockWatch: ClockWatch,
  random: Random,
  telemetry: Telemetry,
  health: Health,
): Manager {
  const isClockOff = () => clockWatch.isOff;
  const clock = clockWatch.bounded; // A look beyond Kafka's clock would be the last one until then.
  const manager = new Manager({ config, reader, slices, sink, checkpointSink, clock, isClockOff, random, telemetry });
  health.add("topics", () => manager.health);
  health.add("looks", () => manager.looks);
  health.add("histories", () => manager.histories);
  return manager;
}

@Module({
  imports: [KafkaModule],
  controllers: [RolloutsController, ExperimentsController],
  providers: [
    { provide: SLICES, useClass: ServiceReader },
    CheckpointSink,
    {
      provide: Manager,
      useFactory: managerOf,
      inject: [CONFIG, KafkaReader, SLICES, KafkajsSink, CheckpointSink, ClockWatch, RANDOM, TELEMETRY, Health],
    },
    {
      provide: APP_FILTER,
      useFactory: (telemetry: Telemetry) => new ProblemFilter(telemetry),
      inject: [TELEMETRY],
    },
  ],
})
export class RolloutManagerModule {}
