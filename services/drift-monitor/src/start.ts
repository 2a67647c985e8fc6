import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { DriftMonitorModule } from "./drift-monitor.module.ts";

const NEEDED = [
  ...[topics.sketches, topics.predictions, topics.groundTruth, topics.models],
  ...[topics.registry, topics.reported, topics.driftState, topics.driftVerdicts, topics.driftReviews],
  topics.modelAliases,
];

await runService({
  name: "drift-monitor",
  summary:
    "Finds out what changed on the fleet: preprocessing, cameras, the world or the concept; where, and since when.",
  configSchema,
  check: checkConfig,
  topics: NEEDED.map(({ name }) => name),
  module: DriftMonitorModule,
});
