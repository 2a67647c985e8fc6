import { topics } from "@tributary/contracts";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { GatewayModule } from "./gateway.module.ts";
import { wantsToken } from "./http/open-paths.ts";
import { serveOpenApi } from "./openapi.ts";
import { refusalOf } from "./registry/errors.ts";

/** The largest batch of labels with a comment each. */
const BODY_BYTES_MAX = 2 * 1024 * 1024;

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
  door: ({ auth }) => ({ tokens: auth.tokens, wantsToken, bodyBytesMax: BODY_BYTES_MAX, refusalOf }),
  prepare: serveOpenApi,
});
