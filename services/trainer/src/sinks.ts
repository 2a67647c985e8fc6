import { Inject, Injectable, type OnApplicationShutdown } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { FencedSink, Lease } from "@tributary/kafka";
import { KAFKA, type KafkaConnection, ServiceReader } from "@tributary/service-kit";
import { GROUP } from "./config.ts";

const WRITTEN = [topics.trainingRequests, topics.trainingResults, topics.datasets];

/** Writes trainings and datasets, for the instance that owns them. */
@Injectable()
export class RunsSink extends FencedSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection, lease: Lease) {
    super({ ...kafka, group: GROUP, topics: WRITTEN.map(({ name }) => name), lease });
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}

/** For topics that are followed: reading trainings at a takeover would otherwise wait for their long polls. */
@Injectable()
export class TableReader extends ServiceReader {}
