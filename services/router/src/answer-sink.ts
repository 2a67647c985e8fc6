import { Inject, Injectable, type OnApplicationShutdown } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { FencedSink, Lease } from "@tributary/kafka";
import { KAFKA, type KafkaConnection } from "@tributary/service-kit";
import { GROUP } from "./config.ts";

/** Requests are not fenced: one of a former owner costs a call, and its result answers no frame twice. */
const FENCED = [topics.classifications.name, topics.routerState.name];

/** Writes the records that only the owner of a partition may write. */
@Injectable()
export class AnswerSink extends FencedSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection, lease: Lease) {
    super({ ...kafka, group: GROUP, topics: FENCED, lease });
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}
