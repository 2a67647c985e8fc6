/** `tributary-bridge --config FILE`: the devices' MQTT broker, or one of several bridges behind another broker; only bridges
 * write devices' records to Kafka. */

import "./small-heap.ts";
import { runService } from "@tributary/service-kit";
import { BridgeModule } from "./bridge.module.ts";
import { bridgeConfigSchema } from "./config.ts";
import { neededTopics } from "./kafka-topics.ts";

await runService({
  name: "bridge",
  summary: "Takes what devices publish over MQTT into Kafka, and publishes policies and final answers to them.",
  configSchema: bridgeConfigSchema,
  topics: neededTopics,
  foreignTopics: ({ routes }) => routes.map(({ topic }) => topic),
  module: BridgeModule,
});
