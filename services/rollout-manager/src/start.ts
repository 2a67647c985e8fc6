import { topics } from "@tributary/contracts";
import { changesSomething, runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { RolloutManagerModule } from "./rollout-manager.module.ts";

/** A specification that names a thousand devices is below. */
const BODY_BYTES_MAX = 1024 * 1024;

const NEEDED = [
  ...[topics.registry, topics.reported, topics.desired, topics.models, topics.modelAliases],
  ...[topics.policies, topics.policyVersions, topics.experiments],
  ...[topics.rolloutEvents, topics.rolloutEvidence, topics.rollouts, topics.predictions, topics.metrics],
  ...[topics.classifications, topics.groundTruth, topics.observations],
];

await runService({
  name: "rollout-manager",
  summary: "Rolls new models out to the fleet by canaries that are judged, and rolls them back.",
  configSchema,
  check: checkConfig,
  door: ({ auth }) => ({ tokens: auth.tokens, wantsToken: changesSomething, bodyBytesMax: BODY_BYTES_MAX }),
  topics: NEEDED.map(({ name }) => name),
  module: RolloutManagerModule,
});
