import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { doorOf } from "./door.ts";
import { TrainerModule } from "./trainer.module.ts";

const NEEDED = [
  ...[topics.driftVerdicts, topics.models, topics.modelAliases, topics.rollouts],
  ...[topics.groundTruth, topics.archivedFrames],
  ...[topics.datasets, topics.trainingRequests, topics.trainingResults],
];

await runService({
  name: "trainer",
  summary: "Trains models on: from drift, labels, a schedule or a person to a challenger that gate and canary judge.",
  configSchema,
  check: checkConfig,
  door: doorOf,
  topics: NEEDED.map(({ name }) => name),
  module: TrainerModule,
});
