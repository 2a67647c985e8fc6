import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { RouterModule } from "./router.module.ts";

const NEEDED = [
  ...[topics.predictions, topics.frames, topics.results, topics.policies, topics.routerState],
  ...[topics.requestsHigh, topics.requestsNormal, topics.classifications],
];

await runService({
  name: "router",
  summary: "Settles every frame: decides what the cloud is asked, and writes the one final answer.",
  configSchema,
  check: checkConfig,
  topics: NEEDED.map(({ name }) => name),
  module: RouterModule,
});
