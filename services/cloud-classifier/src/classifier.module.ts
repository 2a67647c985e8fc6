/** A cloud-classifier: RequestsConsumer -> RequestsController -> Classifier -> the targets, whose backends hold the models. */
import { Module } from "@nestjs/common";
import { FollowedPackages } from "@tributary/followed-packages";
import { CLOCK, CONFIG, Health, KafkaModule, RANDOM, TELEMETRY } from "@tributary/service-kit";
import { Classifier } from "./classifier.ts";
import { RequestsConsumer } from "./requests.consumer.ts";
import { RequestsController } from "./requests.controller.ts";
import { startTargets, TARGETS } from "./targets.ts";

@Module({
  imports: [KafkaModule],
  controllers: [RequestsController],
  providers: [
    FollowedPackages,
    {
      provide: TARGETS,
      useFactory: startTargets,
      inject: [CONFIG, CLOCK, RANDOM, TELEMETRY, Health, FollowedPackages],
    },
    Classifier,
    RequestsConsumer,
  ],
})
export class ClassifierModule {}
