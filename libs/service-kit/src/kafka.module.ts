/**
 * Clients of Kafka as providers: `imports: [KafkaModule]`, then inject `KafkaReader` or `KafkajsSink`. They connect when they are
 * first used.
 *
 * K1. They are closed in `onApplicationShutdown`, after the same hook of every provider that was given them: Nest runs it for the
 *     importing module before the imported one, and within a module for the user before what it uses. Consumers
 *     (kafka-batches.ts) and HTTP have ended by then.
 */
import { Inject, Injectable, Module, type OnApplicationShutdown } from "@nestjs/common";
import { KafkajsSink, KafkaReader } from "@tributary/kafka";
import { KAFKA, type KafkaConnection } from "./service.module.ts";

@Injectable()
export class ServiceReader extends KafkaReader implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection) {
    super(kafka);
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}

@Injectable()
class ServiceSink extends KafkajsSink implements OnApplicationShutdown {
  constructor(@Inject(KAFKA) kafka: KafkaConnection) {
    super(kafka);
  }

  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}

@Module({
  providers: [
    { provide: KafkaReader, useClass: ServiceReader },
    { provide: KafkajsSink, useClass: ServiceSink },
  ],
  exports: [KafkaReader, KafkajsSink],
})
export class KafkaModule {}
