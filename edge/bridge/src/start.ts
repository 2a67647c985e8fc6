/** `tributary-bridge --config FILE`: the MQTT broker that devices talk to, or one of several behind it, and the only way of their records into Kafka. */

import "./small-heap.ts";
import { runService } from "@tributary/service-kit";
import { BridgeModule } from "./bridge.module.ts";
import { bridgeConfigSchema } from "./config.ts";

await runService({
  name: "bridge",
  summary: "Takes what devices publish over MQTT into Kafka, and sends them policies and final answers.",
  configSchema: bridgeConfigSchema,
  module: BridgeModule,
});
