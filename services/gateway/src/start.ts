import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { doorOf } from "./door.ts";
import { GatewayModule } from "./gateway.module.ts";
import { serveOpenApi } from "./openapi.ts";

const NEEDED = [
  ...[topics.registry, topics.reported, topics.throttled, topics.policies, topics.policyVersions],
  ...[
    topics.models,
    topics.modelAliases,
    topics.rollouts,
    topics.experiments,
    topics.driftVerdicts,
    topics.driftReviews,
  ],
  ...[topics.classifications, topics.groundTruth, topics.archivedFrames],
  ...[topics.trainingRequests, topics.trainingResults, topics.datasets],
];

await runService({
  name: "gateway",
  summary: "Serves final answers, devices, policies and schemas over HTTP.",
  configSchema,
  check: checkConfig,
  topics: NEEDED.map(({ name }) => name),
  module: GatewayModule,
  door: doorOf,
  prepare: serveOpenApi,
});
