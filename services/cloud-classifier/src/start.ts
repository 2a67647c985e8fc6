import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { ClassifierModule } from "./classifier.module.ts";
import { checkConfig, configSchema } from "./config.ts";

const NEEDED = [topics.requestsHigh, topics.requestsNormal, topics.results, topics.shadow];

await runService({
  name: "cloud-classifier",
  summary: "Answers cloud requests with the configured models.",
  configSchema,
  check: checkConfig,
  topics: NEEDED.map(({ name }) => name),
  module: ClassifierModule,
});
