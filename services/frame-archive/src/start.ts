import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { doorOf } from "./door.ts";
import { FrameArchiveModule } from "./frame-archive.module.ts";

const NEEDED = [
  ...[topics.frames, topics.classifications, topics.groundTruth],
  ...[topics.archivedFrames, topics.registry, topics.driftVerdicts],
];

await runService({
  name: "frame-archive",
  summary: "Keeps pictures that are worth labelling and training on, long after Kafka deleted them.",
  configSchema,
  check: checkConfig,
  topics: NEEDED.map(({ name }) => name),
  door: doorOf,
  module: FrameArchiveModule,
});
