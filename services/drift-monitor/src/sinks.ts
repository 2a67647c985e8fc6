import { Inject, Injectable, type OnApplicationShutdown } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { FencedSink, Lease } from "@tributary/kafka";
import { KAFKA, type KafkaConnection } from "@tributary/service-kit";
import { GROUP } from "./config.ts";

/** Writes the states of the devices of owned partitions. */
@Injectable()
export class StateSink extends FencedSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection, lease: Lease) {
    super({ ...kafka, group: GROUP, topics: [topics.driftState.name], lease });
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}

/** Writes verdicts, for the owner of partition 0. Their topic has no other partition, so it has a claim of its own. */
@Injectable()
export class VerdictSink extends FencedSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection, lease: Lease) {
    super({ ...kafka, group: `${GROUP}-verdicts`, topics: [topics.driftVerdicts.name], lease });
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}
