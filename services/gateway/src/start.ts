import { KafkajsSink, KafkaReader } from "@tributary/kafka";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { GatewayModule } from "./gateway.module.ts";
import { Gateway } from "./gateway.ts";
import { wantsToken } from "./http/open-paths.ts";
import { serveOpenApi } from "./openapi.ts";
import { refusalOf } from "./registry/errors.ts";

/** The largest batch of labels with a comment each. */
const BODY_BYTES_MAX = 2 * 1024 * 1024;

void runService({
  name: "gateway",
  summary: "Serves final answers, devices, policies and schemas over HTTP.",
  configSchema,
  check: checkConfig,
  module: ({ config, telemetry, health, clock, schemaIds }) => {
    const kafka = { ...config.kafka, clientId: "tributary-gateway", telemetry, schemaIds };
    const gateway = new Gateway({
      config,
      telemetry,
      clock,
      random: Math.random,
      reader: new KafkaReader(kafka),
      sink: new KafkajsSink(kafka),
    });
    health.add("topics", () => gateway.health);
    return GatewayModule.of(gateway, config, telemetry, schemaIds);
  },
  door: ({ auth }) => ({ tokens: auth.tokens, wantsToken, bodyBytesMax: BODY_BYTES_MAX, refusalOf }),
  prepare: (app, { config }) => {
    serveOpenApi(app, config);
  },
});
