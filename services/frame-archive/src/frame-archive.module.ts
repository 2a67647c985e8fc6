/**
 * A frame-archive. Batches go from Kafka to pictures in the blob store and records on frames.archive.v1:
 *
 *   FrameArchiveConsumer -> FrameArchiveController -> Partitions -> BlobStore, ArchiveSink
 *   frames.archive.v1, ground-truth.v1, devices.registry.v1, drift.verdicts.v1 -> Tables -> FramesController, Sweeper
 *
 * Tables are read before input is taken (`onModuleInit`); each part stops before what it uses.
 */
import { Module } from "@nestjs/common";
import { APP_FILTER } from "@nestjs/core";
import { Lease } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { CLOCK, CONFIG, KafkaModule, ProblemFilter, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { FrameArchiveConsumer } from "./frame-archive.consumer.ts";
import { FrameArchiveController } from "./frame-archive.controller.ts";
import { Partitions } from "./partitions.ts";
import { BLOBS, blobStoreOf, diskWatchOf } from "./pictures/blobs.ts";
import { DiskWatch } from "./pictures/disk-watch.ts";
import { FramesController } from "./pictures/frames.controller.ts";
import { Sweeper } from "./pictures/sweeper.ts";
import { ArchiveSink } from "./sinks.ts";
import { TableReader } from "./table-reader.ts";
import { Tables } from "./tables/tables.ts";

@Module({
  imports: [KafkaModule],
  controllers: [FrameArchiveController, FramesController],
  providers: [
    { provide: Lease, useFactory: (clock: Clock) => new Lease({ clock }), inject: [CLOCK] },
    { provide: BLOBS, useFactory: blobStoreOf, inject: [CONFIG] },
    { provide: DiskWatch, useFactory: diskWatchOf, inject: [CONFIG, BLOBS, CLOCK, RANDOM, TELEMETRY] },
    TableReader,
    Tables,
    ArchiveSink,
    Partitions,
    Sweeper,
    FrameArchiveConsumer,
    {
      provide: APP_FILTER,
      useFactory: (telemetry: Telemetry) => new ProblemFilter(telemetry),
      inject: [TELEMETRY],
    },
  ],
})
export class FrameArchiveModule {}
