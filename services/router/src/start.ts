import { runService, type ServiceContext } from "@tributary/service-kit";
import { awaitKafka } from "./await-kafka.ts";
import { checkConfig, configSchema, type RouterConfig } from "./config.ts";
import { RouterModule, RouterParts } from "./router.module.ts";

let parts: RouterParts | undefined;

await runService({
  name: "router",
  summary: "Settles every frame: decides what the cloud is asked, and writes the one final answer.",
  configSchema,
  check: checkConfig,
  awaits: awaitKafka,
  module: (context: ServiceContext<RouterConfig>) => {
    parts = new RouterParts(context);
    return RouterModule.of(parts, context.config);
  },
  consumers: () => parts?.consumers() ?? [],
});
