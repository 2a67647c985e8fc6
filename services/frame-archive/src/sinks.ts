import { Inject, Injectable, type OnApplicationShutdown } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { FencedSink, Lease } from "@tributary/kafka";
import { KAFKA, type KafkaConnection } from "@tributary/service-kit";
import { GROUP } from "./config.ts";

/** Writes the archive's records of owned partitions. */
@Injectable()
export class ArchiveSink extends FencedSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection, lease: Lease) {
    super({ ...kafka, group: GROUP, topics: [topics.archivedFrames.name], lease });
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}
