import { runService } from "@tributary/service-kit";
import { ClassifierModule } from "./classifier.module.ts";
import { checkConfig, configSchema } from "./config.ts";

await runService({
  name: "cloud-classifier",
  summary: "Answers cloud requests with the configured models.",
  configSchema,
  check: checkConfig,
  module: ClassifierModule,
});
