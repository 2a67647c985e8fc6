/**
 * A drift-monitor. Batches go from Kafka to the devices' states, and from those to verdicts:
 *
 *   DriftMonitorConsumer -> DriftMonitorController -> Partitions -> StateSink
 *   drift.state.v1, devices.* -> Verdicts (the owner of partition 0) -> VerdictSink
 *
 * Models, reviews and the size of the fleet are known before input is taken (`onModuleInit`); each part stops before what it uses.
 */
import { Module } from "@nestjs/common";
import { Lease } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { CLOCK, KafkaModule } from "@tributary/service-kit";
import { DriftMonitorConsumer } from "./drift-monitor.consumer.ts";
import { DriftMonitorController } from "./drift-monitor.controller.ts";
import { FleetSize } from "./fleet-size.ts";
import { KnownReviews } from "./known-reviews.ts";
import { KnownPackages } from "./packages/known-packages.ts";
import { Partitions } from "./partitions.ts";
import { StateSink, VerdictSink } from "./sinks.ts";
import { TableReader } from "./table-reader.ts";
import { Verdicts } from "./verdicts/verdicts.ts";

@Module({
  imports: [KafkaModule],
  controllers: [DriftMonitorController],
  providers: [
    { provide: Lease, useFactory: (clock: Clock) => new Lease({ clock }), inject: [CLOCK] },
    TableReader,
    KnownPackages,
    FleetSize,
    KnownReviews,
    StateSink,
    VerdictSink,
    Partitions,
    Verdicts,
    DriftMonitorConsumer,
  ],
})
export class DriftMonitorModule {}
