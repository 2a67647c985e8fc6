/**
 * A router. Batches go from Kafka to the answers like this:
 *
 *   RouterConsumer -> RouterController -> Partitions -> AnswerSink, KafkaReader
 *
 * First policies are published before input is taken (`onModuleInit`); each part stops before what it uses.
 */
import { Module } from "@nestjs/common";
import { FollowedPackages } from "@tributary/followed-packages";
import { KafkajsSink, KafkaReader, Lease } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { Admission } from "@tributary/routing/settlement";
import { CLOCK, CONFIG, KafkaModule, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerSink } from "./answer-sink.ts";
import { admissionSettingsOf, type RouterConfig, relearnSettingsOf } from "./config.ts";
import { Draws } from "./draws.ts";
import { Learner } from "./learning/learner.ts";
import { relearnAside } from "./learning/relearning.ts";
import { Partitions } from "./partitions.ts";
import { FirstPolicies } from "./policies.ts";
import { RouterConsumer } from "./router.consumer.ts";
import { RouterController } from "./router.controller.ts";
import { ThrottledDevices } from "./throttled-devices.ts";

const DAY_MS = 86_400_000;

/** Null where the configuration forbids it to learn. */
function learnerOf(
  { target, learning, experiment }: RouterConfig,
  partitions: Partitions,
  reader: KafkaReader,
  sink: KafkajsSink,
  clock: Clock,
  telemetry: Telemetry,
): Learner | null {
  if (!learning.enabled) return null;
  return new Learner({
    reader,
    sink,
    clock,
    telemetry,
    target,
    settings: relearnSettingsOf({ learning }),
    relearn: relearnAside,
    everyMs: learning.everyMs,
    windowMs: learning.windowDays * DAY_MS,
    runsExperiment: experiment !== undefined,
    isLeader: () => partitions.holds(0),
  });
}

@Module({
  imports: [KafkaModule],
  controllers: [RouterController],
  providers: [
    { provide: Lease, useFactory: (clock: Clock) => new Lease({ clock }), inject: [CLOCK] },
    {
      provide: Admission,
      useFactory: (config: RouterConfig) => new Admission(admissionSettingsOf(config)),
      inject: [CONFIG],
    },
    FollowedPackages,
    FirstPolicies,
    Draws,
    ThrottledDevices,
    AnswerSink,
    Partitions,
    {
      provide: Learner,
      useFactory: learnerOf,
      inject: [CONFIG, Partitions, KafkaReader, KafkajsSink, CLOCK, TELEMETRY],
    },
    RouterConsumer,
  ],
})
export class RouterModule {}
