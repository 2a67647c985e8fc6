import { topics } from "@tributary/contracts";
import { changesSomething, runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { TrainerModule } from "./trainer.module.ts";

/** Bound of a JSON body; photos of base sets are uploaded as bytes. */
const BODY_BYTES_MAX = 100 * 1024;

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
  door: ({ auth }) => ({
    tokens: auth.tokens,
    wantsToken: changesSomething,
    bodyBytesMax: BODY_BYTES_MAX,
    bringsFile: (method, path) => method === "PUT" && path.startsWith("/blobs/"),
  }),
  topics: NEEDED.map(({ name }) => name),
  module: TrainerModule,
});
